"""`python -m lite0ca batch` over seeds, on a Ray cluster, and stopped by a signal."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest

from lite0ca.__main__ import main
from lite0ca.headless.batch import left_before
from lite0ca.headless.execution import Kernel
from lite0ca.headless.jobs import Job, jobs_of
from lite0ca.machine.signals import on_signals

# What a run leaves, within a second. The preset says how it goes.
SWEEP = """# %% tags=["parameters"]
preset = "basic"
overrides = {}
metadata = None
data_dir = None

# %%
import json
import os
import time
from pathlib import Path

out = Path(overrides["output_dir"])
name = f"{preset}_{overrides.get('seed', 42)}"
run = Path(overrides.get("resume") or out / f"run_{name}")
run.mkdir(exist_ok=True)
print(f"run: {run}", flush=True)
(out / f"{name}.began").write_text(os.environ.get("OMP_NUM_THREADS", ""))
(run / "last.pt").touch()
if preset == "mobile":
    raise ValueError("no luck")
if preset == "kaggle" and "resume" not in overrides:
    try:
        time.sleep(60)
    finally:
        (run / "interrupted").touch()
        time.sleep(3)  # longer than Jupyter waits before it kills
        (run / "saved").touch()
if preset == "max-speed":  # ends only when another one has begun
    until = time.monotonic() + 30
    while len(list(out.glob("*.began"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
score = 0.4 + overrides.get("seed", 0) / 10
metrics = {"stopped": "all epochs done", "model_name": "X", "data": "leaves"}
metrics |= {"valid_acc": score + 0.1, "valid_f1": score}
(run / "metrics.json").write_text(json.dumps(metrics))

# %%
(run / "next").touch()
"""


@pytest.fixture
def sweep(tmp_path, photos) -> list:
    """The command up to its presets, with a notebook that is quick."""
    content = jupytext.reads(SWEEP, fmt="py:percent")
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(content, tmp_path / "sweep.ipynb")
    command = ["batch", "--notebook", tmp_path / "sweep.ipynb", "--output-dir", tmp_path / "out"]
    return [*command, "--data-dir", photos({"a": 1, "b": 1})]


def test_presets_with_seeds(sweep, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    sweep = list(map(str, sweep))
    out = tmp_path / "out"
    assert main([*sweep, "basic", "--seeds", "1"]) == 0
    assert (out / "run_basic_1/sweep_basic_seed1.ipynb").is_file()
    command = [*sweep, "basic", "mobile", "--seeds", "1", "2", "--resume"]
    capfd.readouterr()
    assert main(command) == 1
    shown, error = capfd.readouterr()
    assert "2 of 4 failed" in error and "mobile, seed 2 failed: ValueError: no luck" in error
    assert "[2/4] basic, seed 2" in shown and "done before: " in shown
    table = pd.read_csv(out / "leaderboard.csv")
    assert list(table["seed"][:2]) == [2, 1] and list(table["status"][:2]) == [
        "done",
        "done before",
    ]
    spread = pd.read_csv(out / "seeds.csv").set_index("preset")
    basic = spread.loc["basic"]
    assert (basic["n"], basic["seeds"]) == (2, "1 2")
    assert basic["valid_macro_f1_mean"] == pytest.approx(0.55)
    assert basic["valid_macro_f1_std"] == pytest.approx(0.1 / 2**0.5)
    assert spread["n"]["mobile"] == 0 and pd.isna(spread["valid_accuracy_mean"]["mobile"])
    assert (out / "leaderboard.png").read_bytes()[:4] == b"\x89PNG"


def test_a_signal_lets_the_kernel_save(sweep, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lite0ca", *sweep, "basic", "kaggle", "mobile"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(list(map(str, command)), cwd=tmp_path, **pipes) as process:
        wait_for(out / "kaggle_42.began", process)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert stderr.endswith("error: stopped by SIGTERM; the same command with --resume goes on\n")
    assert "Traceback" not in stderr and "mobile" not in stdout
    run = out / "run_kaggle_42"
    assert (run / "saved").is_file() and not (run / "next").is_file()
    assert list(pd.read_csv(out / "leaderboard.csv")["preset"]) == ["basic"]
    (kaggle,) = jobs(sweep, "kaggle")
    assert left_before(kaggle)[0].parameters["overrides"]["resume"] == str(run)


def wait_for(file: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)


def jobs(sweep: list, *presets: str) -> list[Job]:
    """The jobs of that command."""
    notebook, out, photos = sweep[2], sweep[4], sweep[6]
    return jobs_of(presets, [], [], None, str(photos), notebook, out)


def test_the_second_signal_does_not_wait():
    kernel, before = Kernel(), signal.getsignal(signal.SIGINT)
    kernel.before_cell()
    with on_signals(kernel.stop):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            kernel.before_cell()  # papermill runs no other cell
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert kernel.stopped_by == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_two_workers_of_a_ray_cluster(sweep, tmp_path, script, capsys):
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed: pip install 'lite0ca[ray]'")
    if os.cpu_count() < 2:
        pytest.skip("two workers need two cores")
    out = tmp_path / "out"
    command = [*map(str, sweep), "max-speed", "mobile", "basic", "--seeds", "1", "--ray", "local"]
    done = script(*command, module="lite0ca", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "  mobile, seed 1 failed: ValueError: no luck" in done.stderr
    assert done.stderr.endswith("1 of 3 failed\n") and done.stderr.count("\n") == 3
    assert "[3/3] " in done.stdout
    table = pd.read_csv(out / "leaderboard.csv").set_index("preset")
    # It ends only while another one runs.
    assert table["status"]["max-speed"] == table["status"]["basic"] == "done"
    assert (out / "max-speed_1.began").read_text() == "1", "a thread for its one core"
    assert (out / "run_basic_1/sweep_basic_seed1.ipynb").is_file()

    command.remove("mobile")  # the rest is done, so that no cluster is needed
    assert main([*command, "--resume"]) == 0
    assert capsys.readouterr().out.count("  done before: ") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seeds 1 --set seed=2", "--set seed=...: --seeds says that already"),
        ("--seeds -1", "--seed must be at least 0, not -1"),
        ("--seeds x", "argument --seeds: invalid int value: 'x'"),
        ("--ray here", "--ray here: takes auto, local or HOST:PORT"),
        ("--ray 127.0.0.1:1", "--ray 127.0.0.1:1: no cluster answers there"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, sweep, capsys):
    assert main([*map(str, sweep), "basic", *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_without_ray(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    assert main([*map(str, sweep), "basic", "--ray", "local"]) == 2
    said = capsys.readouterr().err
    assert said == "error: batch --ray needs ray: pip install 'lite0ca[ray]'\n"
