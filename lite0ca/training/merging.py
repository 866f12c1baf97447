"""Several runs of one network made into one: the mean of their weights, where that is any good.

Runs that began from the same run, by `--weights RUN` or `adapt`, lie near each other and their mean
may be better than each of them (Wortsman et al. 2022, arXiv 2203.05482). Those from different seeds
do not (docs/log.md). So it is asked: of the valid split that all of them have.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lite0ca.adaptation.derived_run import derived_run, new_folder, source_of
from lite0ca.adaptation.without_labels import adapt, norms_of
from lite0ca.data.dataset import DataSet
from lite0ca.data.split import with_split_of
from lite0ca.errors import InputError
from lite0ca.evaluation.finished_run import data_of
from lite0ca.evaluation.inference import logits_of
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.files.json_files import write_json
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.named_runs import runs_named
from lite0ca.formats.names import names_of
from lite0ca.formats.run_files import MERGED, TABLE, digest, run_folder
from lite0ca.formats.run_split import split_if_kept
from lite0ca.images import cache
from lite0ca.images.loaders import score_loader
from lite0ca.machine.device import Precision, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.distance import strided
from lite0ca.model.network import LeafClassifier
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of
from lite0ca.training.outcome import known_photos, rows_looked_at

AVERAGED, ANEW = "the members' mean", "seen anew on training photos"


@dataclass(frozen=True)
class Merger:
    """What a merger came to: (name, macro-F1, accuracy) on valid of members and candidates."""

    members: list[tuple[str, float, float]]
    merged: list[tuple[str, float, float]]
    images: int
    folder: Path | None  # None if it is worse than the worst member, and was not written

    @property
    def best(self) -> tuple[str, float, float]:
        return max(self.merged, key=lambda row: row[1])

    @property
    def holds(self) -> bool:
        return self.best[1] >= min(row[1] for row in self.members)


def merge(runs: list[str], output_dir: str | None, **typed) -> Merger:
    """Write a run with the mean of the runs' weights, `RUN_merged` of the first or `output_dir`.

    A folder of runs stands for those in it. BatchNorm's statistics are the members' mean or seen
    anew on training photos, whichever scores better on valid. Distance and calibration are made
    afresh. Raises `InputError`.
    """
    named, runs = runs, runs_named(runs)
    if len(runs) < 2:
        raise InputError("merge: name two runs or more")
    folder = new_folder(named[0], output_dir, "merged")
    members = [load_best(run) for run in runs]
    refuse_unlike(runs, members)
    first = members[0]
    config = settings_of(first, typed)
    data = photos_of(runs[0], first, config)
    keep_freed_memory()
    precision = Precision.for_answers(device_of(config.device), config.amp)
    reader = cache.open_reader(config, list(data.rows["absolute_path"]))
    valid = data.part("valid")

    def scored(name: str, model: LeafClassifier) -> tuple[str, float, float]:
        model.to(precision.device, memory_format=torch.channels_last)
        photos = score_loader(valid, data.label2id, config, reader, alone=True)
        logits, numbers = logits_of(model, photos, precision)
        truth, answers = numbers.numpy(), logits.argmax(1).numpy()
        return name, macro_f1(truth, answers), float((truth == answers).mean())

    rows = [scored(run, model_of(member, source=run)) for run, member in zip(runs, members)]
    state = mean_of([member["model"] for member in members])
    models = {AVERAGED: model_of({**first, "model": state, "distance": None})}
    if norms_of(models[AVERAGED]):
        models[ANEW] = copy.deepcopy(models[AVERAGED]).to(precision.device)
        adapt(models[ANEW], training_batches(data, config, reader), precision, share=1.0)
    merger = Merger(rows, [scored(*one) for one in models.items()], len(valid), folder)
    if not merger.holds:
        return replace(merger, folder=None)
    model = models[merger.best[0]]
    content = first | {"names": names_of(runs[0], first)}
    content.pop("distance", None)
    if strided(model.backbone):
        content |= known_photos(model, data, config, precision, reader)
    else:
        content |= {"temperature": 1.0, "sure_from": None}
    content |= {"model": model.cpu().state_dict()}
    with derived_run(folder, runs[0], content) as made:
        write_json(made / MERGED, report_of(runs, merger))
    return merger


def refuse_unlike(runs: list[str], members: list[dict]) -> None:
    """Raise `InputError` for runs whose weights do not stand for the same."""
    kinds = {
        "of another system": lambda one: one["system"],
        "of other classes": lambda one: one["label2id"],
        "of another image size": lambda one: one["config"]["image_size"],
        "trained on other photos, or on another split of them (--fold K/N makes one that "
        "--seed does not change)": lambda one: one.get("fingerprint"),
    }
    for run, member in zip(runs[1:], members[1:]):
        for wrong, of in kinds.items():
            if of(member) != of(members[0]):
                raise InputError(f"{run}: is {wrong} than {runs[0]}; their mean is no network")
    if members[0]["config"].get("all"):
        raise InputError(f"{runs[0]}: kept no valid photos back (--all), and those judge a mean")


def photos_of(run: str, checkpoint: dict, config: Config) -> DataSet:
    """The very photos that a run was trained and chosen with. Raises `InputError`."""
    made = split_if_kept(run, checkpoint)
    if made is None:
        missing = run_folder(run) / TABLE
        raise InputError(f"{missing}: is not there; name a run's folder first, it holds the split")
    data = data_of(run, checkpoint, config, checkpoint["label2id"])
    found = with_split_of(data, made)
    if missing := len(made) - len(found.rows):
        raise InputError(f"{data.source}: {missing:,} photos of the runs are not in it, or changed")
    return found


def mean_of(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each tensor; of whole numbers, which count steps, the first's."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def training_batches(data: DataSet, config: Config, reader) -> Iterator[torch.Tensor]:
    """uint8 training photos (B, S, S, 3), the classes mixed, as statistics need them."""
    rows = rows_looked_at(data, config).sample(frac=1, random_state=0)
    for photos, _ in score_loader(rows, data.label2id, config, reader, alone=True):
        if len(photos) > 1:  # one has no spread in some layers
            yield photos


def report_of(runs: list[str], merger: Merger) -> dict:
    """Plain data: which runs, and what each and their mean scored on the valid split."""
    of_valid = lambda row: {"valid_macro_f1": row[1], "valid_accuracy": row[2]}  # noqa: E731
    return {
        "members": [
            {"run": source_of(run)["from_run"], "from_sha256": digest(run), **of_valid(row)}
            for run, row in zip(runs, merger.members)
        ],
        "merged": of_valid(merger.best),
        "batch_norm": {name: of_valid((name, *row)) for name, *row in merger.merged},
        "batch_norm_kept": merger.best[0],
        "valid_images": merger.images,
    }
