"""Runs that end early: signals, the time budget, and going on in the middle of an epoch."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from conftest import LITTLE, REPO, assert_equal

from lite0ca.__main__ import main
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit
from lite0ca.training.stopping import Paused, Watch, Wish

SMALL = {"epochs": 2, "train_limit": 24, "valid_limit": 8, "image_size": 64, "batch_size": 4}
SMALL |= {"num_workers": 1, "save_history": True, "patience": 0, "device": "cpu"} | LITTLE
# Slow steps, so that a signal meets one; everything else is the script.
SLOW = """
import sys, time
from lite0ca.training import epoch
real = epoch.train_step
def slow(state, *arguments):
    print("step", state.epoch, state.step, flush=True)
    time.sleep(0.2)
    return real(state, *arguments)
epoch.train_step = slow
from lite0ca.__main__ import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


def settings(sample, tmp_path, **changes):
    return Config.of(**{"metadata": str(sample), "output_dir": str(tmp_path), **SMALL, **changes})


def flags_of(sample, folder):
    values = SMALL | {"metadata": sample, "output_dir": folder}
    typed = [f"--{k.replace('_', '-')}={v}" for k, v in values.items() if v is not True]
    return [*typed, "--save-history"]


def stopped_in_step_3(number, flags):
    command = [sys.executable, "-c", SLOW, *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPO}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        for line in process.stdout:
            if line.startswith("step 0 3"):
                break
        os.killpg(process.pid, number)  # as `timeout`, torchrun and cluster managers do
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def uninterrupted(sample, tmp_path_factory):
    return fit(settings(sample, tmp_path_factory.mktemp("whole"))).run


def test_sigterm_saves_and_the_run_goes_on_in_its_step(sample, tmp_path, uninterrupted):
    code, out, err = stopped_in_step_3(signal.SIGTERM, flags_of(sample, tmp_path))
    (run,) = tmp_path.iterdir()
    assert code == 143, err
    assert err == (
        f"error: stopped by SIGTERM, after 4 of 6 steps of epoch 1; --resume {run} goes on\n"
    )
    assert "SIGTERM: one more step" in out
    assert main(["train", "--resume", str(run)]) == 0
    assert_equal(run, uninterrupted)


def test_a_second_ctrl_c_leaves_at_once(sample, tmp_path):
    flags = [*flags_of(sample, tmp_path), "--num-workers=0"]
    slow = SLOW.replace("0.2", "30 if state.step == 3 else 0")
    command = [sys.executable, "-c", slow, *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPO}
    with subprocess.Popen(command, **pipes) as process:
        for line in process.stdout:
            if line.startswith("step 0 3"):
                break
        process.send_signal(signal.SIGINT)
        time.sleep(0.8)
        assert process.poll() is None, "the first waits for its step"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err.count("\n") == 1


def test_the_time_budget_ends_within_an_epoch(sample, tmp_path, uninterrupted, capsys):
    """No step fits into the budget: none is begun, and the next session goes on."""
    run = fit(settings(sample, tmp_path, time_budget=1e-9)).run
    assert "the time budget of 1e-09 minutes, after 0 of 6 steps" in capsys.readouterr().out
    left = json.loads((run / "metrics.json").read_text())
    assert left["epochs"] == 0 and "time budget" in left["stopped"] and left["model_name"]
    result = fit(Config.of_run(run, time_budget=60.0))
    assert result.metrics["stopped"] == "all epochs done"
    assert_equal(run, uninterrupted)


def test_the_watch_saves_long_epochs_and_stops_before_the_budget_is_over(monkeypatch):
    saved, clock = [], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    noted = Wish()
    watch = Watch(noted, lambda: saved.append(clock[0]), 0.0, 20, "cpu")
    for clock[0] in range(0, 1000, 40):
        with watch.timed("step"):
            clock[0] += 35
        watch.look(0)
    assert len(saved) == 3 and min(b - a for a, b in pairwise(saved)) >= 300
    clock[0] = 1170  # 30 s are left, a step takes 35
    with pytest.raises(Paused, match="the time budget of 20 minutes"):
        watch.look(0)
    noted.signal = signal.SIGTERM
    with pytest.raises(Paused, match="SIGTERM") as pause:
        watch.look(0)
    assert pause.value.signal == signal.SIGTERM and len(saved) == 5
