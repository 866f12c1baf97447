"""No file is written over that lite0ca did not make: what is in a file tells."""

from __future__ import annotations

import os
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.reading import beginning

SOFTWARE = "lite0ca"  # says every picture of ours of itself


def is_table(path: str | Path, *headers: str) -> bool:
    """Whether a file is empty or a table whose header begins with one of these."""
    encoded = tuple(header.encode() for header in headers)
    start = beginning(path, max(map(len, encoded)))
    return start is not None and (not start or start.startswith(encoded))


def is_picture(path: str | Path) -> bool:
    """Whether a file is a picture that we drew."""
    return f"Software\0{SOFTWARE}".encode() in (beginning(path, 1000) or b"")


def refuse_others(path: str | Path, is_ours: bool, flag: str = "--output-dir") -> None:
    """Raise `InputError` for a file that is there and would be written over, unless it is ours."""
    if os.path.lexists(path) and not is_ours:
        raise InputError(
            f"{path}: is there, and lite0ca did not make it; move it away, or name another {flag}"
        )
