"""Locks: of what is being written, and of a run that is trained. Windows has none of them."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ON_OPENING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # of a stranger's name


def lock(descriptor: int, wait: bool = False) -> None:
    """Lock an open file or folder until it is closed, in child processes as well.

    Raises `OSError` if another has the lock, unless it is to `wait` for that one, or if there are
    no locks.
    """
    if not fcntl:
        raise OSError(errno.ENOTSUP, "no locks")
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def lock_of(path: str | Path, wait: bool = False) -> int:
    """The descriptor that holds the lock of a file or folder; raises `OSError` as `lock` does."""
    mode = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR  # as network file systems want it
    descriptor = os.open(path, mode | ON_OPENING)
    try:
        lock(descriptor, wait)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = False):
    """While this lasts the lock is held; raises `OSError` as `lock` does."""
    descriptor = lock_of(path, wait)
    try:
        yield
    finally:
        os.close(descriptor)


def lock_for_process(descriptor: int) -> None:
    """Lock a file for this process alone, until it is closed: child processes do not hold it.

    Raises `OSError` as `lock` does.
    """
    if not fcntl:
        raise OSError(errno.ENOTSUP, "no locks")
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
