"""Two ranks on a CPU: the scores of one process, nothing counted twice, no hang."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import LITTLE, REPO, SLOW

from lite0ca.__main__ import main
from lite0ca.errors import InputError
from lite0ca.images.loaders import train_loader
from lite0ca.machine import distributed
from lite0ca.machine.device import Precision
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit
from lite0ca.training.state import State

SMALL = {"epochs": 2, "train_limit": 24, "valid_limit": 9, "image_size": 64, "batch_size": 8}
SMALL |= {"num_workers": 0, "save_history": True, "patience": 0, "dropout": 0.0, "device": "cpu"}
SMALL |= LITTLE


def settings(sample, tmp_path, **changes):
    return Config.of(**{"metadata": str(sample), "output_dir": str(tmp_path), **SMALL, **changes})


def test_two_ranks_train_as_one_process_does(sample, tmp_path, capsys):
    """One process with parts of 4 images sees what two ranks see: the curves must be close."""
    both = fit(settings(sample, tmp_path / "two", devices=2, class_weights=True))
    out = capsys.readouterr().out
    assert out.count("epoch 1/2") == 1 and "on 2 x cpu" in out, "one rank speaks"
    (run,) = (tmp_path / "two").iterdir()
    assert both.run == run, "one rank writes"
    assert out.count("test: scored at the end") == 1 and both.scores["images"] == 60
    one = fit(settings(sample, tmp_path / "one", micro_batch_size=4, class_weights=True))
    for name in ("train_loss", "valid_loss"):
        assert both.history[name] == pytest.approx(one.history[name], rel=0.03), name
    assert both.history["train_acc"][0] * 24 == pytest.approx(one.history["train_acc"][0] * 24)
    # On one process it goes on, and the other way round.
    more = fit(Config.of_run(run, devices=1))
    assert more.metrics["stopped"] == "all epochs done"
    assert more.scores["confusion"] == both.scores["confusion"]


@SLOW
def test_scores_of_ranks_are_those_of_one(sample, tmp_path):
    """Nine images on two ranks: five and four, and the padding of the gathering is cut off."""
    stored = fit(settings(sample, tmp_path, epochs=1, train_limit=8)).run
    weights = ["--weights", str(stored / "best_model.pt"), "--base-lr=1e-30", "--head-lr=1e-30"]
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items() if v is not True]
    flags += ["--metadata", str(sample), "--epochs=1", "--save-history", "--weight-decay=0"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(REPO / "train_EfficientNet_Lite0_CA.py"), *flags, *weights]
    done = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "two")], capture_output=True, text=True, cwd=REPO
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best: epoch") == 1
    (run,) = (tmp_path / "two").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    ninths = metrics["valid_acc"] * 9
    assert ninths == pytest.approx(round(ninths)), "of nine images, not of ten"


@SLOW  # `make test` has the signal below
def test_a_killed_rank_ends_the_job_with_a_message(sample, tmp_path):
    flags = settings(sample, tmp_path, epochs=500, devices=2).as_dict()
    code = "import json, sys; from lite0ca.settings.config import Config; "
    code += "from lite0ca.training.fit import fit; "
    code += "from lite0ca.errors import InputError\ntry: fit(Config(**json.loads(sys.argv[1])))\n"
    code += "except InputError as error: print('error:', error); sys.exit(2)"
    pipes = {"stdout": subprocess.PIPE, "text": True, "cwd": REPO}
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(flags)], **pipes) as job:
        for line in job.stdout:
            if line.startswith("epoch   1/500"):
                break
        os.kill(a_rank_of(job.pid), signal.SIGKILL)
        out, _ = job.communicate(timeout=90)
    assert job.returncode == 2
    last = out.strip().splitlines()[-1]
    assert re.match(r"error: --devices 2: a process of this training died; --resume \S+ goes", last)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=SLOW)])
def test_a_signal_reaches_both_ranks_and_they_save(number, sample, tmp_path):
    """With loader processes, which torchrun's signal to the group must not kill first."""
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in SMALL.items() if v is not True]
    flags += ["--metadata", str(sample), "--output-dir", str(tmp_path), "--devices=2"]
    flags += ["--epochs=500", "--num-workers=1"]
    command = [sys.executable, str(REPO / "train_EfficientNet_Lite0_CA.py"), *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPO}
    with subprocess.Popen(command, **pipes) as job:
        for line in job.stdout:
            if line.startswith("epoch   1/500"):
                break
        job.send_signal(number)
        _, err = job.communicate(timeout=60)
    (run,) = tmp_path.iterdir()
    assert job.returncode == 128 + number and err.count("\n") == 1, err
    stopped = rf"error: stopped by {number.name}, after \d of 3 steps of epoch \d+; --resume"
    assert re.match(stopped, err)
    last = torch.load(run / "last.pt", weights_only=True)
    assert f"after {last['step']} of 3 steps of epoch {last['epoch'] + 1}" in err


@SLOW
def test_what_one_rank_alone_meets_reaches_the_user(sample, tmp_path, photos, monkeypatch):
    """A photo that turns out bad in the middle of training, on whichever rank."""
    folder = photos({f"{part}/{label}": 4 for part in ("train", "valid") for label in "ab"})
    (folder / "train/a/photo 0.jpg").write_bytes(b"\xff\xd8\xff but no photo")
    code = "import sys; from lite0ca.data import dataset; dataset.READ_UP_TO = 2; "
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPO}")
    flags = ["--data-dir", str(folder), "--devices=2", "--device=cpu", "--image-size=64"]
    flags += ["--batch-size=4", "--epochs=1", "--num-workers=0", f"--output-dir={tmp_path}"]
    command = [sys.executable, str(REPO / "train_EfficientNet_Lite0_CA.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "photo 0.jpg: unreadable image" in done.stderr
    assert "--skip-bad-images" in done.stderr


def a_rank_of(pid: int) -> int:
    """A rank of the job: a grandchild, since torchrun stands between."""
    children = lambda p: Path(f"/proc/{p}/task/{p}/children").read_text().split()  # noqa: E731
    (torchrun,) = children(pid)
    return int(children(torchrun)[1])


def test_half_an_epoch_is_counted_once_when_ranks_take_it_up(monkeypatch):
    """Rank 0 saves what all have counted, and alone takes it up."""
    new = lambda: State.new(Config.of(image_size=32), 2, Precision(torch.device("cpu"), False))  # noqa: E731
    state = new()
    state.sums |= {"loss": 3.0, "right": 2.0, "images": 4.0, "train_s": 5.0}
    monkeypatch.setattr(distributed, "count", lambda: 2)
    monkeypatch.setattr(distributed, "added", lambda own: 2 * own)
    saved = state.as_dict()
    assert saved["sums"] == state.sums | {"loss": 6.0, "right": 4.0, "images": 8.0}
    for number, images in ((0, 8.0), (1, 0.0)):
        monkeypatch.setattr(distributed, "number", lambda number=number: number)
        taken = new()
        taken.restore(saved)
        assert (taken.sums["images"], taken.sums["train_s"]) == (images, 5.0)


@SLOW  # the message of the signal above comes to the user on the same way
def test_a_mistake_that_both_ranks_meet_is_said_once(tmp_path, capsys):
    arguments = ["train", "--metadata", str(tmp_path / "none.csv"), "--devices=2", "--device=cpu"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: --metadata {tmp_path}/none.csv: does not exist\n"


def test_mistakes(sample, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="--sync-bn needs cuda"):
        fit(settings(sample, tmp_path, sync_bn=True))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device cuda"):
            fit(settings(sample, tmp_path, devices=2, device="cuda"))
    monkeypatch.setattr(distributed, "count", lambda: 3)
    rows = pd.DataFrame({"absolute_path": ["a"] * 8, "label": ["x"] * 8})
    with pytest.raises(InputError, match=r"--batch-size 2 .* too few for 3 devices"):
        train_loader(rows, {"x": 0}, Config.of(batch_size=2))
