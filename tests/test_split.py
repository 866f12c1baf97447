"""Splits made here, and limits."""

import numpy as np
import pandas as pd
import pytest

from lite0ca.config import Config
from lite0ca.data import DataSet
from lite0ca.errors import InputError
from lite0ca.split import for_training, limited, with_made_split


def table(groups_a_class=40, classes="abc", photos_a_group=3):
    rows = [
        (f"{label}{group}_{photo}", label, f"{label}{group}")
        for label in classes
        for group in range(groups_a_class)
        for photo in range(1 + group % photos_a_group)
    ]
    rows = pd.DataFrame(rows, columns=["path", "label", "group"])
    return DataSet(rows, {label: i for i, label in enumerate(classes)}, None, "test")


def test_made_splits_are_grouped_stratified_and_seeded():
    rows = with_made_split(table(), 42).rows
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    shares = pd.crosstab(rows["label"], rows["split"], normalize="index")
    assert np.allclose(shares["train"], 0.70, atol=0.06)
    assert np.allclose(shares["valid"], 0.15, atol=0.06)
    assert np.allclose(shares["test"], 0.15, atol=0.06)
    assert rows["split"].equals(with_made_split(table(), 42).rows["split"])
    assert not rows["split"].equals(with_made_split(table(), 43).rows["split"])


@pytest.mark.parametrize("groups", [3, 4, 7, 12])
def test_small_classes_still_reach_every_split(groups):
    rows = with_made_split(table(groups_a_class=groups, photos_a_group=1), 0).rows
    assert (pd.crosstab(rows["label"], rows["split"]) > 0).all(axis=None)


def test_too_few_photos_to_split():
    with pytest.raises(InputError, match="has 2 independent photos; a split needs 3"):
        with_made_split(table(groups_a_class=2), 0)


def test_limits_keep_the_shares_and_every_class():
    rows = pd.DataFrame({"label": ["a"] * 800 + ["b"] * 190 + ["c"] * 10})
    drawn = limited(rows, "train", 100, seed=1)["label"].value_counts()
    assert drawn.to_dict() == {"a": 80, "b": 19, "c": 1}
    assert limited(rows, "train", 3, seed=1)["label"].nunique() == 3
    assert limited(rows, "train", 5000, seed=1) is rows
    assert limited(rows, "train", 50, 1).index.equals(limited(rows, "train", 50, 1).index)
    assert not limited(rows, "train", 50, 1).index.equals(limited(rows, "train", 50, 2).index)
    with pytest.raises(InputError, match="--train-limit 2: the data has 3 classes"):
        limited(rows, "train", 2, seed=1)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"a": ["train"], "b": ["train"]}, "no valid images"),
        ({"a": ["valid"], "b": ["valid"]}, "train split needs 2 or more classes, it has 0"),
        ({"a": ["train", "valid"], "b": ["valid"]}, "needs 2 or more classes, it has 1"),
        (
            {"a": ["train", "valid"], "b": ["train"], "c": ["valid"]},
            "'c' is in the valid split but not in the train split",
        ),
    ],
)
def test_splits_that_cannot_train(splits, message):
    rows = [(f"{label}{s}", label, s) for label, given in splits.items() for s in given]
    rows = pd.DataFrame(rows, columns=["path", "label", "split"])
    data = DataSet(rows, {label: i for i, label in enumerate(splits)}, None, "test")
    with pytest.raises(InputError, match=message):
        for_training(data, Config())


def test_an_earlier_split_is_used_again():
    first = for_training(table(), Config.of(train_limit=20))
    again = for_training(table(), Config.of(train_limit=20, seed=7), made=first.rows)
    assert dict(zip(again.rows["path"], again.rows["split"])) == dict(
        zip(first.rows["path"], first.rows["split"])
    )
    gone = DataSet(table().rows.iloc[5:], {}, "here", "test")
    with pytest.raises(InputError, match="no longer in the data"):
        for_training(gone, Config(), made=first.rows)
