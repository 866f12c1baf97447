"""Any data set -> one table; a mistake in it is named with file and line."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lite0ca.data import dataset
from lite0ca.errors import InputError
from lite0ca.machine import environment
from lite0ca.settings.config import Config


def load(**settings):
    return dataset.load(Config.of(**settings))


def write_csv(folder, text, name="metadata.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_csv_with_relative_and_absolute_paths_and_other_columns(photos):
    folder = photos({"blast": 2, "lá khỏe": 2})
    rows = ["path,label,split,camera"]
    rows += ["blast/photo 0.jpg,blast,train,a", f"{folder}/blast/photo 1.jpg,blast,val,b"]
    rows += ["lá khỏe/photo 0.jpg,khỏe,Training,a", "lá khỏe/photo 1.jpg, khỏe ,valid,b"]
    found = load(metadata=write_csv(folder, "\n".join(rows)))
    assert found.label2id == {"blast": 0, "khỏe": 1}
    assert found.rows["split"].tolist() == ["train", "valid", "train", "valid"]
    assert found.rows["camera"].tolist() == ["a", "b", "a", "b"]
    assert len(found.part("train")) == 2


def test_folder_of_classes(photos):
    folder = photos({"a/deep/er": 2, "a": 1, "b": 3, ".ipynb_checkpoints": 1, "empty": 0})
    (folder / "notes").mkdir()
    (folder / "notes/readme.txt").write_text("no image")
    found = load(data_dir=str(folder))
    assert found.rows["label"].value_counts().to_dict() == {"a": 3, "b": 3}
    assert "split" not in found.rows


def test_the_folder_one_is_in(photos, monkeypatch):
    monkeypatch.chdir(photos({"a": 2, "b": 1}))
    found = load(data_dir=".")
    assert sorted(found.rows["path"]) == ["a/photo 0.jpg", "a/photo 1.jpg", "b/photo 0.jpg"]
    assert all(Path(path).is_file() for path in found.rows["absolute_path"])


def test_split_folders(photos):
    folder = photos({"Train/a": 2, "Train/b": 2, "val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1})
    found = load(data_dir=str(folder))
    assert found.rows["split"].value_counts().to_dict() == {"train": 4, "valid": 2, "test": 2}
    assert found.label2id == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a CSV file"),
        ("path,label\n", "lists no image"),
        ("leaf,label,age\nx.jpg,a,3\n", r"has no column 'path' \(its columns: leaf, label, age\)"),
        ("file,label\nx.jpg,a\n", "no photo below .* has a name of its ids"),
        ("path,label,label\na/photo 0.jpg,a,b\n", "has two columns 'label'"),
        ("path;label\nx.jpg;a\n", "has no column 'path'"),
        ("path,label\na/photo 0.jpg,\n", "line 2 has no label"),
        ("path,label,split\na/photo 0.jpg,a,trane\n", "line 2: split 'trane' is unknown"),
        ("path,label\na/photo 0.jpg,a\na/photo 1.jpg,a\n", "2 or more classes"),
        ("path,label\na/photo 0.jpg,a\na/photo 0.jpg,b\n", "listed with two labels"),
        (
            "path,label,split\na/photo 0.jpg,a,train\na/photo 0.jpg,a,test\n",
            "listed with two splits",
        ),
        ("path,label\na/photo 0.jpg,a\nb/none.jpg,b\n", r"b/none.jpg \(missing\)"),
        ("path,label\nlater.jpg,a\n,b\n", "line 3 has no path"),
    ],
)
def test_wrong_csv_files(photos, text, message):
    folder = photos({"a": 2, "b": 2})
    with pytest.raises(InputError, match=message):
        dataset.without_bad_images(load(metadata=write_csv(folder, text)), skip=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 0}', "label 'b' is unknown"),
        ('{"a": 0, "b": 2}', "must number the classes 0 to 1"),
        ('{"a": 0, "b": 0}', "must number the classes 0 to 1"),
        ("[1]", "must be JSON"),
        ("{", "must be JSON"),
    ],
)
def test_wrong_label_maps(photos, content, message):
    folder = photos({"a": 1, "b": 1})
    csv = write_csv(folder, "path,label\na/photo 0.jpg,a\nb/photo 0.jpg,b\n")
    (folder / "label2id.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load(metadata=csv)
    with pytest.raises(InputError, match="no such file"):
        load(metadata=csv, label2id=str(folder / "none.json"))


def test_label_map_beside_the_csv_numbers_the_classes(photos):
    folder = photos({"a": 1, "b": 1})
    csv = write_csv(folder, "path,label\na/photo 0.jpg,a\nb/photo 0.jpg,b\n")
    (folder / "label2id.json").write_text('{"a": 1, "b": 0}')
    found = load(metadata=csv)
    assert found.label2id == {"b": 0, "a": 1} and found.classes == ["b", "a"]


def test_bad_images_stop_or_are_left_out(photos, capsys):
    folder = photos({"a": 3, "b": 3})
    (folder / "a/photo 1.jpg").write_bytes(b"not a photo")
    (folder / "b/photo 2.jpg").write_bytes((folder / "b/photo 1.jpg").read_bytes()[:300])
    with pytest.raises(InputError, match=r"2 of 6 images.*a/photo 1.jpg.*b/photo 2.jpg"):
        dataset.without_bad_images(load(data_dir=str(folder)), skip=False)
    assert len(dataset.without_bad_images(load(data_dir=str(folder)), skip=True).rows) == 4
    assert "bad images left out, 2 of 6: a/photo 1.jpg (cannot identify" in capsys.readouterr().out


def test_found_without_flags_in_the_stated_order(photos, tmp_path, monkeypatch, capsys):
    work, kaggle = tmp_path / "work", tmp_path / "kaggle"
    work.mkdir()
    kaggle.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(environment, "KAGGLE_INPUT", kaggle)
    monkeypatch.delenv("LITE0CA_DATA", raising=False)
    with pytest.raises(InputError, match="drawn sample: lite0ca sample"):
        load()
    for layout in ("paddy", "datasets/owner/paddy", "competitions/paddy"):
        photos({"a": 2, "b": 2}, kaggle / layout / "train_images")
        photos({"": 2}, kaggle / layout / "test_images")
        found = load()
        assert found.root == kaggle / layout and "split" not in found.rows
        assert "attached on Kaggle" in capsys.readouterr().out
        shutil.rmtree(kaggle)
    photos({"a": 2, "b": 2}, kaggle / "one")
    photos({"a": 2, "b": 2}, kaggle / "two")
    with pytest.raises(InputError, match="several data sets are attached"):
        load()
    monkeypatch.setenv("LITE0CA_DATA", str(photos({"c": 2, "d": 2}, tmp_path / "env")))
    assert load().label2id == {"c": 0, "d": 1}
    photos({"e": 2, "f": 2}, work / "data")
    rows = [f"{label}/photo {i}.jpg,{label}" for label in "ef" for i in range(2)]
    write_csv(work / "data", "\n".join(["path,label", *rows]))
    assert load().label2id == {"e": 0, "f": 1}


def test_a_folder_without_classes_says_what_it_needs(photos, tmp_path):
    with pytest.raises(InputError, match="training needs 2 or more classes; all images are 'only'"):
        load(data_dir=str(photos({"only": 3})))
    with pytest.raises(InputError, match="expected a sub-folder with images for each class"):
        load(data_dir=str(photos({"": 3}, tmp_path / "flat")))
    with pytest.raises(InputError, match="does not exist"):
        load(data_dir=str(tmp_path / "none"))
    with pytest.raises(InputError, match="must be a CSV file"):
        load(metadata=str(tmp_path))


def test_the_fingerprint_tells_data_apart(photos):
    folder = photos({"a": 2, "b": 2})
    first = load(data_dir=str(folder))
    first.rows["split"] = "train"
    moved = shutil.copytree(folder, folder.parent / "moved")
    second = load(data_dir=str(moved))
    second.rows["split"] = "train"
    assert first.fingerprint == second.fingerprint, "where the data lies does not matter"
    second.rows.loc[0, "label"] = "b"
    assert first.fingerprint != second.fingerprint


def test_real_photos(rice_leaf):
    found = load(metadata=str(rice_leaf / "metadata.csv"))
    assert len(found.rows) == 1542
    assert found.label2id == json.loads((rice_leaf / "label2id.json").read_text())
    assert found.part("test")["label"].value_counts()["brown_spot"] == 62
    assert isinstance(found.rows, pd.DataFrame)
