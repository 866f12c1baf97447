"""--fold and --all: which photo is where, whatever the seed, the order and the machine."""

import numpy as np
import pandas as pd
import pytest

from lite0ca.data import kept_groups, split
from lite0ca.data.dataset import DataSet
from lite0ca.data.split import for_training
from lite0ca.errors import InputError
from lite0ca.settings.config import Config


def table(groups_a_class=12, classes="abc", split_of=None) -> DataSet:
    """One to three photos a group, of a, b and c."""
    rows = [
        (f"{label}{group}_{photo}", label, f"{label}{group}")
        for label in classes
        for group in range(groups_a_class)
        for photo in range(1 + group % 3)
    ]
    rows = pd.DataFrame(rows, columns=["path", "label", "group"])
    rows["absolute_path"] = rows["path"]
    if split_of:
        rows["split"] = rows["group"].map(split_of)
    return DataSet(rows, {label: i for i, label in enumerate(classes)}, None, None)


@pytest.fixture(autouse=True)
def files_read(monkeypatch):
    """These tables name no files."""
    monkeypatch.setattr(split, "without_bad_images", lambda data, skip, read: data)


def parts(data: DataSet, **settings) -> dict:
    """{path: split} as training with these settings has it."""
    rows = for_training(data, Config.of(**settings)).rows
    return dict(zip(rows["path"], rows["split"]))


def test_each_photo_is_valid_once_and_no_group_lies_in_two_folds():
    data = table()
    folds = [parts(data, fold=f"{number}/4") for number in (1, 2, 3, 4)]
    group = dict(zip(data.rows["path"], data.rows["group"]))
    label = dict(zip(data.rows["path"], data.rows["label"]))
    held = [{path for path, part in fold.items() if part == "valid"} for fold in folds]
    assert sorted(path for one in held for path in one) == sorted(group)
    assert all(set(fold) == set(group) for fold in folds), "all others train"
    for fold, one in zip(folds, held):
        trained = {group[path] for path in fold if path not in one}
        assert not trained & {group[path] for path in one}
        counts = pd.Series([label[path] for path in one]).value_counts()
        assert set(counts.index) == set("abc")
        assert len(one) / len(group) == pytest.approx(1 / 4, abs=0.06)


def test_the_folds_are_the_same_for_every_seed_and_order():
    data = table()
    once = parts(data, fold="2/5")
    assert once == parts(data, fold="2/5", seed=7)
    shuffled = DataSet(data.rows.sample(frac=1, random_state=3), data.label2id, None, None)
    assert once == parts(shuffled, fold="2/5")
    renamed = data.rows.assign(group=[f"{len(g)}{g[::-1]}" for g in data.rows["group"]])
    assert once == parts(DataSet(renamed, data.label2id, None, None), fold="2/5")


def test_a_test_split_stays_and_the_others_are_dealt_anew(capsys):
    named = lambda group: {"1": "test", "2": "valid"}.get(group[1:], "train")  # noqa: E731
    data = table(split_of=named)
    folds = [parts(data, fold=f"{number}/3") for number in (1, 2, 3)]
    given = dict(zip(data.rows["path"], data.rows["split"]))
    for fold in folds:
        assert {p for p, part in fold.items() if part == "test"} == {
            p for p, part in given.items() if part == "test"
        }
    assert sum(part == "valid" for fold in folds for part in fold.values()) == sum(
        part != "test" for part in given.values()
    )
    assert "put together and dealt to folds anew" in capsys.readouterr().out
    everything = parts(data, all=True)
    assert {p for p, part in everything.items() if part == "train"} == {
        p for p, part in given.items() if part != "test"
    }
    assert set(everything.values()) == {"train", "test"}
    assert set(parts(table(), all=True).values()) == {"train"}, "no test is made"


def test_a_table_of_before_is_kept():
    for settings in ({"fold": "1/3"}, {"all": True}):
        first = for_training(table(), Config.of(**settings)).rows
        again = for_training(table(), Config.of(**settings), first.assign(bytes=-1)).rows
        assert dict(zip(first["path"], first["split"])) == dict(zip(again["path"], again["split"]))


@pytest.mark.parametrize("groups", [5, 6, 7, 11])
def test_every_fold_has_every_class(groups):
    data = table(groups_a_class=groups)
    rare = table(5, "z").rows
    data = DataSet(pd.concat([data.rows, rare], ignore_index=True), {}, None, None)
    for number in range(1, 6):
        rows = for_training(data, Config.of(fold=f"{number}/5")).rows
        assert (pd.crosstab(rows["label"], rows["split"]) > 0).all(axis=None)


def test_mistakes():
    with pytest.raises(InputError, match=r"class 'a' has 3 independent photos; 4 folds need 4"):
        for_training(table(3), Config.of(fold="1/4"))
    for settings in ({"fold": "1/2"}, {"all": True}):
        with pytest.raises(InputError, match="calls all of its photos test"):
            for_training(table(split_of=lambda group: "test"), Config.of(**settings))
    for text in ("0/5", "6/5", "1/1", "1/21", "1", "a/b", "1/2/3", "-1/5", "1/ 5", "²/5"):
        with pytest.raises(InputError, match="--fold takes K/N"):
            Config.of(fold=text)
    with pytest.raises(InputError, match=r"--all .* --fold"):
        Config.of(fold="1/5", all=True)


def test_near_duplicates_are_sought_once(photos, tmp_path, monkeypatch):
    files = sorted(map(str, photos({"a": 6}).rglob("*.jpg")))
    sought = []

    def found(files, bar=None):
        sought.append(len(files))
        return np.arange(len(files)) // 2

    monkeypatch.setattr(kept_groups.near_duplicates, "find_groups", found)
    for before in (False, True):
        groups, kept = kept_groups.find_groups(files, tmp_path / "cache")
        assert groups.tolist() == [0, 0, 1, 1, 2, 2] and kept is before
    assert sought == [6]
    (file,) = (tmp_path / "cache").iterdir()
    for damaged in ('{"groups": [0, 0]}', '{"groups": [0, 0, 1, 1, 2, "x"]}', "[1", ""):
        file.write_text(damaged)
        assert kept_groups.find_groups(files, tmp_path / "cache")[0].max() == 2
    photos({"a": 1})  # one of them is written anew
    assert not kept_groups.find_groups(files, tmp_path / "cache")[1]
    assert (
        not kept_groups.find_groups(files, None)[1]
        and kept_groups.folder_of(Config.of(cache="none")) is None
    )
