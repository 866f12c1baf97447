"""Whatever ends a program, no file is half written or lost, and the next start completes.

`TRIES` kills of each kind; `make trust` sets more.
"""

import gc
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import nbformat
import pandas as pd
import psutil
import pytest
import torch
from conftest import FAST, REPO, SLOW, TRIES
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.settings.config import Config
from lite0ca.training import run_folder
from lite0ca.training.fit import fit

LONG_EPOCHS = int(os.environ.get("LONG_EPOCHS", "200"))
# Enough writing to be hit in: three epochs, the cache, curves, loader processes.
TRAIN = [*FAST, "--epochs", "3", "--patience", "0", "--cache", "disk", "--num-workers", "1"]
TRAIN += ["--save-history"]


def unreadable(folder: Path) -> list[str]:
    """Files that no reader accepts; a temporary file of a killed process is none of the results."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith(".") or path.suffix not in READERS:
            continue
        try:
            READERS[path.suffix](path)
        except Exception as error:
            wrong.append(f"{path.relative_to(folder)}: {type(error).__name__} {error}")
    return wrong


def read_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def read_onnx(path: Path) -> None:
    import onnx

    onnx.checker.check_model(onnx.load(path))


READERS = {
    ".json": lambda path: json.loads(path.read_text()),
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".csv": pd.read_csv,
    ".png": read_picture,
    ".onnx": read_onnx,
    ".ipynb": lambda path: nbformat.validate(nbformat.read(path, 4)),
}


def start(*arguments, cwd: Path, before="", **options) -> subprocess.Popen:
    """The command line in a process group of its own; `before` is Python that runs first."""
    code = f"import sys; {before}\nfrom lite0ca.__main__ import program\nprogram(sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(REPO), "MPLCONFIGDIR": matplotlib.get_cachedir()}
    environment |= {"XDG_CACHE_HOME": str(cwd / "cache"), "JOBLIB_MULTIPROCESSING": "0"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, start_new_session=True, **pipes, **options
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def killed_after(seconds: float, *arguments, cwd: Path) -> None:
    process = start(*arguments, cwd=cwd)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def refused(process: subprocess.Popen) -> str:
    """Its one line."""
    code, _, err = ended(process)
    assert code == 2, err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    return err


def moments(took_s: float) -> list[float]:
    """When to kill: over the second half, since the first is Python's imports."""
    drawn = random.Random(0)
    return [drawn.uniform(0.4, 1.0) * took_s for _ in range(TRIES)]


@SLOW  # `make test` has test_killed_and_resumed_equals_uninterrupted
def test_training_killed_at_any_moment(leaves, tmp_path):
    """Also while the cache is built: the first run fills it."""
    began = time.monotonic()
    arguments = ["train", *TRAIN, "--data-dir", leaves, "--output-dir", "out"]
    assert ended(start(*arguments, cwd=tmp_path))[0] == 0
    (whole,) = (tmp_path / "out").iterdir()
    wanted = torch.load(whole / "last.pt", weights_only=True)["model"]
    for number, moment in enumerate(moments(time.monotonic() - began)):
        place = tmp_path / str(number)
        place.mkdir()
        killed_after(moment, *arguments, cwd=place)
        assert unreadable(place) == []
        run = next((place / "out").iterdir(), None) if (place / "out").is_dir() else None
        if run and (run / "last.pt").exists():
            assert ended(start("train", "--resume", run, cwd=place))[0] == 0
        else:  # killed before there was anything to go on with
            assert ended(start(*arguments, cwd=place))[0] == 0
        assert unreadable(place) == []
        made = max((place / "out").iterdir(), key=lambda run: (run / "metrics.json").is_file())
        assert [file.name for file in made.iterdir() if file.name.startswith(".")] == []
        last = torch.load(made / "last.pt", weights_only=True)
        assert last["epoch"] == 3
        assert all(torch.equal(value, last["model"][name]) for name, value in wanted.items())


@pytest.fixture(scope="module")
def run(leaves, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("faults")
    arguments = ["--data-dir", str(leaves), "--output-dir", str(out), "--save-history"]
    assert main(["train", *FAST, *arguments]) == 0
    return next(out.iterdir())


@SLOW
def test_an_export_killed_at_any_moment(run, tmp_path):
    pytest.importorskip("onnx")
    arguments = ["export", run, "--num-workers", "0", "--output-dir", "files"]
    began = time.monotonic()
    assert ended(start(*arguments, cwd=tmp_path))[0] == 0
    names = {path.name for path in (tmp_path / "files").iterdir()}
    for moment in moments(time.monotonic() - began):
        killed_after(moment, *arguments, cwd=tmp_path)  # over what an earlier one left
        assert unreadable(tmp_path) == []
    assert ended(start(*arguments, cwd=tmp_path))[0] == 0
    assert {path.name for path in (tmp_path / "files").iterdir()} == names
    assert unreadable(run) == []


@SLOW
def test_a_batch_killed_at_any_moment(leaves, tmp_path):
    """Two runs of the real notebook; the second start goes on with the first one's."""
    arguments = ["batch", "basic", "fast", "--data-dir", leaves, "--output-dir", "out", "--set"]
    arguments += ["epochs=1", "image_size=32", "start_size=none", "batch_size=4", "num_workers=0"]
    arguments += ["model_name=MobileNetV3_Small", "pretrained=false"]
    for number in range(TRIES // 10):
        place = tmp_path / str(number)
        place.mkdir()
        killed_after(random.Random(number).uniform(10, 40), *arguments, cwd=place)
        assert unreadable(place) == []
        code, out, err = ended(start(*arguments, "--resume", cwd=place))
        assert code == 0, out + err
        assert unreadable(place) == []
        status = pd.read_csv(place / "out/leaderboard.csv")["status"]
        assert list(status.str.partition()[0]) == ["done", "done"]


@SLOW
def test_drawing_and_packing_killed_at_any_moment(tmp_path):
    began = time.monotonic()
    assert ended(start("sample", "whole", cwd=tmp_path))[0] == 0
    drawn = moments(time.monotonic() - began)[: TRIES // 5]
    files = len(list((tmp_path / "whole").rglob("*.*")))
    pack = ("shard", "tars", "--shard-mb", "0.1", "--metadata", tmp_path / "whole/metadata.csv")
    for number, moment in enumerate(drawn):
        place = tmp_path / str(number)
        place.mkdir()
        killed_after(moment, "sample", "data", cwd=place)
        assert ended(start("sample", "data", cwd=place))[0] == 0
        assert len(list((place / "data").rglob("*.*"))) == files
        killed_after(moment, *pack, cwd=place)
        code, _, err = ended(start(*pack, cwd=place))
        assert code == 0 or "name another folder" in err
        if code == 2 and not (place / "tars/metadata.csv").exists():
            shutil.rmtree(place / "tars")  # as it says
            assert ended(start(*pack, cwd=place))[0] == 0
        assert unreadable(place) == []


def test_a_disk_that_is_full(leaves, tmp_path, monkeypatch):
    """The largest file that can be written shrinks: as a full disk, at another write each time.

    Whatever was whole before stays so, and with room the run completes.
    """
    arguments = ["train", *TRAIN, "--data-dir", leaves, "--output-dir", "out", "--num-workers", "0"]
    for most in (0, 3_000, 5_000_000, 12_000_000)[0 if TRIES > 1 else 3 :]:
        place = tmp_path / str(most)
        place.mkdir()
        limit = lambda most=most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, -1))  # noqa: E731
        error = refused(start(*arguments, cwd=place, preexec_fn=limit))
        assert "File too large" in error and ("cache" in error or "out" in error), error
        assert unreadable(place) == []
        assert [path for path in place.rglob(".*.tmp")] == []
    monkeypatch.chdir(place)
    (begun,) = Path("out").iterdir()
    assert main(["train", "--resume", str(begun)]) == 0
    assert torch.load(begun / "last.pt", weights_only=True)["epoch"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which nobody can write to")
def test_folders_that_cannot_be_written_to(leaves, run, tmp_path, capsys, monkeypatch):
    commands = [
        ["train", *FAST, "--data-dir", leaves, "--output-dir", "/proc/lite0ca"],
        ["evaluate", run, "--num-workers", "0", "--output-dir", "/proc/lite0ca"],
        ["export", run, "--num-workers", "0", "--output-dir", "/proc/lite0ca"],
        ["predict", run, leaves, "--csv", "/proc/answers.csv"],
        ["sample", "/proc/lite0ca"],
        ["shard", "/proc/lite0ca", "--data-dir", leaves],
        ["bench", "MobileNetV3_Small", "--output-dir", "/proc/lite0ca"],
        ["batch", "basic", "--data-dir", leaves, "--output-dir", "/proc/lite0ca"],
    ]
    for command in commands:
        assert main(list(map(str, command))) == 2, command
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and "/proc" in error, error
    # A cache that cannot be kept is done without.
    arguments = ["train", *FAST, "--data-dir", leaves, "--output-dir", "out", "--cache", "auto"]
    monkeypatch.chdir(tmp_path)
    assert main([*map(str, arguments), "--cache-dir", "/proc/lite0ca"]) == 0


@pytest.mark.parametrize("way", ["killed", pytest.param("out of memory", marks=SLOW)])
def test_a_loader_process_that_dies(way, leaves, tmp_path, monkeypatch):
    """In the second epoch: one line, and the run goes on when asked."""
    dies = {
        "killed": "os.kill(os.getpid(), signal.SIGKILL)",
        "out of memory": "raise MemoryError('out of memory')",
    }
    before = f"""
import os, signal, multiprocessing
from lite0ca.images.photo_store import PhotoReader
read = PhotoReader.read
def faulty(self, *photo):
    if multiprocessing.parent_process() and os.path.exists('die') and not os.path.exists('died'):
        open('died', 'w').close()
        {dies[way]}
    return read(self, *photo)
PhotoReader.read = faulty
"""
    arguments = ["train", *TRAIN, "--cache", "none", "--data-dir", leaves, "--output-dir", "out"]
    process = start(*arguments, cwd=tmp_path, before=before)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            (tmp_path / "die").touch()
    error = refused(process)
    assert "--num-workers" in error or "--batch-size" in error
    assert unreadable(tmp_path) == []
    monkeypatch.chdir(tmp_path)
    (run,) = Path("out").iterdir()
    assert main(["train", "--resume", str(run)]) == 0


@SLOW
def test_two_runs_started_at_once(leaves, tmp_path):
    arguments = ["train", *TRAIN, "--data-dir", leaves, "--output-dir", "out"]
    both = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    assert [ended(process)[0] for process in both] == [0, 0]
    made = list((tmp_path / "out").iterdir())
    assert len(made) == 2 and unreadable(tmp_path) == []
    first, second = (torch.load(run / "last.pt", weights_only=True)["model"] for run in made)
    assert all(torch.equal(first[name], second[name]) for name in first), "one seed, one result"


@SLOW
def test_the_clock_set_back(leaves, tmp_path, monkeypatch):
    """Folders are named by the clock, nothing else depends on it."""
    import datetime

    class Clock(datetime.datetime):
        years = iter([2026, 2020, 2020, 2020])

        @classmethod
        def now(cls, *_):
            return cls(next(cls.years), 1, 1)

    monkeypatch.setattr(run_folder.datetime, "datetime", Clock)
    settings = {"data_dir": str(leaves), "output_dir": str(tmp_path), "epochs": 1, "cache": "none"}
    settings |= {
        "image_size": 32,
        "batch_size": 4,
        "num_workers": 0,
        "patience": 0,
        "device": "cpu",
    }
    made = [fit(Config.of(model_name="MobileNetV3_Small", **settings)).run for _ in range(3)]
    assert len({*made}) == 3 and unreadable(tmp_path) == []


@SLOW
def test_long_runs_take_no_more_than_short_ones(leaves, tmp_path):
    """Memory, open files and processes after many epochs against after a few."""
    process, seen = psutil.Process(), []
    settings = {"data_dir": str(leaves), "output_dir": str(tmp_path), "cache": "ram"}
    settings |= {
        "image_size": 32,
        "batch_size": 8,
        "num_workers": 2,
        "patience": 0,
        "device": "cpu",
    }
    config = Config.of(model_name="MobileNetV3_Small", save_history=True, **settings)
    for epochs in (2, LONG_EPOCHS):
        fit(Config.of(**(config.as_dict() | {"epochs": epochs})))
        gc.collect()
        seen.append((process.num_fds(), len(process.children(recursive=True))))
    memory_mb = process.memory_info().rss / 2**20
    fit(Config.of(**(config.as_dict() | {"epochs": LONG_EPOCHS})))
    gc.collect()
    assert seen[0] == seen[1]
    assert process.memory_info().rss / 2**20 - memory_mb < 60
