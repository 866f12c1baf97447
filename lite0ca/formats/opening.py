"""Exported files: each opens as a network that answers like the run it came from."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lite0ca.errors import InputError, opening
from lite0ca.files import read_bytes
from lite0ca.formats import seal
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.metadata import check_metadata
from lite0ca.machine.console import quiet
from lite0ca.machine.memory import within_free_memory
from lite0ca.settings.config import unknown

NEEDED = ("classes", "image_size", "mean", "std", "config", "system", "label2id", "epoch")


@dataclass(frozen=True)
class Format:
    """A kind of file: its ending, and the extra that its module needs."""

    suffix: str
    extra: str

    def module(self, name: str):
        """Raises `InputError` that names the extra if a package is missing."""
        try:
            with quiet():  # some greet
                return importlib.import_module(f"lite0ca.formats.{name}")
        except ImportError as error:
            raise InputError(
                f"{name} needs the package {error.name or error}: "
                f"pip install 'lite0ca[{self.extra}]'"
            ) from None

    def is_installed(self, name: str) -> bool:
        try:
            return bool(self.module(name))
        except InputError:
            return False


FORMATS = {
    "onnx": Format(".onnx", "onnx"),
    "openvino": Format(".xml", "openvino"),
    "litert": Format(".tflite", "litert"),
    "executorch": Format(".pte", "executorch"),
}


class Exported(nn.Module):
    """An exported file as a network: normalised (B, 3, S, S) -> logits (B, classes).

    It runs on the CPU, whatever the device of its input, in the runtime of its format.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, session, metadata: dict):
        super().__init__()
        self.session = session
        self.takes_photos = getattr(session, "takes_photos", False)
        # A file that normalises by itself takes 0..255.
        mean, std = ([0.0], [1 / 255]) if self.takes_photos else (metadata["mean"], metadata["std"])
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB 0..255 (B, 3, H, W) -> float32, as the file expects it."""
        return (images.float() / 255 - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        batch = np.ascontiguousarray(images.float().cpu().numpy())
        return torch.from_numpy(np.asarray(self.session(batch), np.float32)).to(images.device)


def format_of(path: str | Path) -> str | None:
    """The format by a file's ending; None for what is no exported file."""
    endings = {one.suffix: name for name, one in FORMATS.items()}
    return endings.get(Path(path).suffix)


def open_file(path: str | Path, threads: int | None = None) -> tuple[dict, Exported]:
    """(metadata, network) of an exported file; raises `InputError` if it is not ours, or broken.

    The metadata is what a checkpoint says beside its weights, and `mean`, `std`, `classes`,
    `format`.
    """
    path, name = Path(path), format_of(path)
    if name is None:
        raise InputError(f"{path}: no exported file has this ending")
    module = FORMATS[name].module(name)
    try:
        contents = [read_bytes(file) for file in files_of(path)]
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: there is no such file") from None
    with opening(path, "is damaged; export again"):
        is_sealed = seal.is_sealed(*contents)
    with opening(path, f"is damaged or no {name} file; export again"), guarded():
        session = module.Session(*contents, threads=threads or torch.get_num_threads())
        metadata = dict(session.metadata)
        if metadata.pop(seal.NAME, None) and not is_sealed:  # 0.2 wrote none
            raise ValueError("its checksum is not where it was")
    missing = [key for key in NEEDED if key not in metadata]
    if missing:
        raise InputError(
            f"{path}: does not say its {missing[0]}, so it was not written by lite0ca export"
        )
    check_metadata(metadata, path)
    network = Exported(session, metadata)
    with opening(path, "does not do what it says"), guarded():
        check_answers(network, metadata)
    return metadata, network


@contextlib.contextmanager
def guarded():
    """Around a runtime that does what a stranger's file says."""
    with quiet(), within_free_memory():
        yield


def files_of(path: Path) -> list[Path]:
    """An exported file and what belongs to it: OpenVINO's weights lie beside."""
    return [path, path.with_suffix(".bin")] if path.suffix == FORMATS["openvino"].suffix else [path]


def seal_file(path: Path) -> None:
    """Put the digest of an exported file that was just written into it."""
    content, *others = (file.read_bytes() for file in files_of(path))
    path.write_bytes(seal.sealed(content, *others))


def check_answers(network: Exported, metadata: dict) -> None:
    """Raise `ValueError` unless one black picture gets a finite logit for each class."""
    side, classes = metadata["image_size"], len(metadata["classes"])
    logits = network(torch.zeros(1, 3, side, side))
    if logits.shape != (1, classes):
        raise ValueError(f"it names {classes} classes and answers {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError("it answers NaN or infinity")


def open_model(run: str | Path, image_size: int | None = None) -> tuple[dict, nn.Module]:
    """(what it says of itself, network) of a run folder, a checkpoint or an exported file.

    Raises `InputError`.
    """
    if Path(run).is_dir() or format_of(run) is None:
        checkpoint = load_best(run)
        return checkpoint, model_of(checkpoint, image_size)
    metadata, network = open_file(run)
    if image_size not in (None, metadata["image_size"]):
        raise InputError(
            f"--image-size {image_size}: {run} was exported for {metadata['image_size']} pixels"
        )
    return metadata, network


def formats_named(text: str) -> list[str]:
    """'onnx,litert' -> names; 'all' -> every format. Raises `InputError`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != "all" and name not in FORMATS:
            raise InputError(f"--format {unknown(name, [*FORMATS, 'all'])}")
    if not names:
        raise InputError(f"--format: name one or more of {', '.join(FORMATS)}, or all")
    return list(FORMATS) if "all" in names else list(dict.fromkeys(names))
