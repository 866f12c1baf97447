"""Folders appear whole or not at all, and nothing stays of what never became whole.

What is not complete has a name that ends with `SCRAP`, and a lock while somebody writes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lite0ca.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SCRAP = ".lite0ca.tmp"  # ends the name of what is not complete yet
RAY_FOLDER = "RAY_TMPDIR"  # where Ray finds its clusters; its sockets need a short name
TORCH_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch itself sets it, to a folder in TMPDIR
ROOM = 300  # bytes that a path needs for what comes into a folder
DEEPEST = 50  # folders that a guardian takes away at most, when they are empty
# Waits for the end of the process that started it, whatever ends that one, SIGKILL too; a line
# says that there is nothing to remove. In the background, so that it belongs to no process group.
GUARDIAN = f"""exec 3<&0
{{
    trap '' HUP INT QUIT TERM
    read -r line <&3 && exit
    case ${{1##*/}} in .*{SCRAP}) rm -rf -- "$1" ;; esac
    shift
    test $# -eq 0 || rmdir -- "$@"
}} &"""


PIPES = set()  # to guardians; a loader process that outlives its parent must not hold one open
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: [pipe.close() for pipe in PIPES])


def scrap_name() -> str:
    """A name for what is not complete: nobody else's, and short whatever it becomes."""
    return f".{os.getpid()}-{secrets.token_hex(4)}{SCRAP}"


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


def status_of(path: str | Path) -> os.stat_result | None:
    """What the system knows of a file; None if it is not there. Raises `OSError`."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def scratch_folder(beside: str | Path | None = None) -> Iterator[Path]:
    """A folder in `beside`, or in TMPDIR, that is gone at the end, after a SIGKILL too.

    `beside` is made where it is missing, and stays if something was put there. Renamed, the
    scratch folder stays too. Raises `OSError`, with the name of `beside`.
    """
    above = Path(beside if beside is not None else tempfile.gettempdir())
    scratch = above.absolute() / scrap_name()
    remove_scraps(above)
    absent = missing(above)
    with guarded(scratch, absent):
        new = []
        try:
            new = make_folder(above)
            with contextlib.ExitStack() as held:
                while not scratch.is_dir():  # or somebody took it for a scrap before it was locked
                    os.mkdir(scratch, 0o777 if beside is not None else 0o700)
                    with contextlib.suppress(OSError):  # not every file system has locks
                        held.enter_context(locked(scratch))
                yield scratch
        except OSError as error:
            if str(scratch) not in str(error.filename):
                raise
            named = str(error.filename).replace(str(scratch), str(above))  # nobody knows ours
            raise OSError(error.errno, error.strerror, named) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            remove_empty(new)


@contextlib.contextmanager
def own_temporary_folder():
    """TMPDIR is a folder that goes at the end: with all that loader processes and libraries leave.

    Where none can be made, all is as it was; within another of this process nothing is done.
    """
    if os.path.basename(tempfile.gettempdir()).startswith(f".{os.getpid()}-"):
        yield
        return
    before, named = tempfile.tempdir, os.environ.get("TMPDIR")
    clusters = os.environ.get(RAY_FOLDER)
    with contextlib.suppress(OSError):
        remove_scraps(tempfile.gettempdir())
    folder = Path(tempfile.gettempdir(), scrap_name()).absolute()
    if not (pipe := guardian_of(folder, [])):
        yield
        return
    PIPES.add(pipe)
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            os.mkdir(folder, 0o700)
            os.environ.setdefault(RAY_FOLDER, tempfile.gettempdir())
            tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
            descriptor = lock_of(folder)
        yield
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR", None)
        os.environ |= {} if named is None else {"TMPDIR": named}
        if clusters is None:
            os.environ.pop(RAY_FOLDER, None)
        if os.environ.get(TORCH_CACHE, "").startswith(str(folder)):
            del os.environ[TORCH_CACHE]
        loaders = sys.modules.get("multiprocessing")
        # Processes that are still there would complain; then all goes when this one ends.
        if not (loaders and loaders.active_children()):
            shutil.rmtree(folder, ignore_errors=True)
            dismiss(pipe, folder)
            if descriptor is not None:
                os.close(descriptor)


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


@contextlib.contextmanager
def guarded(scratch: Path, absent: list[Path]):
    """While this lasts, the end of this process removes `scratch`, and `absent` that are empty."""
    pipe = guardian_of(scratch, [place.absolute() for place in absent[:DEEPEST]])
    if not pipe:
        yield
        return
    PIPES.add(pipe)
    try:
        yield
    finally:
        dismiss(pipe, scratch)


def dismiss(pipe, scratch: Path) -> None:
    """Let a guardian go: with nothing left to do, or else to do it."""
    PIPES.discard(pipe)
    with pipe, contextlib.suppress(OSError):
        if not os.path.lexists(scratch):
            pipe.write(b"\n")


def guardian_of(scratch: Path, absent: list[Path]):
    """What a guardian reads; None if no process can be had: then the next writer cleans up."""
    command = ["/bin/sh", "-c", GUARDIAN, "guardian", scratch, *absent]
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        # Without a buffer of Python's: that would be flushed into a closed pipe.
        shell = subprocess.Popen(
            command, stdin=subprocess.PIPE, bufsize=0, cwd="/", start_new_session=True, **nowhere
        )
    except OSError:  # also Windows, which has no such shell
        return None
    shell.wait()  # what it left behind waits for us
    return shell.stdin


@contextlib.contextmanager
def locked(path: str | Path):
    """A lock on a file or folder; raises `OSError` if another has it, or if there are no locks."""
    descriptor = lock_of(path)
    try:
        yield
    finally:
        os.close(descriptor)


def lock_of(path: str | Path) -> int:
    """The descriptor that holds a lock until it is closed, or until its process ends.

    Raises `OSError` as `locked` does.
    """
    if not fcntl:
        raise OSError(errno.ENOTSUP, "no locks")
    mode = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR  # as network file systems want it
    descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_scraps(folder: str | Path) -> None:
    """Remove what a process left that was killed while it wrote; what is in work stays."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            scraps = [entry for entry in entries if is_scrap(entry.name)]
        for scrap in scraps:
            with contextlib.suppress(OSError), locked(scrap.path):
                shutil.rmtree(scrap.path) if scrap.is_dir() else os.unlink(scrap.path)


def is_scrap(name: str) -> bool:
    return name.startswith(".") and name.endswith(SCRAP)


@contextlib.contextmanager
def whole_folder(
    folder: str | Path, last: str | None = None, shared: bool = True
) -> Iterator[Path]:
    """A scratch folder to fill; at the end all that it holds stands in `folder`, before it nothing.

    A new folder appears at once. Into one that is there the files move one by one, over those of
    their name, the one named `last` behind the others. With `shared` off, a folder that another
    process made meanwhile is an `InputError`.
    """
    folder = Path(folder)
    is_new = not os.path.lexists(folder)
    with scratch_folder(folder.parent if is_new else folder) as scratch:
        yield scratch
        if is_new:
            try:
                os.rename(scratch, folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                    raise
                if not shared:
                    raise InputError(f"{folder}: another process has just made it") from None
        names = sorted(os.listdir(scratch), key=lambda name: (name == last, name))
        if in_the_way := [name for name in names if (folder / name).is_dir()]:
            raise InputError(f"{folder / in_the_way[0]}: is a folder, where a file is to be")
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                as_old(os.stat(folder / name), scratch / name)
            os.replace(scratch / name, folder / name)


def as_old(old: os.stat_result, new: int | Path) -> None:
    """Owner and mode of the file that is replaced, where the system lets us."""
    for change in ("chown", "chmod"):
        with contextlib.suppress(OSError, AttributeError):
            wanted = (old.st_uid, old.st_gid) if change == "chown" else (stat.S_IMODE(old.st_mode),)
            getattr(os, change)(new, *wanted)
