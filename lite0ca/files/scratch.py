"""Folders that are gone at the end, however the process ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lite0ca.files.folders import make_folder, missing, remove_empty
from lite0ca.files.guardian import dismiss, guarded, guardian_of
from lite0ca.files.locks import lock_of, locked
from lite0ca.files.scraps import is_own, remove_scraps, scrap_name

RAY_FOLDER = "RAY_TMPDIR"  # where Ray finds its clusters; its sockets need a short name
TORCH_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch itself sets it, to a folder in TMPDIR


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
                        held.enter_context(locked(scratch, wait=True))
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
    if is_own(os.path.basename(tempfile.gettempdir())):
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
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            os.mkdir(folder, 0o700)
            os.environ.setdefault(RAY_FOLDER, tempfile.gettempdir())
            tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
            descriptor = lock_of(folder, wait=True)
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
