"""Photos unlike those of the training: what is said of them, and what a run without a measure says.

By the commands and `lite0ca.load`, as a user meets it.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import lite0ca
from lite0ca.__main__ import main
from lite0ca.evaluation.certainty import NO_LEAF, is_no_leaf, is_sure, is_unlike
from lite0ca.formats.checkpoint import load_best, save_checkpoint

QUICK = ["--device", "cpu", "--num-workers", "0"]


@pytest.fixture(scope="module")
def folder(sample, tmp_path_factory) -> Path:
    """Nine pictures of noise and three drawn leaves."""
    folder = tmp_path_factory.mktemp("unlike")
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"n{number}.png")
    for number, photo in enumerate(sorted((sample.parent / "healthy").iterdir())[:3]):
        (folder / f"leaf{number}.jpg").hardlink_to(photo)
    return folder


@pytest.fixture(scope="module")
def with_limits(tiny_run, tmp_path_factory):
    """`with_limits(near)`: the run with `near` times its limit, sure of all that is within.

    None takes the measure away.
    """

    def made(near: float | None) -> Path:
        run = tmp_path_factory.mktemp("run")
        content = load_best(tiny_run) | {"sure_from": 0.0}
        kept = content.pop("distance")
        if near is not None:
            content["distance"] = kept | {"whitening": kept["whitening"] / near}
        save_checkpoint(run / "best_model.pt", content)
        return run

    return made


@pytest.fixture(scope="module")
def without(with_limits):
    return with_limits(None)


def test_sure_and_unlike_counted_by_hand():
    confidence, distance = np.array([0.9, 0.9, 0.9, 0.7]), np.array([1.0, 1.01, np.nan, 0.1])
    assert is_unlike(distance).tolist() == [False, True, True, False]
    assert is_sure(confidence, distance, 0.8).tolist() == [True, False, False, False]
    assert is_sure(confidence, None, 0.8).tolist() == [True, True, True, False]
    assert is_no_leaf(NO_LEAF + 0.01) and not is_no_leaf(NO_LEAF) and not is_no_leaf(None)


def test_noise_is_unlike_drawn_leaves_and_no_answer_about_it_is_sure(tiny_run, folder):
    model = lite0ca.load(tiny_run, device="cpu")
    model.sure_from = 0.0
    assert model.knows_training_photos
    noise, leaf = model.predict(folder / "n0.png"), model.predict(folder / "leaf0.jpg")
    assert noise.unlike and noise.perhaps_no_leaf and not noise.sure and noise.distance > 1
    assert "<b>perhaps no leaf at all: " in noise._repr_html_()
    assert leaf.distance < 1 and leaf.sure and not leaf.unlike and leaf.doubt is None
    table = model.predict(folder)
    assert table["unlike"].tolist() == [False] * 3 + [True] * 9
    assert (table["sure"] == ~table["unlike"]).all()
    assert table["distance"][3] == pytest.approx(noise.distance, rel=1e-4)


def test_what_a_run_without_a_measure_says(without, folder, tmp_path, capsys):
    model = lite0ca.load(without, device="cpu")
    answer = model.predict(folder / "n0.png")
    assert not model.knows_training_photos
    assert answer.distance is None and not answer.unlike and not answer.perhaps_no_leaf
    table = model.predict(folder)
    assert table["distance"].isna().all() and not table["unlike"].any()
    out = tmp_path / "a.csv"
    assert main(["predict", str(without), str(folder), "--csv", str(out), *QUICK]) == 0
    shown = capsys.readouterr().out
    assert "unlike" not in shown and "no leaf" not in shown
    assert {(row["unlike"], row["distance"]) for row in rows_of(out)} == {("", "")}


@pytest.mark.parametrize(
    ("language", "unlike", "counted", "advice"),
    [
        ("en", "unlike the training photos", "12 of 12 photos are unlike", "label ten of each"),
        ("vi", "khác ảnh huấn luyện", "12 trong 12 ảnh khác", "gán nhãn mười ảnh cho mỗi"),
    ],
)
def test_a_folder_of_another_place(
    language, unlike, counted, advice, with_limits, tiny_run, folder, tmp_path, capsys
):
    """Most are unlike, and are leaves: label some. A few are, or are no leaves: the count."""
    farthest = lite0ca.load(tiny_run, device="cpu").predict(folder)["distance"]
    run, out = with_limits(float(farthest[0]) * 0.99), tmp_path / "a.csv"
    leaves = [str(folder / f"leaf{n}.jpg") for n in (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
    command = ["predict", str(run), "--language", language, "--csv", str(out), *QUICK]
    assert main([*command, *leaves]) == 0
    *lines, last, _ = capsys.readouterr().out.splitlines()
    assert f"12 {unlike}" in lines[-1] and f"  {unlike}: " in lines[1]
    assert last.startswith(counted) and advice in last
    assert f"lite0ca label {run} FOLDER" in last and last.endswith("lite0ca adapt")
    assert [(row["sure"], row["unlike"]) for row in rows_of(out)] == [("no", "yes")] * 12
    assert all(float(row["distance"]) == pytest.approx(1 / 0.99, rel=1e-4) for row in rows_of(out))
    assert main([*command, *leaves[:9]]) == 0, "too few to speak of a place"
    shown = capsys.readouterr().out
    assert shown.splitlines()[-2].startswith(counted.replace("12", "9")) and advice not in shown


def test_pictures_of_no_leaf_are_not_to_be_labelled(tiny_run, folder, capsys):
    assert main(["predict", str(tiny_run), str(folder), *QUICK]) == 0
    shown = capsys.readouterr().out
    assert "9 perhaps no leaf at all" in shown and "  perhaps no leaf at all: " in shown
    assert shown.splitlines()[-1] == "9 of 12 photos are unlike the training photos"


def rows_of(file: Path) -> list[dict]:
    return list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))


def test_a_table_of_an_earlier_version_is_written_anew(tiny_run, folder, tmp_path, capsys):
    out = tmp_path / "a.csv"
    out.write_text("path,prediction,probability,sure,healthy,brown_spot\nx.jpg,healthy,1,yes,1,0\n")
    command = ["predict", str(tiny_run), str(folder / "leaf0.jpg"), "--csv", str(out), *QUICK]
    assert main(command) == 0 and "unlike" in rows_of(out)[0] and main(command) == 0
    out.write_text("path,prediction,mine\n")
    assert main(command) == 2 and out.read_text() == "path,prediction,mine\n"
    assert "lite0ca did not make it" in capsys.readouterr().err


def test_evaluate_counts_them(with_limits, without, sample, tmp_path, capsys):
    strict, found = with_limits(0.7), {}
    for name, run in (("strict", strict), ("without", without)):
        place = tmp_path / name
        command = [str(run), "--metadata", str(sample), "--output-dir", str(place), *QUICK]
        assert main(["evaluate", *command]) == 0
        scores = json.loads(next(place.glob("*.json")).read_text())
        found[name] = (scores, capsys.readouterr().out)
    scores, shown = found["strict"]
    line = f"unlike the training photos: {round(60 * scores['unlike'])} of 60"
    assert 0 < scores["unlike"] < 1 and line in shown
    assert "more, like the training photos) of" in shown
    assert scores["sure"] == pytest.approx(1 - scores["unlike"])
    plain, shown = found["without"]
    assert "unlike" not in plain and "unlike" not in shown and plain["sure"] == 1
    assert scores["confusion"] == plain["confusion"]
    from lite0ca.evaluation.predictions import answers_of

    answers = answers_of(str(strict), metadata=str(sample), num_workers=0, device="cpu")
    assert answers["distance"].gt(1).mean() == pytest.approx(scores["unlike"])
    assert answers["sure"].mean() == pytest.approx(scores["sure"])
    assert not (answers["sure"] & (answers["distance"] > 1)).any()


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept | {"mean": kept["mean"][:-1]},
        lambda kept: kept | {"whitening": kept["whitening"].flatten()},
        lambda kept: kept | {"whitening": kept["whitening"] * float("nan")},
        lambda kept: kept | {"mean": [0.0]},
        lambda kept: {"mean": kept["mean"]},
        lambda kept: "far",
    ],
)
def test_a_damaged_measure_is_one_line(damage, tiny_run, folder, tmp_path, capsys):
    content, file = load_best(tiny_run), tmp_path / "best_model.pt"
    torch.save(content | {"distance": damage(content["distance"])}, file)
    assert main(["predict", str(file), str(folder / "leaf0.jpg"), *QUICK]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "its distance" in error


def test_real_leaves_are_unlike_drawn_ones(tiny_run, rice_leaf):
    paths = pd.read_csv(rice_leaf / "metadata.csv")["path"][::97]
    assert (
        lite0ca.load(tiny_run, device="cpu").predict([rice_leaf / p for p in paths])["unlike"].all()
    )
