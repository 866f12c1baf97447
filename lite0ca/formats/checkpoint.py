"""What lasts of a run: its folder and its checkpoints, which hold tensors and plain data only."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from pathlib import Path

import torch

from lite0ca.errors import InputError
from lite0ca.files import whole
from lite0ca.formats.metadata import check_metadata
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.systems import System

BEST, LAST = "best_model.pt", "last.pt"
FORMER_SUFFIX = ".torchscript"  # of version 0.1: a program, which could do anything

EXPORTS, REPORT = "export", "export_report.json"  # a run's exported files, and what they came to


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
    if path.suffix == FORMER_SUFFIX:
        raise InputError(f"{path}: lite0ca runs no TorchScript any more; export the run as ONNX")
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
    check_metadata(content, path)
    return content


def run_folder(run: str | Path) -> Path:
    """The folder of a run, given as such or by one of its files."""
    path = Path(run).absolute()
    if path.is_dir():
        return Path(run)
    return path.parent.parent if path.parent.name == EXPORTS else path.parent


def digest(run: str | Path) -> str:
    """sha256 of a run's best checkpoint: another training, another digest."""
    path = Path(run)
    return hashlib.sha256((path / BEST if path.is_dir() else path).read_bytes()).hexdigest()


def model_of(checkpoint: dict, image_size: int | None = None) -> LeafClassifier:
    """The trained network of a checkpoint, ready to answer; raises `InputError` if it cannot be."""
    config = checkpoint["config"]
    trained_at = config["image_size"]
    image_size = image_size or trained_at
    system = System(**checkpoint["system"])
    if "bot" in system.attention and image_size != trained_at:
        raise InputError(
            f"--image-size {image_size}: the positions of {system.name}'s self-attention belong to "
            f"{trained_at} pixels; use --image-size {trained_at}, or train at {image_size}"
        )
    model = build_model(system, len(checkpoint["label2id"]), image_size, config["dropout"])
    try:
        model.load_state_dict(checkpoint["model"])
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"the checkpoint does not fit {system.name}: {reason}") from None
    if bad := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
        raise InputError(f"the checkpoint holds NaN or infinity in {bad[0]}: it answers nothing")
    return model.eval()
