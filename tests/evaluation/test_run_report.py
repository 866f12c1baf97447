"""report.html: one file that needs nothing else, whatever names the data has."""

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.data.dataset import DataSet
from lite0ca.errors import InputError
from lite0ca.evaluation import scoring
from lite0ca.evaluation.predictions import Answers
from lite0ca.evaluation.run_report import MISTAKES, place_of, write_page
from lite0ca.settings.config import Config

HOSTILE = "<script>alert('x')</script>"
ONCE = {"meta", "line", "circle", "polyline", "img", "br"}  # tags that nothing ends


class Page(HTMLParser):
    """What a page is made of: tags, what it points to, its text; and whether all is closed."""

    def __init__(self, file: Path):
        super().__init__()
        self.tags, self.links, self.text, self.open = [], [], "", []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open += [] if tag in ONCE else [tag]
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def answers(folder: Path, classes: list[str], photos: int = 40) -> Answers:
    """Answers of nobody, on noise; four in five are right."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    files = [folder / f"<b>{number}.jpg" for number in range(photos)]
    for file in files:
        Image.fromarray(rng.integers(0, 255, (50, 40, 3), np.uint8)).save(file)
    truth = np.arange(photos) % len(classes)
    said = np.where(rng.random(photos) < 0.8, truth, (truth + 1) % len(classes))
    rows = pd.DataFrame(
        {
            "path": [file.name for file in files],
            "absolute_path": [str(file) for file in files],
            "label": [classes[n] for n in truth],
            "answer": [classes[n] for n in said],
            "confidence": rng.uniform(0.5, 1, photos),
        }
    )
    label2id = {name: number for number, name in enumerate(classes)}
    config = Config(data_dir=str(folder), device="cpu")
    system = {"name": "EfficientNet_Lite0_CA", "backbone": "<i>", "attention": "ca"}
    metadata = {"config": config.as_dict(), "label2id": label2id, "system": system, "epoch": 2}
    data = DataSet(rows, label2id, folder, folder)
    return Answers(str(folder), metadata, config, data, "test", rows, own=True, at_end=True)


@pytest.mark.parametrize("number", [3, 60])
def test_names_are_text_and_nothing_is_fetched(number, tmp_path):
    classes = [HOSTILE, 'đạo ôn & "x"', *map(str, range(number - 2))]
    asked = answers(tmp_path / "photos", classes)
    page = Page(write_page(asked, scoring.scores_of(asked), tmp_path))
    assert not {"script", "i"} & set(page.tags) and page.tags.count("b") == 3, "only our own"
    assert page.open == [] and page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert HOSTILE in page.text and 'đạo ôn & "x"' in page.text and "<b>" in page.text
    content = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http" not in content.replace("http-equiv", "") and "@import" not in content
    assert "url(" not in content
    wrong = (asked.rows["label"] != asked.rows["answer"]).sum()
    assert page.tags.count("img") == min(wrong, MISTAKES) > 0
    assert ("What is taken for what" in page.text) and len(content) < 300_000
    assert ("most frequent mistakes" in page.text) is (number > 20)


def test_mistakes_about_photos_unlike_the_training_photos_are_flagged_and_last(tmp_path):
    asked = answers(tmp_path / "photos", ["a", "b"])
    plain = write_page(asked, scoring.scores_of(asked), tmp_path).read_text(encoding="utf-8")
    wrong = (asked.rows["label"] != asked.rows["answer"]).to_numpy()
    assert 2 <= wrong.sum() <= MISTAKES and "unlike" not in plain
    surest = asked.rows.loc[wrong, "confidence"].idxmax()
    distances = np.where(asked.rows.index == surest, 1.2, 0.5)
    asked = replace(asked, rows=asked.rows.assign(distance=distances))
    text = Page(write_page(asked, scoring.scores_of(asked), tmp_path)).text
    flag = "not sure: unlike the training photos"
    assert text.count(flag) == 1 and "Unlike the training photos: 1 of 40 (2.5%)." in text
    shown = text[text.index("Sure and wrong") : text.index("Can its")]
    assert shown.strip().endswith(f"{flag}{asked.rows['path'][surest]}")


def test_a_page_of_a_run(tiny_run, tmp_path, monkeypatch, capsys):
    """Names of the session's language, the settings, the curves, and what the data was."""
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    options = ["--num-workers", "0", "--split", "valid", "--output-dir", str(tmp_path)]
    assert main(["report", str(tiny_run), *options]) == 0
    file = tmp_path / "report_data_valid_drawn_sample.html"
    assert capsys.readouterr().out.endswith(f"{file}\n")
    page = Page(file)
    for text in ("đạo ôn", "leaf_blast", "Drawn leaves.", "it chose the epoch", "--head-lr"):
        assert text in page.text, text
    assert "--preset basic" in page.text and f"predict .../{tiny_run.name} photo.jpg" in page.text
    assert page.tags.count("polyline") == 2 + 2 + 3, "calibration, loss, scores"
    assert "all401260" in page.text, "photos of train, valid and test"
    assert str(tiny_run.parent) not in file.read_text(encoding="utf-8"), "it is sent to others"


def test_of_other_data_a_page_of_its_own_says_so(tiny_run, sample, tmp_path, capsys):
    """The training's page stays; what the run never saw is called so; moved data is its own."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "report.html").write_text("mine")
    moved, other = tmp_path / "moved", tmp_path / "other"
    shutil.copytree(sample.parent, moved)
    shutil.copytree(sample.parent, other)
    for photo in other.rglob("*.jpg"):
        photo.write_bytes(photo.read_bytes() + b" ")
    options = ["--num-workers", "0", "--device", "cpu", "--split"]
    elsewhere = "another data set than the one that the run was trained on"
    for data, part, said in (
        (moved, "valid", "its valid split; it chose the epoch"),
        (other, "test", f"its test split; it is {elsewhere}"),
        (None, "all", "all its splits; the run was trained on one of them"),
    ):
        typed = ["--data-dir", str(data)] if data else []
        assert main(["report", str(run), *options, part, *typed]) == 0
        file = Path(capsys.readouterr().out.splitlines()[-1])
        assert file.parent == run and file.name.startswith("report_") and part in file.name
        assert said in Page(file).text, (data, part)
    assert (run / "report.html").read_text() == "mine"
    assert main(["report", str(run), *options, "test", "--data-dir", str(moved)]) == 2
    assert "report.html: is there, and lite0ca did not make it" in capsys.readouterr().err


def test_a_photo_that_is_gone_is_left_out(tmp_path):
    asked = answers(tmp_path / "photos", ["a", "b"])
    wrong = asked.rows[asked.rows["label"] != asked.rows["answer"]]
    Path(wrong["absolute_path"].iloc[0]).unlink()
    page = Page(write_page(asked, scoring.scores_of(asked), tmp_path))
    assert page.tags.count("img") == len(wrong) - 1
    assert "; 1 more cannot be shown" in page.text


def test_a_run_without_curves_or_with_bad_ones(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    options = ["--num-workers", "0", "--split", "valid", "--device", "cpu"]
    (run / "names.json").write_text(json.dumps({"leaf_blast": {"en": "neck & leaf blast"}}))
    (run / "history.json").write_text(json.dumps({"valid_f1": [1, "x"]}))
    assert main(["report", str(run), *options]) == 2
    assert "history.json: is damaged" in capsys.readouterr().err
    for name in ("history.json", "metrics.json", "environment.json"):
        (run / name).unlink()
    assert main(["report", str(run / "best_model.pt"), *options]) == 0
    page = Page(run / "report_data_valid_drawn_sample.html")
    assert page.tags.count("polyline") == 2 and "Machine" not in page.text
    assert "neck & leaf blast" in page.text, "what its own names.json says"


def test_the_page_takes_the_place_of_its_own_kind_only(tmp_path):
    asked = answers(tmp_path / "photos", ["a", "b"])
    scores = scoring.scores_of(asked)
    assert write_page(asked, scores, tmp_path) == place_of(asked, tmp_path)
    assert write_page(asked, scores, tmp_path) == tmp_path / "report.html"
    (tmp_path / "report.html").write_text("<html>mine</html>")
    with pytest.raises(InputError, match="lite0ca did not make it"):
        write_page(asked, scores, tmp_path)


def test_all_right_is_no_mistake(tmp_path):
    asked = answers(tmp_path / "photos", ["a", "b"])
    rows = asked.rows.assign(answer=asked.rows["label"])
    asked = replace(asked, rows=rows, data=replace(asked.data, rows=rows))
    page = Page(write_page(asked, scoring.scores_of(asked), tmp_path))
    assert "img" not in page.tags and "0 of 40 answers are wrong." in page.text
