"""The commands of `lite0ca`, or `python -m lite0ca`, and how each one fails."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import importlib
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from lite0ca import __version__
from lite0ca.errors import (
    ExportFailed,
    InputError,
    TrainingDiverged,
    first_line,
    out_of_files,
    out_of_memory,
    out_of_room,
    printable,
)
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.machine import console, torchrun
from lite0ca.machine.signals import Ending

COMMANDS = ("train", "predict", "evaluate", "report", "label", "adapt", "merge", "export")
COMMANDS += ("push-to-hub", "batch", "bench", "sample", "shard")
ABOUT = """Train on photos of leaves, and ask about others. To begin, with a folder for each class:
lite0ca train --preset robust --data-dir my_photos"""
AGAIN = "and try again"
RESUMED = "(a training that has begun: with --resume RUN_FOLDER)"
MORE_MEMORY = "allow more (ulimit -v), or close other programs"
MORE_FILES = "allow more (ulimit -n 4096), or lower --num-workers"
MORE_PROCESSES = "allow more (ulimit -u), or lower --num-workers and OMP_NUM_THREADS"


class Parser(argparse.ArgumentParser):
    """A mistake is one line on stderr, not a page of usage."""

    def error(self, message: str):
        raise InputError(f"{message} (see {self.prog} --help)")


def program(argv: list[str] | None = None, prog: str | None = None) -> NoReturn:
    """`main` as a process of its own: signals are taken until it has ended."""
    code = 0  # of --help

    def end() -> None:
        """After all else that is to be done at exit; Python's own end takes torch a second."""
        console.settle()
        os._exit(1 if hasattr(sys, "last_value") else code)  # which a traceback leaves

    atexit.register(end)
    console.prepare()
    ending = Ending(alone=True)
    ending.begin()
    code = ended(argv, prog, ending)
    sys.exit(code)


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run one command; returns the exit code: 0, or the number that `errors` gives."""
    console.prepare()
    ending = Ending()
    try:
        if threading.current_thread() is threading.main_thread():
            ending.begin()
        return ended(argv, prog, ending)
    finally:
        ending.restore.close()


def ended(argv: list[str] | None, prog: str | None, ending: Ending) -> int:
    """The exit code, also where a signal ends the command."""
    argv = sys.argv[1:] if argv is None else argv
    speaks = ending.speaks = argv[:1] != ["train"] or torchrun.first()
    try:
        ending.arm()
        code = exit_code_of(argv, prog, speaks)
        ending.hear()
    except KeyboardInterrupt as stop:
        code = fail(str(stop) or "stopped by SIGINT", getattr(stop, "exit_code", 130), speaks)
    finally:
        ending.hear()  # of a defect, too
    processes = sys.modules.get("multiprocessing")
    if code and processes and processes.active_children():
        gc.collect()  # ends the loader processes of what failed; at exit they would complain
    console.settle()
    return code


def exit_code_of(argv: list[str], prog: str | None, speaks: bool) -> int:
    """`speaks` is whether this process says what is wrong: one of the ranks that all meet it."""
    try:
        command, typed = parse(argv, prog)
        with own_temporary_folder():  # before torch is imported, which makes a folder there
            code = command(**typed) or 0
        sys.stdout.flush()
        return code
    except InputError as error:
        return fail(error, 2, speaks or error.own)
    except TrainingDiverged as error:
        return fail(error, 3, speaks)
    except ExportFailed as error:
        return fail(error, 4, speaks)
    except BrokenPipeError:
        return 141
    except Exception as error:
        again = f"{AGAIN} {RESUMED}" if argv[:1] == ["train"] else AGAIN
        if line := advice_for(error, again) or line_of(error, again):
            return fail(line, 2, speaks)
        raise


def advice_for(error: Exception, again: str = AGAIN) -> str | None:
    """What a user can do where the machine is at its limit or a process is gone; else None."""
    text = str(error)
    if out_of_memory(error):
        if isinstance(error, ImportError):
            return f"out of memory: {last_line(error)}: {MORE_MEMORY}"
        return f"out of memory: lower --batch-size or --image-size {again}"
    if out_of_files(error):
        return f"{last_line(error)}: {MORE_FILES}"
    if "start new thread" in text or getattr(error, "errno", None) == errno.EAGAIN:
        return f"{last_line(error)}: {MORE_PROCESSES}"
    if "Connection closed by peer" in text or "NCCL" in text:
        gone = "another process of this training is gone; see what that one said"
        return f"{gone} {again} ({first_line(error)})"
    if "DataLoader worker" in text and ("killed" in text or "exited" in text):
        return "a loader process was killed: lower --num-workers (0 = none) or --batch-size"
    return None


def line_of(error: Exception, again: str = AGAIN) -> str | None:
    """What the system says of a file or a name; None for a defect of ours."""
    if isinstance(error, UnicodeError):
        return f"{last_line(error)}: a name that this locale has no letters for; set PYTHONUTF8=1"
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{last_line(error)}{f'; make room {again}' if out_of_room(error) else ''}"


def last_line(error: Exception) -> str:
    """What an error says; a loader process sends a traceback before it."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[-1].removeprefix("OSError: ")


def fail(problem, code: int, speaks: bool) -> int:
    """Say why the command has ended; returns the exit code."""
    if Ending.current:
        Ending.current.hear()
    if speaks:
        console.tell(f"error: {printable(str(problem))}", sys.stderr)
    return code


def parse(argv: list[str], prog: str | None):
    """(function of the command, its arguments by name)."""
    if prog and argv[:1] == ["train"]:  # the guide's script: no command is typed
        train = command_named("train")
        parser = Parser(prog=prog, usage="%(prog)s [flags]", **described(train))
        train.add_arguments(parser)
        return train.run, vars(parser.parse_args(argv[1:]))
    called = Path(sys.argv[0]).name if sys.argv else ""
    called = "lite0ca" if called in ("lite0ca", "lite0ca.exe") else "python -m lite0ca"
    parser = Parser(prog=called, description=ABOUT, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lite0ca {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = command_named(name)
        one = commands.add_parser(name, help=one_line(command.__doc__), **described(command))
        one.set_defaults(function=command.run)
        command.add_arguments(one)
    typed = vars(parser.parse_args(argv or ["--help"]))
    del typed["command"]
    return typed.pop("function"), typed


def command_named(name: str):
    return importlib.import_module(f"lite0ca.commands.{name.replace('-', '_')}")


def described(command) -> dict:
    """What every parser of a command has."""
    return {"description": one_line(command.__doc__), "allow_abbrev": False}


def one_line(docstring: str) -> str:
    return " ".join(docstring.split())


if __name__ == "__main__":
    program()
