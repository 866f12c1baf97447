"""Files are written whole: a reader sees the old one or the new one, never a half.

And none is written over that lite0ca did not make: what is in a file tells.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lite0ca.errors import InputError, opening
from lite0ca.folders import as_old, is_scrap, made_folder, remove_scraps, scrap_name, status_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Of a name that is no UTF-8 JSON reads back what it was.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
ON_STREAMS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # wait for no reader
LINKS = 40  # that a name may lead through, as for the system
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # how a spreadsheet's begins
BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows UTF-8
SOFTWARE = "lite0ca"  # says every picture of ours of itself


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
        file = binary if "b" in mode else io.TextIOWrapper(binary, **TEXT)
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


def own_descriptor(path: str | Path) -> int | None:
    """The number that /dev/stdout, /dev/fd/N and links to them name: what this process has open."""
    at = os.fspath(path)
    for _ in range(LINKS):
        folder, name = os.path.split(at)
        open_here = f"/proc/{os.getpid()}/fd", "/dev/fd"
        if name.isdecimal() and len(name) < 9 and os.path.realpath(folder) in open_here:
            return int(name)
        if not os.path.islink(at):
            break
        at = os.path.join(folder, os.readlink(at))
    return None


def is_stream(path: str | Path) -> bool:
    """Whether this is written to as it is, never replaced: a pipe, a terminal, the shell's file."""
    status = status_of(path)
    other = status and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    return bool(other) or own_descriptor(path) is not None


def opened_stream(path: str | Path) -> int:
    """A descriptor to write to. Raises `InputError` where nobody reads, and for a disk."""
    if (number := own_descriptor(path)) is not None:
        return os.dup(number)  # so that it is added to: opened anew it would begin at its start
    if stat.S_ISBLK(os.stat(path).st_mode):
        raise InputError(f"{path}: is a disk, no file")
    try:
        descriptor = os.open(path, os.O_WRONLY | ON_STREAMS)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise InputError(f"{path}: is a pipe or socket that nobody reads") from None
    if ON_STREAMS:
        os.set_blocking(descriptor, True)
    return descriptor


@contextlib.contextmanager
def into(stream: int) -> Iterator[io.BytesIO]:
    """All at the end, behind what was printed: a failure writes nothing, and no line is split."""
    with open(stream, "wb", buffering=0) as target:
        kept = io.BytesIO()
        yield kept
        if sys.stdout:
            sys.stdout.flush()
        rest = kept.getvalue()
        while rest:
            rest = rest[target.write(rest) :]


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
            descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
            lock(descriptor)
            return descriptor, None
    return named_file(folder)


def named_file(folder: str) -> tuple[int, str]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        name = os.path.join(folder, scrap_name())
        descriptor = os.open(name, flags, 0o666)
        lock(descriptor)
        if os.path.exists(name):  # nobody took it for a scrap before it was locked
            return descriptor, name
        os.close(descriptor)


def lock(descriptor: int) -> None:
    """Nobody removes the file as a scrap until it is closed; without locks nobody ever does."""
    if fcntl:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def linked(file: io.BufferedRandom, folder: str) -> str:
    """The temporary name that a file without one now has."""
    name, descriptor = os.path.join(folder, scrap_name()), file.fileno()
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
    found = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"names {name!r} twice")
        found[name] = value
    return found


def write_json(path: str | Path, content) -> None:
    with whole(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def write_table(path: str | Path, table, for_people: bool = False) -> None:
    """A pandas table as CSV, cells that are missing empty; `for_people` see `csv_line`."""
    cells = table.astype(object).where(table.notna(), "")
    with whole(path) as file:
        file.write(csv_line(table.columns, for_people))
        file.writelines(csv_line(row, for_people) for row in cells.itertuples(index=False))


def csv_line(cells: Iterable, for_people: bool = False) -> str:
    """One row, whatever is in its texts.

    `for_people`, who open it in a spreadsheet: a text that would be a formula there gets an
    apostrophe before it, which makes it a text.
    """
    texts = []
    for cell in cells:
        text = str(cell)
        if for_people and isinstance(cell, str) and text.startswith(FORMULA):
            text = f"'{text}"
        # Python's writer leaves a carriage return alone that readers take for the end of a row.
        if any(sign in text for sign in '",\r\n'):
            text = '"' + text.replace('"', '""') + '"'
        texts.append(text)
    return ",".join(texts) + "\n"


def is_table(path: str | Path, *headers: str) -> bool:
    """Whether a file is empty or a table whose header begins with one of these."""
    encoded = tuple(header.encode() for header in headers)
    start = beginning(path, max(map(len, encoded)))
    return start is not None and (not start or start.startswith(encoded))


def is_picture(path: str | Path) -> bool:
    """Whether a file is a picture that we drew."""
    return f"Software\0{SOFTWARE}".encode() in (beginning(path, 1000) or b"")


def known_json(path: str | Path) -> dict:
    """What a file of JSON names, to see whose it is; nothing of what is none."""
    if beginning(path, 1):
        with contextlib.suppress(InputError, OSError):
            return read_json(path)
    return {}


def refuse_others(path: str | Path, is_ours: bool, flag: str = "--output-dir") -> None:
    """Raise `InputError` for a file that is there and would be written over, unless it is ours."""
    if os.path.lexists(path) and not is_ours:
        raise InputError(
            f"{path}: is there, and lite0ca did not make it; move it away, or name another {flag}"
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


def numbered(stem: str) -> Iterator[str]:
    """`stem`, `stem_2`, `stem_3` …: names to try where the first ones are taken."""
    yield stem
    for number in itertools.count(2):
        yield f"{stem}_{number}"


def cut(name: str, most: int = 80) -> str:
    """A name of at most so many bytes: of several in a file's name, which has room for 255."""
    content = name.encode(errors="surrogateescape")
    return name if len(content) <= most else content[:most].decode(errors="ignore")
