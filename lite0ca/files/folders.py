"""Folders are made with those above them, and go again if nothing was put there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lite0ca.files.guardian import guarded
from lite0ca.files.scraps import scrap_name


def missing(folder: str | Path) -> list[Path]:
    """The folder and those above it that are not there, the deepest first."""
    place, absent = str(Path(folder)), []
    while place and not os.path.isdir(place):  # not a recursion: it may be thousands
        absent.append(Path(place))
        place = os.path.dirname(place)
    return absent


def make_folder(folder: str | Path) -> list[Path]:
    """Make a folder with those above it; returns the new ones, the deepest first.

    Raises `OSError`, and leaves none of them then.
    """
    new = []
    for place in reversed(missing(folder)):
        try:
            os.mkdir(place)
        except OSError as error:
            if isinstance(error, FileExistsError) and os.path.isdir(place):
                continue  # another process was faster
            remove_empty(new)
            raise
        new.insert(0, place)
    return new


def remove_empty(folders: list[Path]) -> None:
    for place in folders:
        with contextlib.suppress(OSError):
            os.rmdir(place)


@contextlib.contextmanager
def made_folder(folder: str | Path):
    """The folder is there; what was new of it goes at the end if nothing was put there."""
    absent = missing(folder)
    if not absent:
        yield
        return
    with guarded(Path(folder).absolute() / scrap_name(), absent):
        new = []
        try:
            new = make_folder(folder)
            yield
        finally:
            remove_empty(new)
