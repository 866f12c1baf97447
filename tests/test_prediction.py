"""`lite0ca.load(RUN).predict(...)`: what a notebook asks."""

import ntpath
import os

import numpy as np
import pytest
from PIL import Image

import lite0ca
from lite0ca.__main__ import main
from lite0ca.commands.predict import percent, short
from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import load_best


@pytest.fixture(scope="module")
def model(tiny_run):
    return lite0ca.load(tiny_run, language="vi", device="cpu")


@pytest.fixture(scope="module")
def path(sample):
    return sample.parent / "brown_spot/sample_001_0.jpg"


def test_one_photo_however_it_is_given(model, path):
    answer = model.predict(path)
    assert list(answer.probabilities) == sorted(
        model.classes, key=answer.probabilities.get, reverse=True
    )
    assert answer.label == next(iter(answer.probabilities))
    assert answer.probability == answer.probabilities[answer.label]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.unlike == (answer.distance > 1)
    assert answer.sure == (answer.probability >= model.sure_from and not answer.unlike)
    assert answer.name == {"healthy": "khỏe mạnh", "brown_spot": "đốm nâu"}.get(
        answer.label, model.names[answer.label]
    )
    assert model.predict(str(path)).probabilities == answer.probabilities
    image = Image.open(path)
    pixels = model.predict(np.asarray(image))
    # A file is decoded at a part of its scale, if that suffices.
    assert pixels.probabilities == pytest.approx(answer.probabilities, abs=0.05)
    for given in (image, image.convert("RGBA")):
        assert model.predict(given).probabilities == pixels.probabilities
    assert answer.name in answer._repr_html_()


def test_many_photos_are_a_table(model, path):
    table = model.predict(path.parent)
    said = ["path", "label", "name", "probability", "sure", "unlike", "distance", "problem"]
    assert list(table.columns[:8]) == said
    assert list(table.columns[8:]) == [f"p({name})" for name in model.classes] and len(table) == 101
    one = model.predict(table["path"][3])
    assert one.label == table["label"][3]
    assert one.probability == pytest.approx(table["probability"][3], abs=1e-5)
    photos = np.stack([np.asarray(Image.open(name)) for name in table["path"][:2]])
    answers_of_files = table["label"].tolist()[:2]
    assert model.predict(list(table["path"][:2]))["label"].tolist() == answers_of_files
    answers = [model.predict(photo).label for photo in photos]
    for given in (photos, list(photos), map(Image.fromarray, photos)):
        assert model.predict(given)["label"].tolist() == answers
    assert model.predict([]).empty
    assert model.predict(table["path"].to_numpy()[:2])["label"].tolist() == answers_of_files


def test_a_file_that_cannot_be_read_has_a_row_with_its_problem(model, path, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(path.read_bytes()[:500])
    table = model.predict([path, broken])
    assert table["label"].isna().tolist() == [False, True]
    assert "broken.jpg" in table["problem"][1] and not table["sure"][1]
    with pytest.raises(InputError, match=r"broken.jpg: unreadable image"):
        model.predict(broken)


@pytest.mark.parametrize(
    "photo",
    [
        "none.jpg",
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        [np.zeros((2, 4, 4, 1), np.uint8)],
        [3],
        5,
        None,
        ["none.jpg", np.zeros((4, 4, 3), np.uint8)],
    ],
)
def test_what_is_no_photo_is_refused(model, photo):
    with pytest.raises(InputError, match=r"no such file|photos?: "):
        model.predict(photo)


def test_the_limit_may_be_set(tiny_run, path):
    model = lite0ca.load(tiny_run, device="cpu")
    model.sure_from = 0.0
    assert model.predict(path).sure
    assert model.metadata["label2id"] == load_best(tiny_run)["label2id"]


def test_a_language_that_is_not_known(tiny_run):
    with pytest.raises(InputError, match="language 'fr' is unknown; known are en, vi"):
        lite0ca.load(tiny_run, language="fr")


def test_paths_as_people_read_them(monkeypatch):
    assert short(["a/b/c.jpg", "a/d.jpg"], ["a"]) == ["a/b/c.jpg", "a/d.jpg"]
    assert percent(0.404) == "40 %" and percent(0.9962) == "99.6 %" and percent(0.99999) == "99.9 %"
    monkeypatch.setattr(os, "path", ntpath)
    assert short(["D:\\photos\\a.jpg"], ["D:\\photos\\a.jpg"]) == ["D:\\photos\\a.jpg"]


def test_a_table_for_a_pipe_is_alone(tiny_run, path, script):
    command = ["predict", tiny_run, path, "--csv", "/dev/stdout", "--device", "cpu"]
    done = script(*command, module="lite0ca")
    assert done.returncode == 0 and done.stdout.startswith("path,prediction,")
    assert done.stdout.count("\n") == 2 and "not sure: " in done.stderr


def test_answers_in_vietnamese_with_a_table_for_excel(tiny_run, path, tmp_path, capsys):
    photo, out = tmp_path / "lá.jpg", tmp_path / "answers.csv"
    photo.hardlink_to(path)
    command = ["predict", str(tiny_run), str(photo), str(path), "--csv", str(out)]
    assert main([*command, "--language", "vi", "--sure-from", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "chưa chắc: " in said and "2 ảnh: 2 chưa chắc" in said and "dưới 100 %" in said
    assert out.read_bytes().startswith(b"\xef\xbb\xbfpath,prediction,")
    assert main([*command, "--device", "cpu"]) == 0, "its own table is written anew"


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"lite0ca {lite0ca.__version__}\n"
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0 and "predict" in capsys.readouterr().out
