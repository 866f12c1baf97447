"""Locks on files and folders, where the system has them."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock(descriptor: int) -> None:
    """Nobody removes the file as a scrap until it is closed; without locks nobody ever does."""
    if fcntl:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def locked(path: str | Path):
    """A lock on a file or folder; raises `OSError` if another has it, or if there are no locks."""
    descriptor = lock_of(path)
    try:
        yield
    finally:
        os.close(descriptor)


def lock_of(path: str | Path) -> int:
    """The descriptor that holds a lock until it is closed, or until its process ends.

    Raises `OSError` as `locked` does.
    """
    if not fcntl:
        raise OSError(errno.ENOTSUP, "no locks")
    mode = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR  # as network file systems want it
    descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
