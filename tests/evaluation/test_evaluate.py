"""Scores against hand computation and scikit-learn; the command on seen and unseen data."""

import json

import numpy as np
import pytest
from conftest import FAST, LITTLE
from PIL import Image
from sklearn.metrics import f1_score

from lite0ca.__main__ import main
from lite0ca.evaluation.metrics import interval, macro_f1, report


def test_macro_f1_by_hand():
    truth, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    assert macro_f1(truth, predicted) == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    # A class that does not occur in the truth does not count.
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 2, 1])) == pytest.approx((2 / 3 + 1) / 2)


def test_the_interval_is_the_bootstraps():
    """Against drawing whole groups in a plain loop with scikit-learn's F1."""
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=120)
    predicted = np.where(rng.random(120) < 0.7, truth, rng.integers(3, size=120))
    groups = rng.integers(30, size=120)
    by_group = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    draws = []
    for _ in range(1000):
        chosen = np.concatenate(
            [by_group[i] for i in rng.integers(len(by_group), size=len(by_group))]
        )
        f1 = f1_score(truth[chosen], predicted[chosen], average="macro")
        of_one = f1_score(truth[chosen], predicted[chosen], labels=[1], average="macro")
        draws.append(((truth[chosen] == predicted[chosen]).mean(), f1, of_one))
    plain = np.percentile(draws, [2.5, 97.5], axis=0)
    ours = interval(truth, predicted, groups)
    assert ours["accuracy"] == pytest.approx(plain[:, 0], abs=0.02)
    assert ours["macro_f1"] == pytest.approx(plain[:, 1], abs=0.02)
    assert ours["f1"][1] == pytest.approx(plain[:, 2], abs=0.02)


def test_near_duplicates_widen_the_interval():
    truth = np.repeat(np.arange(40) % 2, 10)
    predicted = np.repeat((np.arange(40) % 2) ^ (np.arange(40) % 5 == 0), 10)
    narrow = interval(truth, predicted, np.arange(400))["accuracy"]
    wide = interval(truth, predicted, np.repeat(np.arange(40), 10))["accuracy"]
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_report():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores = report(truth, predicted, ["a", "b", "c"], np.array(["x", "x", "y", "z"]))
    assert scores["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    of_b = dict(scores["classes"]["b"])
    low, high = of_b.pop("f1_interval_95")
    assert 0 <= low <= 0.8 <= high <= 1 and scores["classes"]["c"]["f1_interval_95"] == [0, 0]
    assert of_b == {"precision": 2 / 3, "recall": 1, "f1": 0.8, "images": 2}
    assert (scores["images"], scores["groups"], scores["accuracy"]) == (4, 3, 0.75)


def test_the_runs_own_test_split(tiny_run, capsys):
    assert main(["evaluate", str(tiny_run)]) == 0
    shown = capsys.readouterr().out
    assert "data_test_drawn_sample, 60 images" in shown and "40 groups of near-duplicates" in shown
    for part in ("accuracy  0.", "macro-F1  0.", "95 % interval", "leaf blast", "precision"):
        assert part in shown
    scores = json.loads((tiny_run / "scores_data_test_drawn_sample.json").read_text())
    assert np.sum(scores["confusion"]) == 60 and scores["split"] == "test"
    with Image.open(tiny_run / "confusion_data_test_drawn_sample.png") as picture:
        assert picture.size[0] > 400


def test_backgrounds_and_probabilities(tiny_run, sample, capsys, tmp_path):
    """Leaf photos on paper, scored with the paper changed; what is not plain does not count."""
    arguments = ["evaluate", str(tiny_run), "--num-workers", "0", "--output-dir", str(tmp_path)]
    for kind in ("unchanged", "removed"):
        assert main([*arguments, "--background", kind]) == 0
    shown = capsys.readouterr().out
    assert "a plain background: " in shown and "calibration error 0." in shown and "sure (" in shown
    found = [
        json.loads((tmp_path / f"scores_data_test_drawn_sample_background_{kind}.json").read_text())
        for kind in ("unchanged", "removed")
    ]
    assert found[0]["images"] == found[1]["images"] <= 60
    assert found[0]["confusion"] != found[1]["confusion"]
    with Image.open(next(tmp_path.glob("reliability_*_removed.png"))) as picture:
        assert picture.size[1] > 400


def test_other_folders_and_files(tiny_run, sample, photos, tmp_path, capsys):
    """A folder of classes has no split: all of it is scored. A subset of the classes is fine."""
    folder = photos({"healthy": 3, "leaf_blast": 2})
    output = tmp_path / "scores"
    arguments = ["evaluate", str(tiny_run / "best_model.pt"), "--data-dir", str(folder)]
    assert main([*arguments, "--output-dir", str(output), "--image-size", "96"]) == 0
    shown, warned = capsys.readouterr()
    assert "asked at 96 pixels: when it is sure" in warned
    assert "photos_all, 5 images" in shown
    assert "none of bacterial leaf blight, brown spot here" in shown
    scores = json.loads((output / "scores_photos_all.json").read_text())
    assert scores["image_size"] == 96 and scores["groups"] is None
    other = photos({"healthy": 3}, tmp_path / "elsewhere/photos")
    arguments = [*arguments[:2], "--data-dir", str(other), "--output-dir", str(output)]
    for _ in range(2):  # scores of another folder of that name stay; the own ones are replaced
        assert main([*arguments, "--image-size", "96"]) == 0
    assert {file.name for file in output.glob("scores_*")} == {
        "scores_photos_all.json", "scores_photos_all_2.json"
    }  # fmt: skip
    assert json.loads((output / "scores_photos_all.json").read_text()) == scores
    capsys.readouterr()
    assert main(["evaluate", str(tiny_run), "--metadata", str(sample), "--split", "valid"]) == 0
    assert "data_valid_drawn_sample, 60 images" in capsys.readouterr().out


def test_a_split_made_in_training_is_remembered(photos, tmp_path, capsys):
    """Scoring a folder that the run was trained on must not score its training images."""
    folder = photos({"a": 12, "b": 12})
    arguments = ["--data-dir", str(folder), "--output-dir", str(tmp_path / "results")]
    assert main(["train", *FAST, *arguments]) == 0
    assert "24 images show 24 leaves" in capsys.readouterr().out
    (run,) = (tmp_path / "results").iterdir()
    assert main(["evaluate", str(run), "--data-dir", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "its own split is used" in shown and "photos_test, 4 images" in shown


def test_a_valid_split_made_of_a_train_folder_is_remembered(photos, tmp_path):
    """train/<class> beside unlabelled photos, as on Kaggle: training makes valid."""
    from lite0ca.evaluation.predictions import answers_of
    from lite0ca.settings.config import Config
    from lite0ca.training.fit import fit

    folder = photos({"train/a": 20, "train/b": 20})
    settings = {"epochs": 1, "image_size": 32, "batch_size": 8, "num_workers": 0} | LITTLE
    run = fit(Config(data_dir=str(folder), output_dir=str(tmp_path / "out"), **settings)).run
    table = (run / "data.csv").read_text().splitlines()
    made = sorted(line.split(",")[0] for line in table if ",valid," in line)
    answers = answers_of(run, "valid", num_workers=0)
    assert sorted(answers["path"]) == made and 0 < len(made) < 40
    assert answers["confidence"].between(0.5, 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "there is no such run"),
        (["RUN", "--data-dir", "PHOTOS", "--split", "test"], "the data has no split"),
        (["RUN", "--data-dir", "UNKNOWN"], "label 'rust' is unknown"),
        (["RUN", "--image-size", "50"], "--image-size must be a multiple of 32"),
        (["EMPTY"], "has no best_model.pt"),
        (["TRUNCATED"], "is damaged or no checkpoint"),
    ],
)
def test_mistakes(arguments, message, tiny_run, photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.pt").write_bytes((tiny_run / "best_model.pt").read_bytes()[:5000])
    named = {
        "RUN": tiny_run,
        "PHOTOS": photos({"healthy": 1, "leaf_blast": 1}, tmp_path / "p"),
        "UNKNOWN": photos({"healthy": 1, "rust": 1}, tmp_path / "u"),
        "EMPTY": tmp_path / "empty",
        "TRUNCATED": tmp_path / "cut.pt",
    }
    assert main(["evaluate", *(str(named.get(a, a)) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
