"""An exported file, opened in its own runtime and asked about photos. No torch, where the format
needs none: a file answers in the time that torch takes to be imported.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lite0ca.errors import InputError, opening
from lite0ca.files.reading import read_bytes
from lite0ca.formats import seal
from lite0ca.formats.metadata import DISTANCE, check_metadata
from lite0ca.machine.console import quiet
from lite0ca.machine.memory import within_free_memory
from lite0ca.settings.fields import unknown

NEEDED = ("classes", "image_size", "mean", "std", "config", "system", "label2id", "epoch")


@dataclass(frozen=True)
class Format:
    """A kind of file: its ending, the extra that its module needs, and where it can be asked."""

    suffix: str
    extra: str
    devices: tuple[str, ...] = ("cpu",)

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
    "onnx": Format(".onnx", "onnx", ("cpu", "cuda", "tensorrt")),
    "openvino": Format(".xml", "openvino"),
    "litert": Format(".tflite", "litert"),
    "executorch": Format(".pte", "executorch"),
}


class ExportedFile:
    """An exported file, opened in its runtime. `metadata` is what a checkpoint says beside its
    weights, and `mean`, `std`, `classes`, `image_size`.

    `session` answers normalised (B, 3, S, S) with logits (B, classes) and distances (B,), or None
    where the file gives none; `mean` and `std` are (3,) or (1,), of pixels 0..1.
    """

    def __init__(self, session, metadata: dict):
        self.session, self.metadata = session, metadata
        # A file that normalises by itself takes 0..255.
        self.takes_photos = getattr(session, "takes_photos", False)
        mean, std = ([0.0], [1 / 255]) if self.takes_photos else (metadata["mean"], metadata["std"])
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)

    def answers(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 RGB (B, S, S, 3) -> float32 logits (B, classes), distances (B,) if it has them."""
        images = (photos.astype(np.float32) / 255 - self.mean) / self.std
        return self.with_distance(images.transpose(0, 3, 1, 2))

    def with_distance(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The same of normalised float32 (B, 3, S, S)."""
        logits, distances = self.session(np.ascontiguousarray(images))
        distances = None if distances is None else np.asarray(distances, np.float32)
        return np.asarray(logits, np.float32), distances


def format_of(path: str | Path) -> str | None:
    """The format by a file's ending; None for what is no exported file."""
    endings = {one.suffix: name for name, one in FORMATS.items()}
    return endings.get(Path(path).suffix)


def open_exported(path: str | Path, threads: int, device: str = "auto") -> ExportedFile:
    """On the CPU, or where it is asked for and the format can, on cuda.

    Raises `InputError` if it is no exported file of ours, broken, or does not run on the device:
    then nothing else answers in its place.
    """
    path, name = Path(path), format_of(path)
    if name is None:
        raise InputError(f"{path}: no exported file has this ending")
    if device not in ("auto", *FORMATS[name].devices):
        raise InputError(
            f"--device {device}: {path} does not answer there; ask the run itself, or leave "
            "--device out (ONNX files answer on cuda as well)"
        )
    module = FORMATS[name].module(name)
    try:
        contents = [read_bytes(file) for file in files_of(path)]
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: there is no such file") from None
    with opening(path, "is damaged; export again"):
        is_sealed = seal.is_sealed(*contents)
    with opening(path, f"is damaged or no {name} file; export again"), guarded():
        session = module.Session(*contents, threads=threads)
        metadata = dict(session.metadata)
        if metadata.pop(seal.NAME, None) and not is_sealed:  # 0.2 wrote none
            raise ValueError("its checksum is not where it was")
    missing = [key for key in NEEDED if key not in metadata]
    if missing:
        raise InputError(
            f"{path}: does not say its {missing[0]}, so it was not written by lite0ca export"
        )
    check_metadata(metadata, path)
    exported = ExportedFile(session, metadata)
    with opening(path, "does not do what it says"), guarded():
        check_answers(exported)
    if device in ("auto", "cpu"):
        return exported
    # CUDA takes more addresses than `guarded` grants: what a stranger's file asks for is known now.
    with opening(path, f"does not run on {device}"), quiet():
        exported = ExportedFile(module.Session(*contents, threads=threads, device=device), metadata)
        check_answers(exported)
    return exported


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


def check_answers(exported: ExportedFile) -> None:
    """Raise `ValueError` unless one black picture gets a finite logit for each class, and a finite
    distance where the file says that it gives one.
    """
    side, classes = exported.metadata["image_size"], len(exported.metadata["classes"])
    logits, distances = exported.with_distance(np.zeros((1, 3, side, side), np.float32))
    if logits.shape != (1, classes):
        raise ValueError(f"it names {classes} classes and answers {logits.shape}")
    if (distances is not None) != (DISTANCE in exported.metadata.get("outputs", {})):
        raise ValueError("its distance is not where it was")
    if distances is not None and distances.shape != (1,):
        raise ValueError(f"its distance is {distances.shape}")
    if not all(np.isfinite(values).all() for values in (logits, distances) if values is not None):
        raise ValueError("it answers NaN or infinity")


def refuse_other_size(exported: ExportedFile, source: str | Path, image_size: int | None) -> None:
    """Raise `InputError` if pictures of another size are asked for than the file takes."""
    if image_size not in (None, made_for := exported.metadata["image_size"]):
        raise InputError(f"--image-size {image_size}: {source} was exported for {made_for} pixels")


def refuse_mixed_precision(source: str | Path, amp: bool | None) -> None:
    """Raise `InputError` if mixed precision is asked of an exported file."""
    if amp:
        raise InputError(
            f"--amp: {source} computes as it was exported; leave --amp out, or ask the run itself"
        )


def formats_named(text: str) -> list[str]:
    """'onnx,litert' -> names; 'all' -> every format. Raises `InputError`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != "all" and name not in FORMATS:
            raise InputError(f"--format {unknown(name, [*FORMATS, 'all'])}")
    if not names:
        raise InputError(f"--format: name one or more of {', '.join(FORMATS)}, or all")
    return list(FORMATS) if "all" in names else list(dict.fromkeys(names))
