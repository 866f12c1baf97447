"""A run taken up again: its data, and the part of it that is asked for."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace

import pandas as pd

from lite0ca.data import dataset, split
from lite0ca.errors import InputError, opening, printable
from lite0ca.files.reading import read_bytes
from lite0ca.formats.checkpoint import load_best
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.run_files import BEST, LEARNED, TABLE, run_folder
from lite0ca.formats.run_split import split_if_kept
from lite0ca.images.reading import bytes_of
from lite0ca.settings.config import Config
from lite0ca.settings.trained import WHERE

# What a part of a run's own data is worth, by its name.
WORTH = {
    "test": "it chose nothing",
    "valid": "it chose the epoch, unless trained with --keep last: expect less on others",
    "train": "the run was trained on it: it says nothing of others",
    "all": "the run was trained on one of them: they say little of others",
}
# What is said where nobody has asked for a part that is not test.
IF_NOT_TEST = {
    "valid": "no test split: valid is scored, which chose the epoch if the run trained on this "
    "data",
    "train": "no test and no valid split: train is scored, which says nothing of others if the run "
    "trained on this data",
}


def trained_as(run: str, metadata: dict) -> dict:
    """What the checkpoint says of the training. Of an exported file, which does not say where the
    data lay, it is the one of the run that it lies in; empty if it lies in none.
    """
    if not format_of(run):
        return metadata
    path = run_folder(run) / BEST
    return load_best(path) if path.is_file() else {}


def data_of(run: str, trained: dict, config: Config, label2id: dict) -> dataset.DataSet:
    """The data that a model is asked about, with the run's own split where it has none.

    `trained` is as `trained_as` gives it.
    """
    if trained and not (config.metadata or config.data_dir):
        config = replace(config, **{key: trained["config"].get(key) for key in WHERE})
    return with_known_split(dataset.load(config, label2id), run, trained)


def with_known_split(data: dataset.DataSet, run: str, trained: dict) -> dataset.DataSet:
    """The run's own split for data without one that the run was trained on.

    A split made in training is not in the data; scoring all of it would score training images.
    Raises `InputError`.
    """
    dealt_anew = was_dealt_anew(trained)
    # Of a split with train alone, training makes valid: that one is in the table only.
    has_valid = "split" in data.rows and (data.rows["split"] == "valid").any()
    if has_valid and not dealt_anew:
        return data
    made = split_if_kept(run, trained)
    if made is None:
        if dealt_anew:
            said = (
                f"{run_folder(run) / TABLE}: is missing. The run was trained with --fold or --all: "
                "of its own data it may have learned any photo but the test split's, and such "
                "scores say little"
            )
            print(printable(said), file=sys.stderr)
        return data
    made = split.with_split_of(data, made)
    if made.rows.empty:
        return data
    where = printable(dataset.shown(data.root))
    print(f"the run was trained on images of {where}: its own split is used")
    return made


def was_dealt_anew(trained: dict) -> bool:
    """Whether a run did not keep to the split of its data: with --fold or --all."""
    settings = trained.get("config", {})
    return bool(settings.get("fold") or settings.get("all"))


def is_training_data(data: dataset.DataSet, run: str, trained: dict, typed: dict) -> bool:
    """Whether a run learned from this data: it says so, or all photos of its table are in it."""
    if not trained:
        return False
    named = [typed[name] for name in ("metadata", "data_dir") if typed.get(name)]
    lay = {os.path.realpath(trained["config"].get(name) or "") for name in ("metadata", "data_dir")}
    if not named or os.path.realpath(data.source) in lay:
        return True
    if "split" not in data.rows or (made := split_if_kept(run, trained)) is None:
        return False
    # It may have moved since: the same paths, splits and sizes.
    rows = split.with_keys(data.rows)
    found = zip(rows["key"], rows["split"], rows["absolute_path"].map(bytes_of))
    made = split.with_keys(made)
    return set(zip(made["key"], made["split"], made["bytes"].astype(int))) <= set(found)


def learned_from(rows: pd.DataFrame, run: str) -> int:
    """How many of the photos a run was fitted to when it was adapted: their scores are too good."""
    table = run_folder(run) / LEARNED
    if not table.is_file():
        return 0
    with opening(table, "is damaged; put back a copy of it, or remove it"):
        content = io.BytesIO(read_bytes(table))
        known = set(pd.read_csv(content, dtype=str, keep_default_na=False)["path"])
    return sum(os.path.abspath(path) in known for path in map(str, rows["absolute_path"]))


def part_at_end(data: dataset.DataSet) -> str:
    """The part that is scored by itself: test, else valid, else (a run with --all) train."""
    there = set(data.rows["split"])
    return next((part for part in ("test", "valid") if part in there), "train")


def choose(data: dataset.DataSet, part: str | None) -> tuple[dataset.DataSet, str]:
    """(the images to score, name of the part): test by default, valid where there is no test."""
    if "split" not in data.rows:
        if part not in (None, "all"):
            raise InputError(f"--split {part}: the data has no split; leave it out to score all")
        return data, "all"
    if part is None:
        part = part_at_end(data)
        if said := IF_NOT_TEST.get(part):
            print(said)
    rows = data.rows if part == "all" else data.part(part)
    if rows.empty:
        counts = ", ".join(f"{n} {name}" for name, n in data.rows["split"].value_counts().items())
        raise InputError(f"--split {part}: the data has no such images (it has {counts})")
    return replace(data, rows=rows.reset_index(drop=True)), part
