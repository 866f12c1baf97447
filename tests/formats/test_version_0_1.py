"""Runs, checkpoints and exported files of version 0.1.0 open as before: see the README beside."""

import importlib.util
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from lite0ca.__main__ import main

KEPT = Path(__file__).with_name("run_of_0.1.0")
NAME = "EfficientNet_Lite0_CA_backbone-test_efficientnet"
FILES = {".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "ai_edge_litert"}
FILES |= {".pte": "executorch"}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A copy of the run that finds its photos, which lay elsewhere when it was trained."""
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    photos = str(tmp_path / "photos")
    settings = tmp_path / "run/config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"data_dir": photos}))
    for name in ("best_model.pt", "last.pt"):
        content = torch.load(tmp_path / "run" / name, weights_only=True)
        content["config"]["data_dir"] = photos
        torch.save(content, tmp_path / "run" / name)
    return tmp_path / "run"


def assert_answers_are_those_of_0_1(model: Path, capsys) -> None:
    options = ["--csv", "now.csv", "--num-workers", "0", "--device", "cpu"]
    assert main(["predict", str(model), "photos", *options]) == 0
    assert "answered by" not in capsys.readouterr().out
    now, then = pd.read_csv("now.csv"), pd.read_csv("expected.csv")
    columns = ["healthy", "leaf_blast"]
    assert now["path"].tolist() == then["path"].tolist()
    assert (now[columns] - then[columns]).abs().max(axis=None) < 2e-4


@pytest.mark.parametrize("name", ["run", "run/best_model.pt"])
def test_a_checkpoint_answers_as_before(name, run, capsys):
    shutil.rmtree(run / "export")
    assert_answers_are_those_of_0_1(run.parent / name, capsys)


@pytest.mark.parametrize("suffix", FILES)
def test_an_exported_file_answers_as_before(suffix, run, capsys):
    if not importlib.util.find_spec(FILES[suffix]):
        pytest.skip(f"no {FILES[suffix]}: make test-deploy")
    assert_answers_are_those_of_0_1(run / f"export/{NAME}{suffix}", capsys)


def test_its_settings_of_then_are_no_hindrance(run, capsys):
    assert "head_epochs" in json.loads((run / "config.json").read_text())
    options = ["--split", "valid", "--num-workers", "0", "--device", "cpu"]
    assert main(["evaluate", str(run), *options]) == 0
    scores = json.loads(next(run.glob("scores_*_valid.json")).read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert scores["accuracy"] == metrics["valid_acc"]
    assert scores["macro_f1"] == pytest.approx(metrics["valid_f1"])


def test_it_goes_on_where_it_stopped(run, capsys):
    assert main(["train", "--resume", str(run), "--time-budget", "9", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "epoch 2/3" in shown and "epoch 3/3" in shown and "epoch 1/3" not in shown
    losses = json.loads((run / "history.json").read_text())["train_loss"]
    # What 0.1.0 came to without an interruption; since 0.7 a seed gives other pictures.
    assert losses[0] == pytest.approx(0.7766, abs=1e-4)
    assert losses[1:] == pytest.approx([0.5502, 0.5480], abs=0.1)
