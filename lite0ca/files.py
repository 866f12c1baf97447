"""Files are written whole: a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from lite0ca.errors import InputError, first_line

SCRAP = ".lite0ca.tmp"  # ends the name of what is not complete yet


@contextlib.contextmanager
def whole(path: str | Path, mode: str = "w"):
    """Open a temporary file beside `path`; it takes the name `path` only once it is complete."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SCRAP}")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A failed write has no name, and nobody knows the temporary one.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


def read_json(path: str | Path) -> dict:
    """The JSON object in a file; raises `InputError` if it holds none, `OSError` if not there."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: is damaged (holds no names with values)")
    return content


def write_json(path: str | Path, content) -> None:
    with whole(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def check_writable(folder: str | Path) -> None:
    """Raise `InputError` now, not after an hour, if no file can be made in or above `folder`."""
    nearest = Path(folder).absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written there ({error.strerror})") from None


def remove_scraps(run: Path) -> None:
    """Temporary files and folders of a process that was killed while it wrote."""
    for scrap in run.glob(f".*{SCRAP}"):
        shutil.rmtree(scrap) if scrap.is_dir() else scrap.unlink()
