"""Files are written whole: a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from lite0ca.errors import InputError, opening

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
        raise InputError(f"{path}: has {status.st_size:,} bytes; no such file has over {most:,}")
    with open(path, "rb") as file:
        return file.read(most)


def read_json(path: str | Path) -> dict:
    """The JSON object in a file; raises `InputError` if it holds none, `OSError` if not there."""
    content = read_bytes(path)
    with opening(path, "is damaged"):
        return json_object(content)


def json_object(content: bytes) -> dict:
    """The names and values that JSON holds, each name once; raises `ValueError`."""
    found = json.loads(content.decode("utf-8"), object_pairs_hook=each_once)
    if not isinstance(found, dict):
        raise ValueError("holds no names with values")
    return found


def each_once(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names {repeated!r} twice")
    return found


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
