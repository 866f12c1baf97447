"""What is not complete yet: its name, and how it is cleared away after a kill.

Who writes it holds its lock; what nobody holds was left by a process that is no more.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from lite0ca.files.locks import locked

SCRAP = ".lite0ca.tmp"  # ends the name of what is not complete yet


def scrap_name() -> str:
    """A name for what is not complete: nobody else's, and short whatever it becomes."""
    return f".{os.getpid()}-{secrets.token_hex(4)}{SCRAP}"


def is_own(name: str) -> bool:
    """Whether this process gave that name."""
    return is_scrap(name) and name.startswith(f".{os.getpid()}-")


def is_scrap(name: str) -> bool:
    return name.startswith(".") and name.endswith(SCRAP)


def remove_scraps(folder: str | Path) -> None:
    """Remove what a process left that was killed while it wrote; what is in work stays."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            scraps = [entry for entry in entries if is_scrap(entry.name)]
        for scrap in scraps:
            with contextlib.suppress(OSError), locked(scrap.path):
                shutil.rmtree(scrap.path) if scrap.is_dir() else os.unlink(scrap.path)
