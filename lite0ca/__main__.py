"""`python -m lite0ca COMMAND`: the commands, and how each one fails."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import multiprocessing
import os
import sys

from lite0ca.errors import (
    ExportFailed,
    InputError,
    Stopped,
    TrainingDiverged,
    first_line,
    out_of_memory,
)

COMMANDS = ("sample", "shard", "train", "evaluate", "predict", "adapt", "export", "bench", "batch")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
TOO_MANY_FILES_ADVICE = "; raise the limit of open files (ulimit -n) or use --num-workers 0"
NO_ROOM_ADVICE = "; make room and try again (a training that has begun: with --resume RUN_FOLDER)"


class Parser(argparse.ArgumentParser):
    """A mistake is one line on stderr, not a page of usage."""

    def error(self, message: str):
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run one command; returns the exit code: 0, or the number that `errors` gives."""
    code = exit_code_of(sys.argv[1:] if argv is None else argv, prog)
    if code and multiprocessing.active_children():
        gc.collect()  # ends the loader processes of what failed; at exit they would complain
    return code


def exit_code_of(argv: list[str], prog: str | None) -> int:
    try:
        command, typed = parse(argv, prog)
        return command(**typed) or 0
    except InputError as error:
        return fail(error, 2)
    except TrainingDiverged as error:
        return fail(error, 3)
    except ExportFailed as error:
        return fail(error, 4)
    except BrokenPipeError:
        sys.stderr.close()  # or Python complains once more while it ends
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        last_line = (error.strerror or str(error)).strip().splitlines()[-1]
        advice = NO_ROOM_ADVICE if error.errno in NO_ROOM else ""
        advice = TOO_MANY_FILES_ADVICE if error.errno in TOO_MANY_FILES else advice
        return fail(f"{where}{last_line.removeprefix('OSError: ')}{advice}", 2)
    except (RuntimeError, MemoryError) as error:
        if advice := advice_for(error):
            return fail(advice, 2)
        raise
    except Stopped as stop:
        return fail(stop, stop.exit_code)
    except KeyboardInterrupt:
        return fail("stopped; a training goes on with --resume RUN_FOLDER", 130)


def advice_for(error: Exception) -> str | None:
    """What a user can do about torch's own errors; None for those that are defects of ours."""
    text = str(error)
    if out_of_memory(error):
        return "out of memory: lower --batch-size or --image-size; --resume RUN_FOLDER goes on"
    if "Connection closed by peer" in text or "NCCL" in text:
        gone = "another process of this training is gone; --resume RUN_FOLDER goes on"
        return f"{gone} ({first_line(error)})"
    if "DataLoader worker" in text and ("killed" in text or "exited" in text):
        return "a loader process was killed: lower --num-workers (0 = none) or --batch-size"
    return None


def fail(problem, code: int) -> int:
    # Of many ranks that all meet one problem, one speaks.
    is_rank = "TORCHELASTIC_RUN_ID" in os.environ  # not ranks.started(), which imports torch
    if not is_rank or os.environ["RANK"] == "0" or getattr(problem, "own", False):
        print(f"error: {problem}", file=sys.stderr, flush=True)
    return code


def parse(argv: list[str], prog: str | None):
    """(function of the command, its arguments by name)."""
    if prog and argv[:1] == ["train"]:  # the guide's script: no command is typed
        train = command_named("train")
        parser = Parser(prog=prog, usage="%(prog)s [flags]", **described(train))
        train.add_arguments(parser)
        return train.run, vars(parser.parse_args(argv[1:]))
    parser = Parser(prog="python -m lite0ca", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = command_named(name)
        one = commands.add_parser(name, help=one_line(command.__doc__), **described(command))
        one.set_defaults(function=command.run)
        command.add_arguments(one)
    typed = vars(parser.parse_args(argv))
    del typed["command"]
    return typed.pop("function"), typed


def command_named(name: str):
    return importlib.import_module(f"lite0ca.commands.{name}")


def described(command) -> dict:
    """What every parser of a command has."""
    return {"description": one_line(command.__doc__), "allow_abbrev": False}


def one_line(docstring: str) -> str:
    return " ".join(docstring.split())


if __name__ == "__main__":
    sys.exit(main())
