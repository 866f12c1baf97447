"""What lasts of a run: its folder and its checkpoints, which hold tensors and plain data only."""

from __future__ import annotations

import contextlib
import datetime
import io
import pickle
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import torch

from lite0ca.errors import InputError
from lite0ca.facts import check_facts
from lite0ca.files import SCRAP, whole

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BEST, LAST = "best_model.pt", "last.pt"


def new_folder(output_dir: str | Path, name: str) -> Path:
    """`output_dir/NAME_DD_MM_YYYY_HHMM`; a second run in the same minute gets `_2` behind it."""
    stamp = datetime.datetime.now().strftime("%d_%m_%Y_%H%M")
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = Path(output_dir) / (f"{name}_{stamp}" + (f"_{number}" if number > 1 else ""))
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


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


@contextlib.contextmanager
def held(run: Path):
    """While this lasts no other process may train in the folder; raises `InputError` if one does.

    A lock of the process, on a file that nothing rewrites: it ends with the process, and loader
    processes do not inherit it. Windows, and file systems without locks, go without.
    """
    with open(run / "data.csv", "r+b") as file:
        try:
            if fcntl:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InputError(
                f"{run}: another process is training in it; stop that one first"
            ) from None
        except OSError:
            pass
        yield


def save_checkpoint(path: str | Path, content: dict) -> None:
    packed = io.BytesIO()  # onto a full disk torch.save hides the OSError behind one of its own
    torch.save(content, packed)
    with whole(path, "wb") as file:
        file.write(packed.getbuffer())


def load_checkpoint(path: str | Path, needs: tuple[str, ...]) -> dict:
    """The content of a checkpoint, on the CPU; code in the file is never run.

    Raises `InputError` if the file is missing, truncated, no checkpoint, or lacks a key.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of what is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a checkpoint") from None
    except PermissionError:
        raise
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile):
        raise InputError(f"{path}: is truncated or not a checkpoint") from None
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds more than tensors and plain data; not loaded") from None
    missing = [key for key in needs if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{path}: is no checkpoint of this project (lacks {missing[0]!r})")
    return content


def load_best(run: str | Path) -> dict:
    """The best model of a run: give its folder, or the file itself."""
    run = Path(run)
    if not run.exists():
        raise InputError(f"{run}: there is no such run folder or checkpoint")
    path = run / BEST if run.is_dir() else run
    if run.is_dir() and not path.exists():
        raise InputError(f"{run}: has no {BEST}, so no epoch of it is finished yet")
    content = load_checkpoint(path, needs=("model", "config", "system", "label2id", "epoch"))
    check_facts(content, path)
    return content
