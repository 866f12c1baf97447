"""names.json beside the data: found, said, never passed over; and what becomes of it."""

import json
import shutil

import pytest
from conftest import LITTLE

from lite0ca.__main__ import main
from lite0ca.data import dataset
from lite0ca.errors import InputError
from lite0ca.export import phone_page
from lite0ca.formats.checkpoint import load_best
from lite0ca.formats.names import names_of
from lite0ca.formats.opening import open_file
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit

WRITTEN = '{"blast": {"vi": "đạo ôn lá"}, "healthy": "lúa tốt"}'
NAMES = {"blast": {"vi": "đạo ôn lá"}, "healthy": {"en": "lúa tốt", "vi": "lúa tốt"}}


@pytest.fixture
def lay(leaves, tmp_path):
    """A copy of the photos of two classes, in `above/data`."""
    return shutil.copytree(leaves, tmp_path / "above/data")


def load(**named) -> dataset.DataSet:
    return dataset.load(Config.of(**{name: str(path) for name, path in named.items()}))


@pytest.mark.parametrize("place", ["data", "."])
def test_in_the_folder(place, lay, capsys):
    """In the folder of the classes, or in the one that was named above it."""
    (lay.parent / place / "names.json").write_text(WRITTEN)
    data = load(data_dir=lay.parent)
    said = capsys.readouterr().out
    assert data.names == NAMES and data.root.name == "data"
    assert "names.json: blast, healthy" in said and "left out" not in said


def test_beside_a_table_or_the_class_numbers(lay, tmp_path, capsys):
    rows = [f"{photo.relative_to(lay)},{photo.parent.name}" for photo in lay.glob("*/*.jpg")]
    (lay / "train.csv").write_text("\n".join(["image_id,label", *rows]))
    assert load(metadata=lay / "train.csv").names == {}
    numbers = tmp_path / "numbers/label2id.json"
    numbers.parent.mkdir()
    numbers.write_text('{"healthy": 0, "blast": 1}')
    (numbers.parent / "names.json").write_text(WRITTEN)
    assert load(metadata=lay / "train.csv", label2id=numbers).names == NAMES
    shutil.copy(numbers.parent / "names.json", lay)
    capsys.readouterr()
    assert load(metadata=lay / "train.csv").names == NAMES
    assert "left out" not in capsys.readouterr().out
    with pytest.raises(InputError, match="both say what classes are called: keep one"):
        load(metadata=lay / "train.csv", label2id=numbers)


def test_one_that_cannot_be_used_stops_the_command(lay, capsys):
    (lay / "names.json").write_text('{"blsat": "đạo ôn"}')
    assert main(["train", "--data-dir", str(lay)]) == 2
    told = capsys.readouterr().err
    assert "names.json: class 'blsat' is unknown; did you mean 'blast'?" in told
    (lay / "names.json").unlink()
    (lay / "names.json").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load(data_dir=lay)


def test_shards_take_them_along(lay, tmp_path):
    (lay / "names.json").write_text(WRITTEN)
    assert main(["shard", str(tmp_path / "tars"), "--data-dir", str(lay)]) == 0
    assert load(metadata=tmp_path / "tars/metadata.csv").names == NAMES


def test_from_the_data_to_the_page(lay, tmp_path, monkeypatch):
    (lay / "names.json").write_text(WRITTEN)
    settings = {"epochs": 1, "image_size": 32, "batch_size": 8, "num_workers": 0, "device": "cpu"}
    settings |= {"data_dir": str(lay), "output_dir": str(tmp_path / "results")} | LITTLE
    run = fit(Config.of(**settings)).run
    assert names_of(run, load_best(run)) == load_best(run)["names"] == NAMES
    exported = ["export", str(run), "--num-workers", "0", "--output-dir"]
    # What the run's folder says comes before what training has read.
    (run / "names.json").write_text('{"blast": "cháy lá"}')
    later = {"blast": {"en": "cháy lá", "vi": "cháy lá"}}
    assert names_of(run, load_best(run)) == names_of(run / "best_model.pt", load_best(run)) == later
    assert main([*exported, str(tmp_path / "export")]) == 0
    (file,) = (tmp_path / "export").glob("*.onnx")
    metadata, _ = open_file(file)
    assert metadata["names"] == names_of(file, metadata) == later
    files = dict.fromkeys(phone_page.RUNTIME_FILES, b"runtime")
    monkeypatch.setattr(phone_page, "runtime_files", lambda: files)
    page = phone_page.write_page(file, metadata, tmp_path / "page")
    shown = json.loads((page / "model.json").read_text())["names"]
    assert shown == {"en": ["cháy lá", "healthy"], "vi": ["cháy lá", "khỏe mạnh"]}
    (run / "names.json").write_text("{")
    assert main([*exported, str(tmp_path / "again")]) == 2
    assert main(["adapt", str(run), str(lay)]) == 2


@pytest.mark.parametrize("content", ['{"1": "rose", "2": "daisy"}', '["rose", "daisy"]', "{}"])
def test_another_programs_names_are_passed_over_and_said(content, lay, capsys):
    (lay / "names.json").write_text(content)
    assert load(data_dir=lay).names == {}
    assert "names.json: none of these classes" in capsys.readouterr().out
