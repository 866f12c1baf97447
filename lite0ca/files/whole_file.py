"""Files are written whole: a reader sees the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from lite0ca.files.folders import made_folder
from lite0ca.files.locks import lock
from lite0ca.files.reading import status_of
from lite0ca.files.scraps import is_scrap, remove_scraps, scrap_name
from lite0ca.files.streams import into, is_stream, opened_stream


@contextlib.contextmanager
def whole(path: str | Path, mode: str = "w") -> Iterator:
    """A file to write; it takes the name `path` once it is complete, with an old one's rights.

    A link is followed, a missing folder made. What is no file (a pipe, a terminal, /dev/null) gets
    all at the end. Raises `OSError` with the name `path`, and `InputError`; nothing is left then,
    and an old file stays.
    """
    with named_in_errors(path), contextlib.ExitStack() as stack:
        if is_stream(path):
            binary = stack.enter_context(into(opened_stream(path)))
        else:
            stack.enter_context(made_folder(Path(path).parent))
            binary = stack.enter_context(unseen(path))
        file = binary
        if "b" not in mode:  # of a name that is no UTF-8 JSON reads back what it was
            file = io.TextIOWrapper(binary, "utf-8", errors="backslashreplace", newline="\n")
        yield file
        file.flush()
        if file is not binary:
            file.detach()  # or it would close the other


@contextlib.contextmanager
def named_in_errors(path: str | Path):
    """A failed write has no name, and nobody knows the temporary one."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if isinstance(name, (str, bytes, Path)) and not is_scrap(
            os.path.basename(os.fsdecode(name))
        ):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


@contextlib.contextmanager
def unseen(path: str | Path) -> Iterator[io.BufferedRandom]:
    """A file without a name, in the folder of `path`, that takes that name at the end.

    Raises `OSError`.
    """
    target = os.path.realpath(path) if os.path.islink(path) else os.fspath(path)
    folder, old = os.path.dirname(target) or ".", status_of(target)
    if old and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if old and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    remove_scraps(folder)
    descriptor, name = new_file(folder)
    try:
        with open(descriptor, "w+b") as file:
            yield file
            file.flush()
            if old:
                as_old(old, descriptor)
            os.fsync(descriptor)
            if name is None:
                name = linked(file, folder)
            if os.name == "nt":
                file.close()  # Windows renames nothing that is open
            os.replace(name, target)
    except BaseException:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
        raise


def new_file(folder: str) -> tuple[int, str | None]:
    """(descriptor, name) of a file; without a name, where that can be, a kill leaves nothing."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), None
    return named_file(folder)


def named_file(folder: str) -> tuple[int, str]:
    """(descriptor, name) of a file with a temporary name, locked where there are locks."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        name = os.path.join(folder, scrap_name())
        descriptor = os.open(name, flags, 0o666)
        with contextlib.suppress(OSError):
            lock(descriptor, wait=True)
        if os.path.exists(name):  # nobody took it for a scrap before it was locked
            return descriptor, name
        os.close(descriptor)


def linked(file: io.BufferedRandom, folder: str) -> str:
    """The temporary name that a file without one now has."""
    name, descriptor = os.path.join(folder, scrap_name()), file.fileno()
    with contextlib.suppress(OSError):
        lock(descriptor, wait=True)
    try:
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)
        return name
    except OSError:  # a file system that keeps such files nameless
        copy, name = named_file(folder)
        try:
            file.seek(0)
            with open(copy, "wb", closefd=False) as other:
                shutil.copyfileobj(file, other)
            as_old(os.fstat(descriptor), copy)
            os.fsync(copy)
        except BaseException:
            os.unlink(name)
            raise
        finally:
            os.close(copy)
        return name


def as_old(old: os.stat_result, new: int | Path) -> None:
    """Owner and mode of the file that is replaced, where the system lets us."""
    for change in ("chown", "chmod"):
        with contextlib.suppress(OSError, AttributeError):
            wanted = (old.st_uid, old.st_gid) if change == "chown" else (stat.S_IMODE(old.st_mode),)
            getattr(os, change)(new, *wanted)
