"""train --fold and train --all, from start to end."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import LITTLE
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.adaptation import tuning
from lite0ca.evaluation.predictions import answers_of
from lite0ca.formats.checkpoint import load_best
from lite0ca.images.reading import read_image
from lite0ca.model.distance import TrainingDistance
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit

QUICK = {"epochs": 2, "image_size": 32, "batch_size": 8, "num_workers": 0, "device": "cpu"}
QUICK |= {"base_lr": 1e-3, "head_lr": 1e-3, "patience": 1, **LITTLE}


def test_a_fold_is_trained_resumed_and_scored_on_what_it_kept_back(leaves, tmp_path):
    settings = {**QUICK, "data_dir": str(leaves), "output_dir": str(tmp_path), "fold": "2/3"}
    begun = fit(Config.of(time_budget=1e-4, **settings))
    assert begun.metrics["epochs"] == 0 and not begun.scores
    table = (begun.run / "data.csv").read_bytes()
    done = fit(Config.of_run(begun.run, time_budget=None))
    assert done.run == begun.run and done.metrics["epochs"] == 2
    assert (done.run / "data.csv").read_bytes() == table
    rows = pd.read_csv(done.run / "data.csv")
    assert rows["split"].value_counts().to_dict() == {"train": 16, "valid": 8}
    assert done.scores["split"] == "valid" and done.scores["images"] == 8
    # Also where the data has a split of its own, which the folds do not keep to.
    answers = answers_of(str(done.run), num_workers=0)
    assert set(answers["path"]) == set(rows["path"][rows["split"] == "valid"])


def test_a_fold_of_data_with_a_split_is_scored_as_it_was_dealt(leaves, tmp_path, capsys):
    files = sorted(leaves.rglob("*.jpg"))
    given = pd.DataFrame({"path": files, "label": [file.parent.name for file in files]})
    given["split"] = ["valid" if number % 6 == 0 else "train" for number in range(len(files))]
    given["group"] = range(len(files))
    given.to_csv(tmp_path / "metadata.csv", index=False)
    settings = {**QUICK, "epochs": 1, "metadata": str(tmp_path / "metadata.csv")}
    run = fit(Config.of(fold="1/4", output_dir=str(tmp_path / "results"), **settings)).run
    rows = pd.read_csv(run / "data.csv")
    answers = answers_of(str(run), "valid", num_workers=0)
    assert set(answers["path"]) == set(rows["path"][rows["split"] == "valid"])
    assert set(answers["path"]) != set(given["path"][given["split"] == "valid"].map(str))
    (run / "data.csv").unlink()
    answers_of(str(run), "valid", num_workers=0)
    assert "data.csv: is missing. The run was trained with --fold" in capsys.readouterr().err


def test_all_photos(leaves, tmp_path, capsys, monkeypatch):
    settings = {**QUICK, "data_dir": str(leaves), "output_dir": str(tmp_path), "ema": True}
    settings |= {"save_history": True}
    result = fit(Config.of(all=True, **settings))
    run, said = result.run, capsys.readouterr().out
    assert "split: 24 train, 0 valid, 0 test" in said
    assert "no photo was kept back; train: scored at the end, with the last epoch" in said
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["valid_acc"] is metrics["valid_f1"] is metrics["valid_loss"] is None
    assert metrics["train_loss"] > 0 and metrics["best_epoch"] == metrics["epochs"] == 2
    assert not [name for name in json.loads((run / "history.json").read_text()) if "valid" in name]
    best, last = load_best(run), torch.load(run / "last.pt", weights_only=True)
    assert best["epoch"] == 2 and best["temperature"] == 1 and best["sure_from"] is None
    assert all(torch.equal(best["model"][name], last["ema"][name]) for name in last["ema"])
    page = (run / "report.html").read_text()
    assert "trained on the very photos that it is scored on" in page
    assert "the last one, 2, was kept" in page
    assert main(["predict", str(run), str(leaves / "blast")]) == 0
    said = capsys.readouterr().out
    assert "12 photos" in said and "too few labelled photos say how often" in said
    assert main(["evaluate", str(run), "--num-workers", "0"]) == 0
    assert "train is scored, which says nothing of others" in capsys.readouterr().out
    card = (run / "MODEL_CARD.md").read_text()
    assert "95 in 100 of the training photos" in card and "valid ones" not in card
    assert "all photos are in one part" in card and "Last epoch: 2 of 2" in card
    # Its training photos are at hand, though none of them was kept back.
    elsewhere = shutil.copytree(leaves, tmp_path / "elsewhere")
    for number, file in enumerate(elsewhere.rglob("*.jpg")):
        Image.fromarray(255 - read_image(str(file))).save(file) if number % 2 else file.unlink()
    command = ["adapt", str(run), "--data-dir", str(elsewhere), "--num-workers", "0"]
    monkeypatch.setattr(tuning, "STEPS", 2)
    assert main([*command, "--output-dir", str(tmp_path / "adapted")]) == 0
    assert "its training kept no photo back" in capsys.readouterr().out
    assert json.loads((tmp_path / "adapted/adaptation.json").read_text())["training_photos"] == 24
    assert not torch.equal(
        load_best(tmp_path / "adapted")["distance"]["mean"], best["distance"]["mean"]
    )


def test_all_photos_goes_on_after_a_pause(leaves, tmp_path, capsys):
    settings = {**QUICK, "data_dir": str(leaves), "all": True}
    whole = fit(Config.of(output_dir=str(tmp_path / "whole"), **settings))
    begun = fit(Config.of(output_dir=str(tmp_path / "parts"), time_budget=1e-4, **settings))
    capsys.readouterr()
    assert main(["train", "--resume", str(begun.run), "--time-budget", "60"]) == 0
    said = capsys.readouterr().out
    assert "last: epoch 2 on " in said and "no valid photos" in said
    one, two = (torch.load(run / "last.pt", weights_only=True) for run in (whole.run, begun.run))
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])
    for flags in (["--all", "--fold", "1/2"], ["--fold", "3/2"]):
        assert main(["train", *flags]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_all_photos_is_as_sure_as_a_run_like_it(leaves, tmp_path, capsys):
    settings = {**QUICK, "data_dir": str(leaves), "output_dir": str(tmp_path)}
    like = fit(Config.of(**settings | {"epochs": 1})).run
    settings |= {"all": True, "calibration_run": str(like)}
    begun = fit(Config.of(time_budget=1e-4, save_history=True, **settings)).run
    moved = tmp_path / "moved"
    like.rename(moved)
    capsys.readouterr()
    resumed = ["train", "--resume", str(begun), "--time-budget", "60"]
    assert main(resumed) == 2 and str(like) in capsys.readouterr().err
    assert main([*resumed, "--calibration-run", str(moved)]) == 0
    known, found = load_best(moved), load_best(begun)
    assert found["epoch"] == 2
    for name in ("temperature", "sure_from"):
        assert found[name] == known[name] is not None
    card = " ".join((begun / "MODEL_CARD.md").read_text().split())
    assert f"photos like the valid ones of `{moved.name}`, a run trained alike, 95 in 100" in card

    flags = ["train", "--data-dir", str(leaves), "--output-dir", str(tmp_path / "none")]
    flags += [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    for more, said in (
        (["--calibration-run", str(moved)], "goes with --all"),
        (["--all", "--calibration-run", str(begun)], "kept no photo back"),
        (["--all", "--calibration-run", str(tmp_path / "gone")], "no such run"),
        (["--all", "--calibration-run", str(moved), "--label-smoothing=0.1"], "--label-smoothing"),
        (["--all", "--calibration-run", str(moved), "--attention=eca"], "another network"),
    ):
        assert main([*flags, *more]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_distance_that_is_its_own_measure():
    """95 % of new photos like them lie within; a fit's own photos do not say that."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(40, 40))
    training, others = (rng.normal(size=(count, 40)) @ mixed for count in (200, 2000))
    training, others = training.astype(np.float32), others.astype(np.float32)
    alone = TrainingDistance.fitted_alone(training).of_pooled(others)
    beside = TrainingDistance.fitted_alone(training[:150], training[150:]).of_pooled(others)
    own = TrainingDistance.fitted(training, training).of_pooled(others)
    for found in (alone, beside):
        assert (found <= 1).mean() == pytest.approx(0.95, abs=0.03)
    assert (own <= 1).mean() < 0.85
    for few in (2, 9, 11):
        assert np.isfinite(TrainingDistance.fitted_alone(training[:few]).of_pooled(others)).all()
