"""What is written to as it is, never replaced: pipes, terminals, the shell's files."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.reading import status_of

ON_STREAMS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # wait for no reader
LINKS = 40  # that a name may lead through, as for the system


def own_descriptor(path: str | Path) -> int | None:
    """The number that /dev/stdout, /dev/fd/N and links to them name: what this process has open."""
    at = os.fspath(path)
    for _ in range(LINKS):
        folder, name = os.path.split(at)
        open_here = f"/proc/{os.getpid()}/fd", "/dev/fd"
        if name.isdecimal() and len(name) < 9 and os.path.realpath(folder) in open_here:
            return int(name)
        if not os.path.islink(at):
            break
        at = os.path.join(folder, os.readlink(at))
    return None


def is_stream(path: str | Path) -> bool:
    """Whether this is written to as it is, never replaced: a pipe, a terminal, the shell's file."""
    status = status_of(path)
    other = status and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    return bool(other) or own_descriptor(path) is not None


def opened_stream(path: str | Path) -> int:
    """A descriptor to write to. Raises `InputError` where nobody reads, and for a disk."""
    if (number := own_descriptor(path)) is not None:
        return os.dup(number)  # so that it is added to: opened anew it would begin at its start
    if stat.S_ISBLK(os.stat(path).st_mode):
        raise InputError(f"{path}: is a disk, no file")
    try:
        descriptor = os.open(path, os.O_WRONLY | ON_STREAMS)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise InputError(f"{path}: is a pipe or socket that nobody reads") from None
    if ON_STREAMS:
        os.set_blocking(descriptor, True)
    return descriptor


@contextlib.contextmanager
def into(stream: int) -> Iterator[io.BytesIO]:
    """All at the end, behind what was printed: a failure writes nothing, and no line is split."""
    with open(stream, "wb", buffering=0) as target:
        kept = io.BytesIO()
        yield kept
        if sys.stdout:
            sys.stdout.flush()
        rest = kept.getvalue()
        while rest:
            rest = rest[target.write(rest) :]
