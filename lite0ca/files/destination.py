"""Whether results can go where they are to go: asked before the work."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.reading import status_of
from lite0ca.files.scraps import remove_scraps

ROOM = 300  # bytes that a path needs for what comes into a folder


def check_writable(folder: str | Path) -> None:
    """Raise `InputError` now, not after an hour, if no file can be made in `folder`.

    Where it is not there yet: if it cannot be made.
    """
    check_length(folder)
    nearest = str(Path(folder).absolute())
    try:
        while not (status := status_of(nearest)):
            if os.path.islink(nearest):
                raise InputError(f"{folder}: {nearest} is a link that leads nowhere")
            nearest = os.path.dirname(nearest)
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{folder}: {nearest} is a file; name a folder")
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: nothing can be written there ({why})") from None


def refuse_full(folder: str | Path, advice: str) -> None:
    """Raise `InputError` if a folder holds anything, or if none can be made there."""
    folder = Path(folder)
    check_writable(folder)
    remove_scraps(folder)
    if inside := sorted(folder.iterdir()) if folder.is_dir() else []:
        found = next((path for path in folder.rglob("*") if path.is_file()), inside[0])
        raise InputError(f"{folder} holds data already ({found}): {advice}")


def refuse_among_photos(folder: str | Path, photos: Path) -> None:
    """Raise `InputError` if pictures in `folder` would be photos of a class another time."""
    if not photos.is_dir():
        return
    above, below = (Path(os.path.realpath(place)) for place in (photos, folder))
    inside = below.parts[len(above.parts) :] if below.is_relative_to(above) else (".",)
    if not any(name.startswith(".") for name in inside):  # nobody looks into hidden ones
        raise InputError(
            f"--output-dir {folder}: lies in the data folder {photos}, where pictures would be "
            "taken for photos; name a folder outside"
        )


def check_length(path: str | Path) -> None:
    """Raise `InputError` for a name that no file can have here, or no file inside."""
    name = os.fsencode(Path(path).absolute())
    most = os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else 4096
    if len(name) > most - ROOM or max(map(len, name.split(os.sep.encode()))) > 255:
        raise InputError(f"{str(path)[:200]}…: is too long a name")
