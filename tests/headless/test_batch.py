"""`python -m lite0ca batch`: real notebook once; then failures and resuming with a quick one."""

import gc
import json
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import psutil
import pytest
import torch
from conftest import LITTLE, REPO, SLOW

from lite0ca.__main__ import main
from lite0ca.headless import executed_notebook
from lite0ca.headless.batch import left_before
from lite0ca.headless.jobs import jobs_of

QUICK = """# %% tags=["parameters"]
preset = "basic"
overrides = {}
metadata = None
data_dir = None

# %%
import json
import os
import sys
import time
from pathlib import Path

run = Path(overrides.get("resume") or f"{overrides['output_dir']}/run_{preset}")
run.mkdir(exist_ok=True)
print(f"run: {run}")
(run / "last.pt").touch()
with open(run / "starts", "a") as file:
    file.write("started\\n")
if preset == "mobile":
    raise ValueError("no luck")
if preset == "kaggle" and "resume" not in overrides:
    sys.stdout.flush()
    time.sleep(1)  # until the line above has left the kernel
    os._exit(1)  # as a session that ends without warning
stopped = "the time budget of 1 minutes" if preset == "gtx1660s" else "all epochs done"
metrics = {"stopped": stopped, "model_name": "X", "data": "leaves"}
metrics |= {"valid_acc": 0.5, "valid_f1": 0.4}
(run / "metrics.json").write_text(json.dumps(metrics))
"""


@pytest.fixture
def quick(tmp_path) -> Path:
    """A notebook that leaves what a run leaves, within a second."""
    content = jupytext.reads(QUICK, fmt="py:percent")
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(content, tmp_path / "quick.ipynb")
    return tmp_path / "quick.ipynb"


def starts(folder: Path, preset: str) -> int:
    return (folder / f"run_{preset}/starts").read_text().count("started")


@pytest.fixture
def batch(tmp_path, monkeypatch, capfd):
    """The command in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["batch", *map(str, arguments)])
        return code, *capfd.readouterr()

    return run


def test_one_failure_does_not_stop_the_others_and_resume_goes_on(quick, tmp_path, batch):
    out = tmp_path / "results"
    command = ["basic", "mobile", "kaggle", "quick-test", "--notebook", quick]
    command += ["--output-dir", out, "--metadata", "sample"]
    code, shown, error = batch(*command)
    assert code == 1 and "2 of 4 failed" in error
    assert "mobile failed: ValueError: no luck" in error and "Traceback" not in error
    assert "[4/4] quick-test" in shown
    table = pd.read_csv(out / "leaderboard.csv").set_index("preset")
    assert table["status"].to_dict() == {
        "basic": "done", "mobile": "failed", "kaggle": "failed", "quick-test": "done"
    }  # fmt: skip
    assert table.loc["basic", "valid_macro_f1"] == 0.4
    assert pd.isna(table.loc["mobile", "valid_macro_f1"])
    assert (out / "run_basic/quick_basic.ipynb").is_file()
    assert (out / "leaderboard.png").read_bytes()[:4] == b"\x89PNG"

    code, shown, _ = batch(*command, "--resume")
    assert code == 1  # mobile fails as before
    assert shown.count("done before") >= 2 and "goes on: " in shown
    assert [starts(out, p) for p in ("basic", "kaggle", "quick-test")] == [1, 2, 1]
    table = pd.read_csv(out / "leaderboard.csv").set_index("preset")
    assert table["status"]["kaggle"] == "done"

    for assigned, row_expected in ([], True), (["epochs=2"], False):
        (job,) = jobs_of(["basic"], [], assigned, "sample", None, quick, out)
        assert (left_before(job)[1] is not None) == row_expected, "other settings: run again"


def test_a_run_out_of_time_is_not_done(quick, tmp_path, batch):
    command = ["gtx1660s", "--notebook", quick, "--metadata", "sample", "--resume"]
    for number in (1, 2):
        code, shown, _ = batch(*command, "--output-dir", tmp_path / "out")
        assert code == 0 and ("goes on" in shown) == (number == 2)
        assert pd.read_csv(tmp_path / "out/leaderboard.csv")["status"][0] == "stopped"
    assert starts(tmp_path / "out", "gtx1660s") == 2


def test_the_real_notebook_for_a_preset(sample, tmp_path, batch):
    out = tmp_path / "results"
    small = ["epochs=1", "train_limit=16", "valid_limit=8", "image_size=64", "num_workers=0"]
    small += ["device=cpu"]
    little = ["pretrained=off", f"backbone={LITTLE['backbone']}", "batch_size=8"]
    where = ["--metadata", sample, "--output-dir", out]
    code, shown, error = batch("mobile", "--set", *small, *little, *where)
    assert code == 0, error
    (run,) = out.glob("EfficientNet_Lite0_CA_*")
    assert (run / "03_train_mobile.ipynb").is_file() and not (
        out / "03_train_mobile.ipynb"
    ).exists()
    config = json.loads((run / "config.json").read_text())
    assert (config["preset"], config["reduction"], config["epochs"]) == ("mobile", 8, 1)
    assert "epoch 1/1" in shown, "the notebook's lines are shown while it runs"
    row = pd.read_csv(out / "leaderboard.csv").iloc[0]
    metrics = json.loads((run / "metrics.json").read_text())
    assert row["valid_macro_f1"] == pytest.approx(metrics["valid_f1"])
    assert row["seconds"] > 0 and row["train_images_per_s"] > 0
    flags = [f"--{name.replace('_', '-').replace('=', ' ')}".split() for name in small]
    flags = [word for flag in flags for word in flag]
    typed = ["--preset", "mobile", *flags, "--no-pretrained", "--backbone", LITTLE["backbone"]]
    typed += ["--batch-size", "8", "--metadata", str(sample)]
    assert main(["train", *typed, "--output-dir", str(tmp_path / "typed")]) == 0
    (same,) = (tmp_path / "typed").iterdir()
    one, two = (torch.load(r / "last.pt", weights_only=True)["model"] for r in (run, same))
    assert all(torch.equal(one[name], two[name]) for name in one), "one seed, one result"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("junk{", "is not a notebook"),
        ("[]", "is not a notebook"),
        ('{"cells": [1]}', "is not a notebook"),
        ('{"cells": []}', "has no cell tagged `parameters`"),
    ],
)
def test_what_is_no_notebook_is_refused(content, message, sample, tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text(content)
    where = ["--metadata", str(sample), "--output-dir", str(tmp_path / "out")]
    assert main(["batch", "basic", "--notebook", str(tmp_path / "x.ipynb"), *where]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kagle"], "preset 'kagle' is unknown; did you mean 'kaggle'?"),
        (["kaggle", "--set", "epoch=1"], "setting 'epoch' is unknown; did you mean 'epochs'?"),
        (["kaggle", "--set", "epochs"], "setting 'epochs': write it as name=value"),
        (["kaggle", "--set", "epochs=x"], "setting epochs=x: takes int"),
        (["kaggle", "--set", "epochs=0"], "--epochs must be at least 1"),
        (["kaggle", "--notebook", "3_train"], "--notebook: '3_train' is unknown; did you mean"),
        (["kaggle", "--set", "resume=x"], "--set resume=...: batch has a way"),
        (["kaggle", "--metadata", "none.csv"], "none.csv: does not exist"),
        (["kaggle", "--data-dir", "tests", "--metadata", "README.md"], "both name the data"),
        (["kaggle", "--notebook", "none.ipynb"], "--notebook none.ipynb: there is no such file"),
    ],
)
def test_a_mistake_stops_before_anything_runs(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    assert main(["batch", *arguments, "--output-dir", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


@SLOW
def test_thirty_notebooks_take_no_more_than_three(quick, tmp_path):
    """Memory, open files and processes of the process that starts the kernels."""
    process, seen, memory_mb = psutil.Process(), [], []
    command = ["batch", "basic", "--notebook", str(quick), "--metadata", "sample"]
    command += ["--output-dir", str(tmp_path / "results"), "--seeds"]
    for seeds in (range(3), range(3, 30)):
        assert main([*command, *map(str, seeds)]) == 0
        gc.collect()
        seen.append((process.num_fds(), len(process.children(recursive=True))))
        memory_mb.append(process.memory_info().rss / 2**20)
    assert seen[0] == seen[1]
    assert memory_mb[1] - memory_mb[0] < 40


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": []},
        {"metadata": {"papermill": 1}},
        {"metadata": {"papermill": {"parameters": [1]}}},
        {"metadata": {"papermill": {"parameters": {"overrides": "x"}, "duration": "long"}}},
        {"cells": 1},
        {"cells": [1]},
        {"cells": [{"outputs": [{"text": 1}]}]},
        {"cells": [{"outputs": [{"text": [1]}]}]},
    ],
)
def test_an_odd_notebook_of_before_is_as_none(odd, tmp_path):
    file = tmp_path / "03_train_basic.ipynb"
    file.write_text(json.dumps(odd))
    assert executed_notebook.earlier_run(file, {"preset": "basic"}) is None
    assert executed_notebook.row_of(file, "failed")["run"] == ""


@pytest.mark.parametrize("odd", [{}, {"model_name": 1, "data": "x"}, {"valid_f1": "x"}])
def test_odd_metrics_are_left_out(odd, tmp_path, capsys):
    whole = {"model_name": "x", "data": "y", "valid_f1": 0.5}
    (tmp_path / "metrics.json").write_text(json.dumps(whole | odd if odd else odd))
    printed = {"outputs": [{"text": f"run: {tmp_path}\n"}]}
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": [printed]}))
    assert executed_notebook.row_of(tmp_path / "n.ipynb", "done")["system"] == ""
    assert "is damaged" in capsys.readouterr().err
