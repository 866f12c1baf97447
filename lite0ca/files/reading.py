"""Files that anybody may have put there: looked at, and read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lite0ca.errors import InputError, opening

PACKED = (b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")  # how archives begin


def status_of(path: str | Path) -> os.stat_result | None:
    """What the system knows of a file; None if it is not there. Raises `OSError`."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_bytes(path: str | Path, most: int = 2**31) -> bytes:
    """All of a regular file; what would be waited for, a pipe or a device, is not opened.

    Raises `InputError` for one of those, a folder, or more than `most` bytes, `OSError` if there
    is no such file.
    """
    with opening(path, "cannot be opened"):  # a name with a NUL is a ValueError
        status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a pipe or a device, not a file")
    if status.st_size > most:
        raise InputError(f"{path}: has {status.st_size:,} bytes; at most {most:,} are read here")
    with open(path, "rb") as file:
        return file.read(most)


def refuse_packed(path: str | Path, start: bytes) -> None:
    """Raise `InputError` for an archive where a text is to be read; `start` is how it begins."""
    if start.startswith(PACKED):
        raise InputError(
            f"{path}: is an archive or an Excel file, not a CSV file; unpack it, or save it as CSV"
        )


def beginning(path: str | Path, count: int) -> bytes | None:
    """The first bytes of a file; None for what is no file, a link, or cannot be read."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return file.read(count)
    except OSError:
        return None
