"""Splits made here: 70 / 15 / 15, stratified, seeded, near-duplicates kept together; and limits."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from lite0ca import machine
from lite0ca.config import Config
from lite0ca.data import SPLITS, DataSet
from lite0ca.errors import InputError
from lite0ca.groups import find_groups

HELD_OUT = 0.15  # of the images for valid, and for test


def for_training(data: DataSet, config: Config, made: pd.DataFrame | None = None) -> DataSet:
    """`data` with a split in which every class is trained and validated, limits applied.

    `made` is the table of an earlier run (path, split, group): its split is used again where
    the data has none of its own.
    """
    if "split" not in data.rows:
        data = with_made_split(data, config.seed) if made is None else with_split_of(data, made)
    elif "valid" not in set(data.rows["split"]):
        raise InputError(
            "the data's split has no valid images: mark some, or drop the split column (or the "
            "folders train/test) to have a split made here"
        )
    rows = pd.concat(
        limited(data.part(split), split, limit, config.seed)
        for split, limit in zip(SPLITS, (config.train_limit, config.valid_limit, None))
    )
    data = replace(data, rows=rows.reset_index(drop=True))
    counts = data.rows["split"].value_counts().reindex(SPLITS, fill_value=0)
    trained = set(data.part("train")["label"])
    if len(trained) < 2:
        raise InputError(f"the train split needs 2 or more classes, it has {len(trained)}")
    if lost := sorted(set(data.part("valid")["label"]) - trained):
        raise InputError(f"class {lost[0]!r} is in the valid split but not in the train split")
    print("split: " + ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    return data


def limited(rows: pd.DataFrame, split: str, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows, drawn so that each class keeps its share and at least one row."""
    if limit is None or limit >= len(rows):
        return rows
    if limit < (classes := rows["label"].nunique()):
        raise InputError(f"--{split}-limit {limit}: the data has {classes} classes, one each")
    shuffled = rows.sample(frac=1, random_state=seed).groupby("label")
    rank, count = shuffled.cumcount(), shuffled["label"].transform("size")
    # Every first part of this order holds the classes in their shares, one of each foremost.
    order = ((rank + 0.5) / count).where(rank > 0, 0).sort_values(kind="stable")
    return rows.loc[sorted(order.index[:limit])]


def with_made_split(data: DataSet, seed: int) -> DataSet:
    """Columns split and group: whole groups only, each class in every split."""
    rows = data.rows.copy()
    if "group" not in rows:
        cv2.setNumThreads(1)  # the photos are spread over the cores already
        bar = lambda steps: machine.bar(steps, "finding near-duplicates", None)  # noqa: E731
        rows["group"] = find_groups(list(rows["file"]), bar)
        print(
            f"near-duplicates: {len(rows):,} images show {rows['group'].nunique():,} leaves or "
            "scenes; all photos of one go to one split"
        )
    labels = rows.groupby("group")["label"].nunique()
    if (labels > 1).any():
        print(f"{(labels > 1).sum()} groups of near-duplicates carry two labels: check them")
    fewest = rows.groupby("label")["group"].nunique()
    if fewest.min() < len(SPLITS):
        raise InputError(
            f"class {fewest.idxmin()!r} has {fewest.min()} independent photos; a split needs 3 "
            "or more of each class. Add photos, or give a split column"
        )
    folds = int(min(20, fewest.min()))
    held_out = max(1, round(HELD_OUT * folds))
    fold = np.empty(len(rows), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, chosen) in enumerate(splitter.split(rows, rows["label"], rows["group"])):
        fold[chosen] = number
    rows["split"] = np.select([fold < held_out, fold < 2 * held_out], ["test", "valid"], "train")
    return replace(data, rows=rows)


def with_split_of(data: DataSet, made: pd.DataFrame) -> DataSet:
    """The split of an earlier table, by path; images it did not use are left out."""
    rows = data.rows.drop(columns="group", errors="ignore").merge(
        made[["path", "split", "group"]], on="path"
    )
    if len(rows) < len(made):
        raise InputError(
            f"{data.root}: {len(made) - len(rows):,} images of the run are no longer in the data"
        )
    return replace(data, rows=rows)
