"""`lite0ca label`: what is worth a label, told apart, never over what somebody has filled in."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lite0ca import notebook
from lite0ca.__main__ import main
from lite0ca.adaptation import label_sheet
from lite0ca.adaptation.choosing import telling
from lite0ca.data import dataset
from lite0ca.errors import InputError
from lite0ca.settings.config import Config


@pytest.fixture
def field(sample, tmp_path) -> Path:
    """Twelve drawings, two of each of six leaves, without a word of what they are."""
    rows = pd.read_csv(sample)
    twice = rows[rows.groupby("group")["path"].transform("size") > 1].sort_values("group")
    folder = tmp_path / "my field"
    folder.mkdir()
    for number, path in enumerate(twice["path"].head(12)):
        shutil.copy(sample.parent / path, folder / f"lá {number:02}.jpg")
    return folder


def table_of(folder: Path) -> list[dict]:
    with open(folder / "labels.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(folder: Path, labels: list[str]) -> None:
    rows = table_of(folder)
    for row, label in zip(rows, labels):
        row["label"] = label
    with open(folder / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_table_to_fill_in_and_a_page(tiny_run, field, tmp_path, capsys, monkeypatch):
    (field / "broken.jpg").write_bytes(b"no photo")
    monkeypatch.chdir(tmp_path)
    command = ["label", str(tiny_run), str(field), "--count", "4", "--num-workers", "0"]
    assert main(command) == 2, "as predict where a file cannot be read"
    said = capsys.readouterr()
    assert "left out: " in said.err and "broken.jpg: unreadable image" in said.err
    assert "4 to label of 12 photos, no two of them near-duplicates" in said.out
    out = tmp_path / "my field_to_label"
    assert f"adapt {tiny_run} --metadata 'my field_to_label/labels.csv'" in said.out
    rows = table_of(out)
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["label"] for row in rows} == {""}
    assert all(Path(row["path"]).parent == field for row in rows)
    leaves = {int(Path(row["path"]).stem[-2:]) // 2 for row in rows}
    assert len(leaves) == 4, "no leaf twice"
    page = (out / "labelling.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4 and "<script" not in page and "http:" not in page
    assert "<code>leaf_blast</code>" in page
    assert all(f'href="{Path(row["path"]).as_uri()}"' in page for row in rows), "opens the photo"
    # Unfilled it is refused in one line; filled in it is a data set. What is filled in stays.
    with pytest.raises(InputError, match="no photo has a label yet; fill in the column label"):
        dataset.load(Config(metadata=str(out / "labels.csv")))
    assert main([*command, "--skip-bad-images"]) == 0
    assert table_of(out) == rows, "the same photos give the same choice"
    fill(out, ["healthy", "leaf_blast", "", ""])
    assert len(dataset.load(Config(metadata=str(out / "labels.csv"))).rows) == 2
    assert "left out: 2 photos" in capsys.readouterr().out
    fill(out, ["healthy", "leaf_blast", "healthy", "rust"])
    data = dataset.load(Config(metadata=str(out / "labels.csv")))
    assert sorted(data.rows["label"]) == ["healthy", "healthy", "leaf_blast", "rust"]
    assert sorted(data.rows["absolute_path"]) == sorted(row["path"] for row in rows)
    capsys.readouterr()
    assert main(command) == 2
    assert "has 4 labels filled in, which stay" in capsys.readouterr().err
    assert [row["label"] for row in table_of(out)] == ["healthy", "leaf_blast", "healthy", "rust"]


def test_one_of_each_kind_and_no_leaf_twice():
    """Three kinds of which one is rare; every photo was taken twice."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 30)) * 3
    leaves = np.repeat([0, 1, 2], [30, 12, 3])
    features = np.repeat(kinds[leaves] + rng.normal(size=(45, 30)), 2, axis=0)
    group = np.arange(90) // 2
    chosen = telling(features, 3, lambda some: group[some])
    assert [leaves[group[number]] for number in chosen] == [0, 1, 2], "the most frequent first"
    many = telling(features, 20, lambda some: group[some])
    assert len(set(group[many])) == len(many) == 20
    # Of five leaves there are not more than five, however many photos are wanted.
    few = telling(features[:10], 8, lambda some: group[some])
    assert sorted(group[few]) == [0, 1, 2, 3, 4]
    assert telling(np.zeros((6, 4)), 3, lambda some: np.zeros(len(some))) in ([0], [5])
    assert len(telling(features[:1], 10, lambda some: group[some])) == 1


@pytest.mark.parametrize("name", ["labels.csv", "labelling.html"])
def test_files_of_others_stay(name, tiny_run, field, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("path;label\nmine;blast\n")
    assert main(["label", str(tiny_run), str(field), "--output-dir", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{name}: is there, and lite0ca did not make it" in error and error.count("\n") == 1
    assert [file.name for file in out.iterdir()] == [name]


def test_mistakes(tiny_run, field, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.jpg").write_bytes(b"no photo")
    out = ["--output-dir", str(tmp_path / "out")]
    for arguments, message in (
        ([str(tiny_run), str(field), "--count", "0", *out], "--count must be at least 1"),
        ([str(tiny_run), str(tmp_path / "none"), *out], "there is no such file or folder"),
        ([str(tmp_path / "none"), str(field), *out], "there is no such run"),
        ([str(tiny_run), str(broken), *out], "none of the 1 photos can be read"),
        ([str(tiny_run), str(field), "--output-dir", str(field / "x")], "lies in the data folder"),
    ):
        assert main(["label", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() and not (field / "x").exists()


def test_buttons_in_a_notebook(tiny_run, field, tmp_path):
    """A click writes the table, another takes it back; what was filled in is taken up again."""
    widgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    out = tmp_path / "out"

    def shown():
        given = {"count": 3, "output_dir": str(out), "num_workers": 0}
        said, photos = notebook.labelling(str(tiny_run), str(field), **given).children
        boxes = [box.children for box in photos.children]
        assert all(isinstance(box[0], widgets.Image) and len(box[0].value) > 500 for box in boxes)
        return said, [{button.description: button for button in box[2:]} for box in boxes]

    said, (first, second, _) = shown()
    assert list(first) == ["bacterial leaf blight", "brown spot", "healthy", "leaf blast"]
    assert said.value.startswith("0 of 3 labelled, in ") and (out / "labelling.html").is_file()
    first["healthy"].click()
    second["brown spot"].click()
    second["leaf blast"].click()
    assert [row["label"] for row in table_of(out)] == ["healthy", "leaf_blast", ""]
    assert said.value.startswith("2 of 3") and first["healthy"].button_style == "success"
    assert second["brown spot"].button_style == ""
    said, (first, second, _) = shown()
    assert said.value.startswith("2 of 3") and first["healthy"].button_style == "success"
    first["healthy"].click()
    assert [row["label"] for row in table_of(out)] == ["", "leaf_blast", ""]


def test_without_buttons_the_photos_are_shown(tiny_run, field, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    picture = notebook.labelling(str(tiny_run), str(field), 3, str(tmp_path / "out"))
    assert picture.data[:2] == b"\xff\xd8", "a JPEG"
    said = capsys.readouterr().out
    assert "ipywidgets is not installed" in said and str(tmp_path / "out/labels.csv") in said
    assert label_sheet.filled(tmp_path / "out/labels.csv")[0][1] == ""
