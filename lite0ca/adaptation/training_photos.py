"""The photos that a run was trained on, where they are still at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from lite0ca.data import dataset
from lite0ca.data.split import limited
from lite0ca.errors import InputError, printable
from lite0ca.evaluation.finished_run import data_of
from lite0ca.settings.trained import WHERE, settings_of

LEARNED_FROM, SCORED = 400, 300  # photos at most


@dataclass(frozen=True)
class TrainingPhotos:
    """Rows with absolute_path and label, in order of names: some to learn from again, and some of
    valid, to score; None of a run that kept no photo back (--all).
    """

    train: pd.DataFrame
    valid: pd.DataFrame | None


def training_photos(run: str, checkpoint: dict, seed: int) -> TrainingPhotos | None:
    """None if they are not at hand, which is said."""
    config = settings_of(checkpoint, {"skip_bad_images": True, "seed": seed})
    config = replace(config, **{name: checkpoint["config"].get(name) for name in WHERE})
    try:
        if not (config.metadata or config.data_dir):
            raise InputError("the run does not say where they lay")
        data = data_of(run, checkpoint, config, checkpoint["label2id"])
        parts: dict = {"valid": None}
        wanted = {"train": LEARNED_FROM} if config.all else {"train": LEARNED_FROM, "valid": SCORED}
        for name, most in wanted.items():
            rows = data.part(name) if "split" in data.rows else data.rows.head(0)
            if rows.empty:
                raise InputError(f"{data.source} has no {name} split")
            rows = limited(rows, name, max(most, len(checkpoint["label2id"])), seed)
            rows = rows.sort_values("path")
            parts[name] = dataset.without_bad_images(replace(data, rows=rows), skip=True).rows
    except InputError as error:
        print(
            printable(
                f"the training photos are not at hand ({error}): the model is fitted to the new "
                "place alone, will know photos like those of its training less well, and does not "
                "say of a photo that it is unlike those it knows"
            )
        )
        return None
    return TrainingPhotos(**parts)
