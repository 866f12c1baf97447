"""Splits made here, and limits."""

import numpy as np
import pandas as pd
import pytest

from lite0ca.data import dataset, split
from lite0ca.data.dataset import DataSet
from lite0ca.data.split import for_training, limited
from lite0ca.errors import InputError
from lite0ca.settings.config import Config

BOTH = ("test", "valid")


def with_made_split(data, seed, held_out=BOTH):
    return split.with_made_split(data, seed, held_out)


def table(groups_a_class=40, classes="abc", photos_a_group=3):
    rows = [
        (f"{label}{group}_{photo}", label, f"{label}{group}")
        for label in classes
        for group in range(groups_a_class)
        for photo in range(1 + group % photos_a_group)
    ]
    rows = pd.DataFrame(rows, columns=["path", "label", "group"])
    rows["absolute_path"] = rows["path"]
    return DataSet(rows, {label: i for i, label in enumerate(classes)}, None, None)


@pytest.fixture(autouse=True)
def files_read(monkeypatch):
    """These tables name no files: reading them is tested in test_data.py."""
    monkeypatch.setattr(split, "without_bad_images", lambda data, skip, read: data)


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


def test_three_hundred_classes_of_four_photos():
    """More classes than any dealing of folds can serve."""
    names = [f"{number:03}" for number in range(300)]
    rows = with_made_split(table(4, names, photos_a_group=1), 0).rows
    assert (pd.crosstab(rows["label"], rows["split"]) > 0).all(axis=None)
    assert rows["split"].value_counts()["train"] >= 600


def test_a_rare_class_does_not_change_the_shares():
    data = table(groups_a_class=200, photos_a_group=1)
    rare = [(f"r{i}", "rare", f"r{i}", "x") for i in range(3)]
    rows = pd.concat([data.rows, pd.DataFrame(rare, columns=data.rows.columns)])
    rows = with_made_split(DataSet(rows.reset_index(drop=True), {}, None, None), 1).rows
    assert rows["split"].value_counts(normalize=True)["train"] == pytest.approx(0.7, abs=0.02)
    assert rows[rows["label"] == "rare"]["split"].nunique() == 3


def test_a_missing_valid_split_is_kept_from_train(capsys):
    data = table()
    data.rows["split"] = ["test" if group.endswith("7") else "train" for group in data.rows.group]
    rows = for_training(data, Config()).rows
    assert "no valid split: 15% of the train images" in capsys.readouterr().out
    assert set(rows[rows["group"].str.endswith("7")]["split"]) == {"test"}
    train = rows[rows["split"] != "test"]
    assert (train["split"] == "valid").mean() == pytest.approx(0.15, abs=0.05)
    assert (train.groupby("group")["split"].nunique() == 1).all()


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
        ({"a": ["test"], "b": ["test"]}, "neither train nor valid images"),
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
    data = DataSet(rows, {label: i for i, label in enumerate(splits)}, None, None)
    with pytest.raises(InputError, match=message):
        for_training(data, Config())


def test_an_earlier_split_is_used_again():
    first = for_training(table(), Config.of(train_limit=20))
    made = first.rows.assign(bytes=-1)
    again = for_training(table(), Config.of(train_limit=20, seed=7), made)
    assert dict(zip(again.rows["path"], again.rows["split"])) == dict(
        zip(first.rows["path"], first.rows["split"])
    )
    gone = DataSet(table().rows.iloc[100:], {}, "here", None)
    with pytest.raises(InputError, match="images of the run are no longer in it"):
        for_training(gone, Config(), made)
    with pytest.raises(InputError, match="images of the run are no longer in it"):
        for_training(table(), Config(), made.assign(bytes=7))  # other files of the same names


def test_bad_files_are_found_whatever_the_limits(sample, tmp_path, monkeypatch):
    monkeypatch.undo()
    lines = sample.read_text().splitlines()
    text = [lines[0], *(f"{sample.parent}/{line}" for line in lines[1:])]
    text.append("none.jpg,healthy,train,g,x")
    (tmp_path / "metadata.csv").write_text("\n".join(text))
    config = Config.of(metadata=str(tmp_path / "metadata.csv"), train_limit=4, valid_limit=4)
    with pytest.raises(InputError, match=r"1 of 405 images .*none\.jpg \(missing\)"):
        for_training(dataset.load(config), config)
