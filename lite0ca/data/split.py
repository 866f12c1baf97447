"""Splits made here: 70 / 15 / 15, or folds; stratified, near-duplicates kept together; limits."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lite0ca.data.dataset import (
    READ_UP_TO,
    DataSet,
    warn_of_divided_groups,
    without_bad_images,
)
from lite0ca.data.kept_groups import find_groups, folder_of
from lite0ca.data.layout import SPLITS
from lite0ca.data.near_duplicates import equal_starts
from lite0ca.errors import InputError, composed
from lite0ca.images.reading import bytes_of, read_image
from lite0ca.machine import console
from lite0ca.settings.config import Config, fold_of

FOLDS, HELD_OUT = 20, 0.15  # of the images for valid, and for test
TRIES = 2000
SEED_OF_FOLDS = 0  # whatever the run's: folds of several runs never overlap


def for_training(
    data: DataSet,
    config: Config,
    made: pd.DataFrame | None = None,
    read: Callable = read_image,
    other_fold: pd.DataFrame | None = None,
) -> DataSet:
    """`data` with a split in which every class is trained, limits applied, every image readable.

    `made` is the table of an earlier run (path, split, group): its split is used again where
    the data has none of its own. `read` is what reads an image, to see if it can be read.
    `other_fold` is the table of a run of another fold, whose near-duplicates hold here too.
    """
    if made is not None:
        data = with_split_of(data, made)
        if len(data.rows) < len(made):
            missing = len(made) - len(data.rows)
            raise InputError(f"{data.root}: {missing:,} images of the run are no longer in it")
    # All of them, whatever the limits: a smoke test should find the bad files too.
    data = without_bad_images(data, config.skip_bad_images, read)
    kept_in = folder_of(config)
    if made is None and config.fold:
        if other_fold is not None:
            data = with_groups_of(data, other_fold)
        data = with_fold(data, *fold_of(config.fold), kept_in)
    elif made is None and config.all:
        data = with_all_in_train(data)
    elif "split" not in data.rows:
        data = with_made_split(data, config.seed, ("test", "valid"), kept_in)
    elif "valid" not in set(data.rows["split"]) and not config.all:
        data = with_made_valid(data, config.seed, kept_in)
    rows = pd.concat(
        limited(data.part(split), split, limit, config.seed)
        for split, limit in zip(SPLITS, (config.train_limit, config.valid_limit, None))
    )
    data = replace(data, rows=rows.reset_index(drop=True))
    trained = set(data.part("train")["label"])
    if len(trained) < 2:
        raise InputError(f"the train split needs 2 or more classes, it has {len(trained)}")
    if lost := sorted(set(data.part("valid")["label"]) - trained):
        raise InputError(f"class {lost[0]!r} is in the valid split but not in the train split")
    counts = data.rows["split"].value_counts().reindex(SPLITS, fill_value=0)
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


def with_made_split(
    data: DataSet, seed: int, held_out: tuple[str, ...], kept_in: Path | None = None
) -> DataSet:
    """Columns split and group: `held_out` get 15 % each, train the rest; whole groups only.

    Groups that are found are kept in the folder `kept_in`, for the next run.
    """
    rows = with_groups(data.rows, kept_in)
    splits = len(held_out) + 1
    what_to_do = f"a split needs {splits} or more of each class. Add photos, or give a split column"
    refuse_too_few(rows, splits, what_to_do)
    rows["split"] = split_of_folds(rows, folds_of(rows, seed), held_out, seed)
    return replace(data, rows=rows)


def with_groups(rows: pd.DataFrame, kept_in: Path | None) -> pd.DataFrame:
    """A copy that has the column group: its own, or near-duplicates found here."""
    rows = rows.copy()
    if "group" not in rows and len(rows) > READ_UP_TO:
        rows["group"] = equal_starts(list(rows["absolute_path"]))
        print(
            f"near-duplicates: {len(rows):,} images are too many to compare; only copies of one "
            "file are kept in one split. Give a column `group` if a leaf was shot more than once"
        )
    elif "group" not in rows:
        cv2.setNumThreads(1)  # the photos are spread over the cores already
        bar = lambda steps, total: console.bar(steps, "finding near-duplicates", total)  # noqa: E731
        rows["group"], before = find_groups(list(rows["absolute_path"]), kept_in, bar)
        print(
            f"near-duplicates{', found before' if before else ''}: {len(rows):,} images show "
            f"{rows['group'].nunique():,} leaves or scenes; all photos of one go to one split"
        )
    labels = rows.groupby("group")["label"].nunique()
    if (labels > 1).any():
        print(f"{(labels > 1).sum()} groups of near-duplicates carry two labels: check them")
    return rows


def refuse_too_few(rows: pd.DataFrame, needed: int, what_to_do: str) -> None:
    """Raise `InputError` for a class with fewer groups than are needed."""
    groups = rows.groupby("label")["group"].nunique()
    if groups.min() < needed:
        rare = groups.idxmin()
        raise InputError(f"class {rare!r} has {groups.min()} independent photos; {what_to_do}")


def refuse_too_few_for_folds(rows: pd.DataFrame, folds: int) -> None:
    """As `refuse_too_few`; rows without groups, which are not found yet, count each for itself."""
    rows = rows if "group" in rows else rows.assign(group=range(len(rows)))
    what_to_do = (
        f"{folds} folds need {folds} or more of each class. Add photos, take fewer folds, or "
        "train once with --all"
    )
    refuse_too_few(rows, folds, what_to_do)


def with_fold(data: DataSet, number: int, folds: int, kept_in: Path | None = None) -> DataSet:
    """The `number`-th of `folds` is valid, the others train; what the data calls test stays so.

    Which photo is in which fold hangs on the photos, their labels and groups alone. Raises
    `InputError` for a class with fewer groups than folds.
    """
    # Sorted: a folder's photos come in another order on another disk.
    rows = with_keys(data.rows).sort_values("key", kind="stable").drop(columns="key")
    rows = with_groups(rows.reset_index(drop=True), kept_in)
    dealt, test = rows, rows.head(0)
    if "split" in rows:
        is_test = rows["split"] == "test"
        dealt, test = rows[~is_test], rows[is_test]
    if dealt.empty:
        raise InputError("--fold: the data calls all of its photos test; there is none to train on")
    refuse_too_few_for_folds(dealt, folds)
    # Numbered in this order: what groups are called must not decide where they go.
    numbered = dealt.assign(group=pd.factorize(dealt["group"])[0])
    numbered["split"] = folds_of(numbered, SEED_OF_FOLDS, folds)
    fold = with_every_class(numbered, tuple(range(folds)))
    dealt = dealt.assign(split=np.where(fold == number - 1, "valid", "train"))
    if "split" in rows:
        print("the data's train and valid photos are put together and dealt to folds anew")
    print(f"fold {number} of {folds} is valid")
    rows = pd.concat([dealt, test], ignore_index=True)
    if "group" not in data.rows:
        warn_of_divided_groups(rows)  # of the data's own groups `load` has said it
    return replace(data, rows=rows)


def with_all_in_train(data: DataSet) -> DataSet:
    """Every photo trains but those that the data calls test."""
    rows = data.rows.copy()
    is_test = rows["split"] == "test" if "split" in rows else np.full(len(rows), False)
    if is_test.all():
        raise InputError("--all: the data calls all of its photos test; there is none to train on")
    rows["split"] = np.where(is_test, "test", "train")
    but = " but the data's own test photos" if is_test.any() else ""
    print(f"all photos{but} train: none is kept back to choose an epoch")
    return replace(data, rows=rows)


def with_made_valid(data: DataSet, seed: int, kept_in: Path | None = None) -> DataSet:
    """A valid split kept from the train images, for data that comes with train and test only."""
    train = data.part("train").drop(columns="split")
    if train.empty:
        raise InputError("the data's split column has neither train nor valid images")
    print(f"the data has no valid split: {HELD_OUT:.0%} of the train images are kept for it")
    train = with_made_split(replace(data, rows=train), seed, ("valid",), kept_in).rows
    # Groups found among the train images alone would leave the others without one.
    rest = data.rows[data.rows["split"] != "train"]
    return replace(data, rows=pd.concat([train[data.rows.columns], rest], ignore_index=True))


def folds_of(rows: pd.DataFrame, seed: int, most: int = FOLDS) -> np.ndarray:
    """A fold number for each row: equal parts with the classes in their shares, groups whole."""
    from sklearn.model_selection import StratifiedGroupKFold  # a second, for data without a split

    folds = min(most, rows["label"].value_counts().max(), rows["group"].nunique())
    fold = np.empty(len(rows), int)
    # The groups are shuffled here: up to scikit-learn 1.6 (Kaggle's) `shuffle=True` mixes up which
    # group has which classes, and the folds lose the classes' shares.
    names, group = np.unique(rows["group"], return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))[group]
    splitter = StratifiedGroupKFold(int(folds))
    with warnings.catch_warnings():
        # A class with fewer photos than folds: `split_of_folds` sees to it that all splits get it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, chosen) in enumerate(splitter.split(rows, rows["label"], shuffled)):
            fold[chosen] = number
    return fold


def split_of_folds(
    rows: pd.DataFrame, fold: np.ndarray, held_out: tuple[str, ...], seed: int
) -> np.ndarray:
    """Folds dealt to the splits at random, until every class is in every split.

    Where no dealing does that (many classes of a few photos), single groups of the best one move.
    """
    rng = np.random.default_rng(seed)
    folds = fold.max() + 1
    share = max(1, round(HELD_OUT * folds))
    names = np.array(["train"] * folds, dtype=object)
    for number, name in enumerate(held_out):
        names[number * share : (number + 1) * share] = name
    counts = pd.crosstab(rows["label"], fold).to_numpy()  # classes, folds
    best, fewest = names, np.inf
    for _ in range(TRIES):
        dealt = rng.permutation(names)
        lacking = sum((counts[:, dealt == name].sum(axis=1) == 0).sum() for name in {*names})
        if lacking < fewest:
            best, fewest = dealt, lacking
        if not lacking:
            break
    parts = ("train", *held_out)
    return best[fold] if not fewest else with_every_class(rows.assign(split=best[fold]), parts)


def with_every_class(rows: pd.DataFrame, parts: tuple) -> np.ndarray:
    """The column split, which names the `parts`, with a group moved for each class that one lacks.

    Raises `InputError` if that cannot be, since groups hold several classes.
    """
    split = rows["split"].copy()
    for label, part in itertools.product(sorted(rows["label"].unique()), parts):
        of_class = rows["label"] == label
        if (split[of_class] == part).any():
            continue
        where = rows["group"][of_class].groupby(split[of_class]).agg(["nunique", "first"])
        where = where.reindex([name for name in parts if name in where.index])
        split[rows["group"] == where["first"][where["nunique"].idxmax()]] = part
    if (rows["label"].groupby(split).nunique() < rows["label"].nunique()).any():
        rare = rows.groupby("label")["group"].nunique().idxmin()
        raise InputError(
            f"no split puts every class into every part (class {rare!r} has the fewest "
            "independent photos). Add photos, or give a split column"
        )
    return split.to_numpy()


def with_split_of(data: DataSet, made: pd.DataFrame) -> DataSet:
    """The split of an earlier run, by path and file size.

    Images it did not use, or that have another size now, are left out, and counted.
    """
    known = [name for name in ("bytes", "split", "group") if name in made]
    rows = data.rows.drop(columns=known, errors="ignore")
    rows, made = with_keys(rows), with_keys(made[["path", *known]]).drop(columns="path")
    rows = rows.merge(made, on="key").drop(columns="key")
    same = rows.pop("bytes").astype(int) == rows["absolute_path"].map(bytes_of)
    rows = rows[same].reset_index(drop=True)
    if len(rows) and (others := len(data.rows) - len(rows)):
        print(f"left out: images that the run did not use, or that have changed since: {others:,}")
    return replace(data, rows=rows)


def with_groups_of(data: DataSet, made: pd.DataFrame) -> DataSet:
    """The groups that another run found, if it knows all of the photos; else the data as it is.

    Another machine's search may join two photos more or less, and folds would overlap.
    """
    if "group" in data.rows or "group" not in made:
        return data
    known = with_keys(made).set_index("key")
    keys = with_keys(data.rows)["key"]
    if not keys.isin(known.index).all():
        return data
    known = known.loc[keys]
    sizes = data.rows["absolute_path"].map(bytes_of).to_numpy()
    if (known["group"] == "").any() or (known["bytes"].astype(int).to_numpy() != sizes).any():
        return data
    print("near-duplicates: those of the other folds")
    return replace(data, rows=data.rows.assign(group=known["group"].to_numpy()))


def with_keys(rows: pd.DataFrame) -> pd.DataFrame:
    """Column key: the path in NFC, so that data which went through a Mac is the same data."""
    keys = rows["path"].map(composed)
    return rows.assign(key=rows["path"] if keys.duplicated().any() else keys)
