"""Several runs as one, or several looks, on the photos of a data set: what `evaluate` scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lite0ca.data import dataset, split
from lite0ca.errors import InputError, printable
from lite0ca.evaluation.finished_run import (
    WORTH,
    choose,
    data_of,
    is_training_data,
    learned_from,
    trained_as,
    was_dealt_anew,
)
from lite0ca.evaluation.members import member_of
from lite0ca.evaluation.predictions import Answers, with_plain_background, with_probabilities
from lite0ca.evaluation.together import Together, batched, metadata_of
from lite0ca.formats.run_files import TABLE, run_folder
from lite0ca.formats.run_split import split_if_kept
from lite0ca.images.background import with_background
from lite0ca.images.photo_batches import batches_read, reading_threads
from lite0ca.images.reading import bytes_of, read_image
from lite0ca.machine.console import bar

AT_ONCE = 32  # photos, each with all its looks


def answered_together(
    runs: Sequence[str],
    part: str | None,
    typed: dict,
    background: str | None = None,
    looks: int = 1,
) -> Answers:
    """As `predictions.answered`, of several runs and looks as one (`together.py`).

    Raises `InputError` where the runs were trained on different data and none was typed, and where
    one was trained on photos that are another part of the data for the others.
    """
    members = [member_of(run, typed) for run in runs]
    together = Together(members, looks)
    metadata = metadata_of(together)
    trained = [trained_as(member.source, member.metadata) for member in members]
    if not (typed.get("metadata") or typed.get("data_dir")):
        refuse_other_data(runs, trained)
    config = replace(members[0].config, image_size=max(together.sizes))
    first = next((number for number, known in enumerate(trained) if known), 0)
    data = data_of(runs[first], trained[first], config, metadata["label2id"])
    owns = [is_training_data(data, run, known, typed) for run, known in zip(runs, trained)]
    data, part = choose(data, part)
    if len(runs) > 1:
        for run, known, its_own in zip(runs, trained, owns):
            if its_own:
                refuse_lost_part(part, run, known)
            refuse_other_parts(data.rows, part, run, known)
    own = any(owns)
    if own and part != "test":
        print(f"{part}: {WORTH[part]}")
    data = dataset.without_bad_images(data, config.skip_bad_images)
    if background:
        data = with_plain_background(data, config.image_size)
    rows = with_looks(data.rows, together, metadata, config, background)
    learned = [learned_from(rows, run) for run in runs]
    for run, count in zip(runs, learned):
        if count:
            print(
                printable(
                    f"{run}: adapt learned from {count:,} of {len(rows):,} photos: expect less on "
                    "others"
                )
            )
    about = {"own": own, "learned": max(learned), "others": tuple(runs[1:]), "looks": looks}
    return Answers(runs[0], metadata, config, data, part, rows, background, **about)


def refuse_other_data(runs: Sequence[str], trained: Sequence[dict]) -> None:
    """Raise `InputError` if runs that say where their data lies name different places."""
    places = {}
    for run, known in zip(runs, trained):
        if known:
            named = known["config"].get("metadata") or known["config"].get("data_dir") or ""
            places.setdefault(os.path.realpath(named), (run, named))
    if len(places) > 1:
        (one, here), (other, there), *_ = places.values()
        raise InputError(
            f"{one} was trained on {here}, {other} on {there}: name the data to score with "
            "--metadata or --data-dir"
        )


def refuse_lost_part(part: str, run: str, trained: dict) -> None:
    """Raise `InputError` if nobody knows any more which of its own data a fold's run learned."""
    table = run_folder(run) / TABLE
    if was_dealt_anew(trained) and part != "test" and split_if_kept(run, trained) is None:
        raise InputError(
            f"{table}: is missing, and with it which of these photos the run was trained on; put "
            "it back, or score on other photos with --data-dir"
        )


def refuse_other_parts(rows: pd.DataFrame, part: str, run: str, trained: dict) -> None:
    """Raise `InputError` if photos to score are of another part in the split of one of the runs.

    Runs of folds are such: what is valid for one the others were trained on.
    """
    if part == "all" or not trained:
        return
    if (made := split_if_kept(run, trained)) is None:
        return
    made = split.with_keys(made)
    known = {(key, int(size)): of for key, size, of in made[["key", "bytes", "split"]].to_numpy()}
    keys = split.with_keys(rows)["key"]
    found = pd.Series(
        [known.get((key, bytes_of(path))) for key, path in zip(keys, rows["absolute_path"])]
    ).dropna()
    others = found[found != part]
    if len(others):
        counts = ", ".join(f"{n:,} in {name}" for name, n in others.value_counts().items())
        raise InputError(
            f"--split {part}: the runs split the data differently: of these {len(rows):,} photos "
            f"{run} has {counts}. Score each run on its own {part}, or all of them on photos that "
            "none has seen: --split test where they share one, or --data-dir with others"
        )


def with_looks(
    rows: pd.DataFrame, together: Together, metadata: dict, config, background: str | None
) -> pd.DataFrame:
    """The rows with the answers; `background` is as in `with_background`."""
    paths = list(rows["absolute_path"])
    numbers = {path: number for number, path in enumerate(paths)}

    def views(path: str):
        def at(side: int) -> np.ndarray:
            photo = read_image(path, side)
            return with_background(photo, background, numbers[path]) if background else photo

        return together.views(at)

    at_once = min(config.batch_size, AT_ONCE)
    batches = [paths[start : start + at_once] for start in range(0, len(paths), at_once)]
    probabilities, distances = [], []
    stream = batches_read(batches, views, reading_threads(config.num_workers))
    for photos, files in bar(stream, "scoring", len(batches)):
        if problem := next((problem for _, problem in files if problem), None):
            raise InputError(f"{problem}; mend it, or leave it out with --skip-bad-images")
        some, far = together.answers(batched(photos))
        probabilities.append(some)
        distances += [] if far is None else [far]
    distance = np.concatenate(distances) if distances else None
    return with_probabilities(rows, np.concatenate(probabilities), distance, metadata)
