"""Streams that are closed or have few letters, torchrun's leftovers, a machine at its limits."""

import errno
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import FAST, REPO

from lite0ca.__main__ import main
from lite0ca.commands import sample, train
from lite0ca.errors import InputError, opening, out_of_memory
from lite0ca.evaluation import metrics
from lite0ca.machine import console, processor, torchrun

# Prints names and says what opened files are numbered, which nothing may be written into.
COMMAND = """
import os, sys
from lite0ca import __main__
from lite0ca.commands import sample
from lite0ca.errors import InputError
def run(**_):
    number = os.open(sys.argv[1], os.O_RDONLY)
    print("l\\u00e1 \\u0111\\u1ecf \\udcff", number > 2)
    raise InputError("l\\u00e1 \\udcff")
sample.run = run
__main__.program(["sample", "x"])
"""
SHOWN = {"utf-8": "lá đỏ \\udcff", "ascii": r"l\xe1 \u0111\u1ecf \udcff"}
SHOWN["cp1252"] = r"lá \u0111\u1ecf \udcff"


@pytest.mark.parametrize("encoding", SHOWN)
def test_names_of_any_letters_can_be_printed(encoding):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, __file__],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(REPO)},
        capture_output=True,
        encoding=encoding,
    )
    assert done.returncode == 2 and done.stdout == f"{SHOWN[encoding]} True\n"
    assert done.stderr.startswith("error: l") and done.stderr.endswith("\\udcff\n")


@pytest.mark.skipif(os.name != "posix", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(closed):
    command = f'exec "{sys.executable}" -c "$CODE" "{__file__}" {closed}'
    done = subprocess.run(
        ["sh", "-c", command],
        env=os.environ | {"CODE": COMMAND, "PYTHONPATH": str(REPO), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert done.stdout == ("" if " >" in f" {closed}" else f"{SHOWN['utf-8']} True\n")
    assert done.stderr == ("" if "2>" in closed else "error: lá \\udcff\n")


@pytest.mark.parametrize(
    ("changed", "is_rank"),
    [
        ({}, True),
        ({"RANK": "3"}, True),
        ({"RANK": "4"}, False),
        ({"LOCAL_RANK": "2"}, False),
        ({"WORLD_SIZE": "many"}, False),
        ({"RANK": "9" * 5000}, False),
        ({"MASTER_PORT": ""}, False),
        ({"MASTER_ADDR": ""}, False),
        ({"TORCHELASTIC_RUN_ID": None}, False),
        ({"LOCAL_WORLD_SIZE": None}, False),
    ],
)
def test_a_rank_has_all_that_torchrun_sets(changed, is_rank, monkeypatch):
    whole = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    whole |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "x"}
    for name, text in (whole | changed).items():
        monkeypatch.delenv(name, raising=False) if text is None else monkeypatch.setenv(name, text)
    assert torchrun.started() == is_rank
    assert torchrun.on_this_machine() == (2 if is_rank else 1)


def test_what_torchrun_left_silences_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of another program")
    for command in (["train", "--data-dir", str(tmp_path / "none")], ["predict", "none", "none"]):
        assert main(command) == 2
        assert capsys.readouterr().err.count("error: ") == 1


@pytest.mark.parametrize("devices", [99, 10**6])
def test_more_devices_than_cores(devices, leaves, tmp_path, capsys):
    flags = [*FAST, f"--devices={devices}", "--data-dir", str(leaves)]
    assert main(["train", *flags, "--output-dir", str(tmp_path)]) == 2
    error = f"error: --devices {devices}: no more than cores on a CPU, here {processor.cores()}\n"
    assert capsys.readouterr().err == error and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory: lower"),
        (RuntimeError("could not create a primitive"), "out of memory: lower"),
        (RuntimeError("std::bad_alloc"), "out of memory: lower"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), "out of memory: lower"),
        (RuntimeError("GET was unable to find an engine to execute this"), "out of memory: lower"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory: lower"),
        (ImportError("x.so: failed to map segment from shared object"), "ulimit -v"),
        (OSError(errno.EMFILE, "Too many open files", "a.jpg"), "ulimit -n"),
        (RuntimeError("unable to open: Too many open files (24)"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (OSError(errno.ENOSPC, "No space left on device", "a\n\x1b[31m"), r"a\n\x1b[31m: No sp"),
        ("é".encode, "set PYTHONUTF8=1"),
    ],
)
def test_a_machine_at_its_limits_is_one_line(error, said, monkeypatch, capsys):
    def run(**_):
        if callable(error):
            error("ascii")
        raise error

    monkeypatch.setattr(sample, "run", run)
    assert main(["sample", "x"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1 and said in shown
    assert "--resume" not in shown  # there is no run


def test_a_training_that_has_no_room_can_go_on(monkeypatch, capsys):
    def run(**_):
        raise OSError(errno.ENOSPC, "No space left on device", "last.pt")

    monkeypatch.setattr(train, "run", run)
    assert main(["train"]) == 2
    assert "make room and try again (a training that" in capsys.readouterr().err


def test_a_file_is_not_called_damaged_where_memory_is_short():
    said = pytest.raises(InputError, match=r"^a\.pt: needs more memory than can be had, or is dam")
    with said, opening("a.pt", "is damaged"):
        raise MemoryError


def test_what_is_none_of_these_is_a_defect(monkeypatch):
    def run(**_):
        raise RuntimeError("a shape does not fit")

    assert not out_of_memory(InputError("what allocates"))
    monkeypatch.setattr(sample, "run", run)
    with pytest.raises(RuntimeError):
        main(["sample", "x"])


def test_classes_are_printed_without_control_characters():
    truth = np.array([0, 1])
    scores = metrics.report(truth, truth, ["a\x1b[2J", "b\nc"], None)
    assert r"a\x1b[2J" in metrics.as_text(scores) and r"b\nc" in metrics.as_text(scores)


def test_a_stream_that_nobody_reads_is_given_up():
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as stream:
        console.tell("a", stream)
        console.tell("b", stream)
        assert os.path.samestat(os.fstat(writes), os.stat(os.devnull))  # and there it goes from now


@pytest.mark.parametrize(
    "kernel",
    [
        SimpleNamespace(),
        SimpleNamespace(get_parent=lambda: {}),
        SimpleNamespace(get_parent=lambda channel: {}[channel]),
    ],
)
def test_a_kernel_of_another_kind_has_nobody_to_ask(kernel, monkeypatch):
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert console.in_notebook() and not console.shows_progress()


def test_nothing_is_left_by_the_libraries(tiny_run, sample, tmp_path):
    folders = {name: tmp_path / name for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME")}
    for folder in folders.values():
        folder.mkdir()
    photo = next(sample.parent.rglob("*.jpg"))
    import_all = "from lite0ca.__main__ import program; import onnxruntime; program()"
    command = [sys.executable, "-c", import_all, "predict", tiny_run, photo, "--device", "cpu"]
    unset = ("TORCHINDUCTOR_CACHE_DIR", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"PYTHONPATH": str(REPO)} | {name: str(path) for name, path in folders.items()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    left = {path for folder in folders.values() for path in folder.iterdir()}
    assert left <= {folders["HOME"] / ".nv"}  # the GPU driver's own cache


def test_albumentations_does_not_ask_for_its_newest_version():
    """It would when it is imported, so the package says so before it imports anything."""
    code = "import lite0ca, os, sys; print('albumentations' in sys.modules)"
    code += "; print(os.environ['NO_ALBUMENTATIONS_UPDATE'])"
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    environment |= {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "1"], done.stderr
