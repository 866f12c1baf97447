"""What ends a command from outside: signals, and the death of the process that started it.

A command that does nothing stands for all of them; the real ones are killed at random moments.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import FAST, REPO, SLOW, TRIES

from lite0ca.__main__ import main
from lite0ca.commands import sample
from lite0ca.machine import signals
from lite0ca.training.stopping import wish

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent")

COMMAND = """
import contextlib, hashlib, sys, time
from lite0ca import __main__
from lite0ca.commands import sample
from lite0ca.machine import signals
def run(**_):
    {setting}
    try:
        print("ready", flush=True)
        {work}
    finally:
        time.sleep({cleaning})
        print("clean", flush=True)
sample.run = run
__main__.program(["sample", "x"])
"""


def start(code: str, **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": REPO}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, **options)


def stopped(
    numbers, work="time.sleep(60)", setting="pass", cleaning=0.3, pause=0.03, **options
) -> tuple[int, str, str]:
    """(exit code, what was printed after "ready", stderr) of a command that gets these signals."""
    code = COMMAND.format(work=work, setting=setting, cleaning=cleaning)
    with start(code, **options) as process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            time.sleep(pause)
            process.send_signal(number)
        out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize("number", signals.SIGNALS)
@pytest.mark.parametrize("times", [1, 4])
def test_the_first_signal_ends_a_command_and_the_next_do_not_interrupt_that(number, times):
    code, out, err = stopped(times * [number])
    assert (code, out, err) == (128 + number, "clean\n", f"error: stopped by {number.name}\n")


@pytest.mark.parametrize(
    "work",
    [
        "swallowed = contextlib.suppress(BaseException)\n"
        "        with swallowed: time.sleep(60)\n"
        "        time.sleep(60)",
        "type('Half', (), {'__del__': lambda self: time.sleep(60)})()\n        time.sleep(60)",
    ],
)
def test_a_library_that_swallows_it_does_not_go_on(work):
    assert stopped([signal.SIGTERM], work) == (143, "clean\n", "error: stopped by SIGTERM\n")


def test_an_import_is_left_at_once_but_not_in_a_clean_up(tmp_path):
    (tmp_path / "heavy.py").write_text("import time\ntry: time.sleep(60)\nfinally: print('no')")
    (tmp_path / "light.py").write_text("import time\ntime.sleep(0.3)")
    path = f"sys.path.insert(0, {str(tmp_path)!r})"
    heavy = stopped([signal.SIGINT], f"{path}; import heavy", pause=0.5)
    assert heavy == (130, "", "error: stopped by SIGINT\n")
    work = f"{path}\n        try: time.sleep(60)\n        finally: import light"
    light = stopped([signal.SIGINT], work)
    assert light == (130, "clean\n", "error: stopped by SIGINT\n")


def test_a_person_can_leave_what_does_not_end():
    cleaning = "signals.IMPATIENT_S = 0.1"
    assert stopped([signal.SIGINT] * 2, setting=cleaning, cleaning=60, pause=0.4)[0] == 130
    # No handler runs there.
    work, limit = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)", "signals.TOO_LONG_S = 0.3"
    assert stopped([signal.SIGTERM], work, limit) == (143, "", "error: stopped by SIGTERM\n")


def test_under_nohup_it_outlives_the_terminal():
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    code, _, err = stopped([signal.SIGHUP, signal.SIGTERM], preexec_fn=ignore)
    assert (code, err) == (143, "error: stopped by SIGTERM\n")


def test_a_caller_has_its_handlers_back(monkeypatch, capsys):
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    monkeypatch.setattr(sample, "run", lambda **_: signal.raise_signal(signal.SIGTERM))
    assert main(["sample", "x"]) == 143
    assert capsys.readouterr().err == "error: stopped by SIGTERM\n"
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_a_training_saves_when_its_terminal_is_gone(monkeypatch):
    with open("/dev/full", "w") as gone, wish() as noted:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", gone)
            signal.raise_signal(signal.SIGHUP)
            print("what waits to be written is no error", flush=True)
        assert noted.signal == signal.SIGHUP


def alive(mark: str) -> list[str]:
    """The processes with this text in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("MARK") == mark and process.status() != "zombie":
                found.append(" ".join(process.cmdline()))
    return found


def gone_soon(mark: str) -> bool:
    until = time.monotonic() + 3
    while alive(mark) and time.monotonic() < until:
        time.sleep(0.05)
    return alive(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends them")
def test_children_end_with_a_parent_that_is_killed(tmp_path):
    """Also if it goes before the child has asked for that."""
    child = "import os; from lite0ca.machine.signals import end_with_parent; "
    child += "end_with_parent(int(os.environ['OTHER'])); print('asked', flush=True); "
    child += "import time; time.sleep(60)"
    code = "import os, subprocess, sys; os.environ['OTHER'] = str(os.getpid() + int(sys.argv[1]))"
    code += f"\nsubprocess.run([sys.executable, '-c', {child!r}])"
    environment = os.environ | {"MARK": str(tmp_path)}
    for other, said in ((0, "asked\n"), (-1, "")):
        command = [sys.executable, "-c", code, str(other)]
        pipes = {"stdout": subprocess.PIPE, "text": True, "cwd": REPO}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            assert process.stdout.readline() == said
            process.kill()
        assert gone_soon(str(tmp_path))


@SLOW
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("name", ["train", "devices", "predict", "evaluate", "adapt", "export"])
def test_a_command_stopped_at_any_moment(name, number, leaves, tiny_run, photos, tmp_path):
    """One line, and no process is left."""
    many = photos({"blast": 101, "healthy": 101})
    train = ["train", *FAST, "--epochs=99", "--num-workers=1", "--data-dir", leaves]
    loaders = ["--num-workers=2", "--output-dir", "out"]
    command = {
        "train": train,
        "devices": [*train, "--devices=2"],
        "predict": ["predict", tiny_run, many, "--num-workers=2"],
        "evaluate": ["evaluate", tiny_run, *loaders],
        "adapt": ["adapt", tiny_run, many, *loaders],
        "export": ["export", tiny_run, *loaders],
    }[name]
    drawn = random.Random(f"{name} {number}")
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    for attempt in range(TRIES // 10):
        mark = str(tmp_path / str(attempt))
        os.makedirs(mark)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": mark}
        process = subprocess.Popen(
            [sys.executable, "-m", "lite0ca", *map(str, command)],
            env=environment | {"MARK": mark},
            **pipes,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(drawn.uniform(0.2, 15))
        process.send_signal(number)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        wanted = -number if number == signal.SIGKILL else 128 + number
        assert process.returncode in (0, wanted), err
        assert err.count("\n") == (process.returncode > 0) and "Traceback" not in out, err
        assert gone_soon(mark), alive(mark)
