"""What a training ends with: scores of photos that chose nothing, once and the same for ever."""

import json
import shutil
import signal

import pytest
from conftest import LITTLE

from lite0ca.__main__ import main
from lite0ca.evaluation import scoring
from lite0ca.settings.config import Config
from lite0ca.training import outcome, run_folder
from lite0ca.training.fit import fit

SMALL = {"epochs": 3, "train_limit": 16, "valid_limit": 8, "image_size": 64, "batch_size": 8}
SMALL |= {"num_workers": 0, "patience": 0, "device": "cpu"} | LITTLE
TEST = "test: scored at the end, with the best epoch; it chose nothing"
TEST_FILES = {
    "scores_data_test_drawn_sample.json", "confusion_data_test_drawn_sample.png",
    "reliability_data_test_drawn_sample.png", "report.html",
}  # fmt: skip


def settings(sample, tmp_path, **changes):
    return Config.of(**{"metadata": str(sample), "output_dir": str(tmp_path), **SMALL, **changes})


def contents(run, names):
    return {name: (run / name).read_bytes() for name in names}


def test_a_run_ends_with_the_scores_of_its_test_split(sample, tmp_path, monkeypatch, capsys):
    drawn, draw = [], run_folder.draw_curves
    monkeypatch.setattr(run_folder, "draw_curves", lambda *a: (drawn.append(1), draw(*a)))
    result = fit(settings(sample, tmp_path, save_history=True, epochs=2))
    assert len(drawn) == 1, "the curves of short epochs are drawn at the end"
    run, shown = result.run, capsys.readouterr().out
    assert f"\n{TEST}\naccuracy  0." in shown and "\nbrown spot " in shown
    assert "60 images; intervals by bootstrap over 40 groups" in shown
    kept = contents(run, {*TEST_FILES, "metrics.json", "history.json", "training_plot.png"})
    scores = json.loads(kept["scores_data_test_drawn_sample.json"])
    metrics = json.loads(kept["metrics.json"])
    assert result.scores == scores and result.metrics == metrics
    assert (metrics["test_f1"], metrics["test_acc"]) == (scores["macro_f1"], scores["accuracy"])
    assert scores["epoch"] == metrics["best_epoch"] and scores["classes"].keys() >= {"brown_spot"}
    # Whoever comes later finds the same: by `evaluate`, by `report`, by resuming what is done.
    for command in (["evaluate", run], ["report", run], ["train", "--resume", run]):
        assert main([*map(str, command), "--num-workers", "0", "--device", "cpu"]) == 0
        again = contents(run, kept)
        speed = ("fps", "fps_batch_size", "fps_device", "fps_n")
        for name in kept:
            if name == "metrics.json":  # its speed is measured again
                left = [json.loads(one[name]) for one in (kept, again)]
                left = [{k: v for k, v in one.items() if k not in speed} for one in left]
                assert left[0] == left[1]
            else:
                assert again[name] == kept[name], (command[0], name)
    shown = capsys.readouterr().out
    assert shown.count(TEST) == 1 and "  lite0ca export " in shown
    assert f", test macro-F1 {metrics['test_f1']:.4f}; " in shown


def test_curves_are_drawn_while_a_long_training_runs(sample, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_folder, "DRAW_EVERY_S", 0.0)
    monkeypatch.setattr(run_folder, "draw_curves", lambda run, *_: drawn.append(run))
    monkeypatch.setattr(outcome, "write_page", lambda *_: None)
    fit(settings(sample, tmp_path, save_history=True, epochs=2))
    assert len(drawn) == 3, "after each epoch, and at the end"


def test_without_a_test_split_it_is_valid_which_chose(photos, tmp_path, capsys):
    folder = photos({f"{part}/{label}": 6 for part in ("train", "valid") for label in "ab"})
    limits = {"train_limit": None, "valid_limit": None}
    where = {"metadata": None, "data_dir": str(folder), "cache": "none"}
    result = fit(settings(None, tmp_path / "out", epochs=1, **limits, **where))
    shown = capsys.readouterr().out
    assert "no test split; valid: scored at the end" in shown and "12 images" in shown
    assert result.scores["split"] == "valid" and "test_f1" not in result.metrics
    assert result.scores["macro_f1"] == pytest.approx(result.metrics["valid_f1"])
    left = {path.name for path in result.run.iterdir()}
    assert not left & {"metrics.json", "report.html"} and not list(result.run.glob("scores_*"))
    assert main(["evaluate", str(result.run), "--num-workers=0", "--device=cpu"]) == 0
    assert "no test split: valid is scored" in capsys.readouterr().out
    assert json.loads((result.run / "scores_photos_valid.json").read_text()) == result.scores


def test_a_signal_while_it_scores_leaves_a_run_that_is_scored_later(
    sample, tmp_path, monkeypatch, capsys
):
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items()] + ["--save-history"]
    flags += ["--epochs=1", f"--metadata={sample}", f"--output-dir={tmp_path}"]
    real = scoring.scores_of
    monkeypatch.setattr(scoring, "scores_of", lambda _: signal.raise_signal(signal.SIGTERM))
    assert main(["train", *flags]) == 143
    (run,) = tmp_path.iterdir()
    shown = capsys.readouterr()
    wanted = f"error: stopped by SIGTERM; the run is saved; --resume {run} goes on\n"
    assert shown.err == wanted and "next:" not in shown.out
    assert json.loads((run / "metrics.json").read_text())["stopped"] == "all epochs done"
    assert not list(run.glob("scores_*")) and (run / "training_plot.png").is_file()
    monkeypatch.setattr(scoring, "scores_of", real)
    assert main(["train", "--resume", str(run)]) == 0
    assert TEST in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["test_images"] == 60


def test_what_is_not_finished_is_not_scored(sample, tmp_path, capsys):
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items()] + ["--time-budget=1e-9"]
    flags += [f"--metadata={sample}", f"--output-dir={tmp_path}"]
    assert main(["train", *flags]) == 0
    (run,) = tmp_path.iterdir()
    shown = capsys.readouterr().out
    assert TEST not in shown and shown.endswith(f"next:\n  lite0ca train --resume {run}\n")


def test_a_folder_of_runs_is_not_gone_on_with(tiny_run, tmp_path, capsys):
    shutil.copytree(tiny_run, tmp_path / "first")
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert f"is no run; name one in it: {tmp_path / 'first'}" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_fails_no_training(sample, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr(outcome, "write_page", full)
    result = fit(settings(sample, tmp_path, save_history=True, epochs=1))
    said = [line for line in capsys.readouterr().out.splitlines() if "not written" in line]
    assert len(said) == 1 and "No space left" in said[0]
    assert said[0].endswith(f"lite0ca report {result.run} writes it")
    assert "test_f1" in json.loads((result.run / "metrics.json").read_text())


def test_random_weights_are_said_first(sample, capsys):
    nowhere = ["--metadata", "none.csv"]
    for flags, said in (([], 1), (["--preset", "fast"], 0), (["--pretrained"], 0)):
        assert main(["train", *flags, *nowhere]) == 2
        out = capsys.readouterr().out
        assert out.startswith("no --preset, no --pretrained") is bool(said)
        assert out.count("--preset robust (--preset fast in a hurry)") == said
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Begin with --preset robust, or --preset fast in a hurry" in told
    assert told.index("robust") < told.index("basic")
