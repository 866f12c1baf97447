"""What lasts of a run: its folder and its checkpoints, which hold tensors and plain data only."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode

from lite0ca.errors import InputError, opening
from lite0ca.files.whole_file import whole
from lite0ca.formats import seal
from lite0ca.formats.metadata import check_metadata
from lite0ca.formats.run_files import best_of
from lite0ca.model.archive import is_zip, loaded, read_tensors
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.systems import SYSTEMS, System

FORMER_SUFFIX = ".torchscript"  # of version 0.1: a program, which could do anything
# A network of one of our systems with no more than these is small.
USUAL_SIZE, USUAL_CLASSES = 512, 1000
RANDOM = {torch.Tensor.normal_, torch.Tensor.uniform_}
END_OF_ZIP = b"PK\5\6"  # with nothing behind it, 22 bytes


def save_checkpoint(path: str | Path, content: dict) -> None:
    """Write what `torch.load` reads, with a seal as the comment of the zip."""
    packed = io.BytesIO()  # onto a full disk torch.save hides the OSError behind one of its own
    torch.save(content, packed)
    comment = seal.EMPTY.encode()
    packed.seek(-2, io.SEEK_END)  # the length of the comment, which torch leaves empty
    packed.write(len(comment).to_bytes(2, "little") + comment)
    with whole(path, "wb") as file:
        file.write(seal.sealed(packed.getvalue()))


def load_checkpoint(path: str | Path, needs: tuple[str, ...]) -> dict:
    """The content of a checkpoint, on the CPU; code in the file is never run.

    Raises `InputError` if the file is missing, damaged in one bit, no checkpoint, or lacks a key.
    """
    path = Path(path)
    if path.suffix == FORMER_SUFFIX:
        raise InputError(f"{path}: lite0ca runs no TorchScript any more; export the run as ONNX")
    try:
        stored = read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint") from None
    with opening(path, "is damaged or no checkpoint; take a copy of it, or train again"):
        if not is_zip(stored):
            raise ValueError("it is no zip")
        # 0.2 wrote no seal, and no comment to the zip; each record has a checksum in any case.
        if not seal.is_sealed(stored) and not stored[-22:].startswith(END_OF_ZIP):
            raise ValueError("its end is damaged")
        content = loaded(stored)
    if not isinstance(content, dict):
        raise InputError(f"{path}: is no checkpoint of this project")
    if missing := [key for key in needs if key not in content]:
        raise InputError(f"{path}: is no checkpoint of this project (lacks {missing[0]!r})")
    return content


def load_best(run: str | Path) -> dict:
    """The best model of a run: give its folder, or the file itself. Raises `InputError`."""
    path = best_of(run)
    content = load_checkpoint(path, needs=("model", "config", "system", "label2id", "epoch"))
    check_metadata(content, path)
    return content


def model_of(
    checkpoint: dict, image_size: int | None = None, source: str | Path = "the checkpoint"
) -> LeafClassifier:
    """The trained network of a checkpoint, ready to answer; raises `InputError`, which names the
    `source`, if it cannot be.
    """
    config = checkpoint["config"]
    trained_at = config["image_size"]
    image_size = image_size or trained_at
    system = System(**checkpoint["system"])
    if "bot" in system.attention and image_size != trained_at:
        raise InputError(
            f"--image-size {image_size}: the positions of {system.name}'s self-attention belong to "
            f"{trained_at} pixels; use --image-size {trained_at}, or train at {image_size}"
        )
    build = partial(build_model, system, len(checkpoint["label2id"]), image_size, config["dropout"])
    state, classes = checkpoint["model"], len(checkpoint["label2id"])
    usual = system.backbone in {known.backbone for known in SYSTEMS.values()}
    if not usual or image_size > USUAL_SIZE or classes > USUAL_CLASSES:
        refuse_other_shapes(state, shapes_on_paper(build), system.name, source)
    with Unfilled():
        model = build()
    refuse_other_shapes(state, shapes_of(model), system.name, source)
    with opening(source, f"does not fit {system.name}"):
        model.load_state_dict(state)
    if bad := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
        raise InputError(f"{source}: holds NaN or infinity in {bad[0]}, so it answers nothing")
    model.distance = distance_of(checkpoint.get("distance"), model, source)
    return model.eval()


def distance_of(kept, model: LeafClassifier, source: str | Path) -> TrainingDistance | None:
    """What a checkpoint says of its training photos; runs before 0.5 say nothing."""
    if kept is None:
        return None
    stages = [model.backbone.feature_info[number] for number in strided(model.backbone)]
    channels = sum(stage["num_chs"] for stage in stages)
    shapes = {"mean": (channels,), "whitening": (channels, channels)}
    with opening(source, "is damaged: its distance is no such thing"):
        for name, shape in shapes.items():
            if kept[name].shape != shape or not kept[name].isfinite().all():
                raise ValueError(name)
        return TrainingDistance(kept["mean"], kept["whitening"])


class Unfilled(TorchFunctionMode):
    """Networks are built without random weights: those of a checkpoint take their place."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in RANDOM or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def shapes_of(model: LeafClassifier) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in model.state_dict().items()}


def shapes_on_paper(build: Callable[[], LeafClassifier]) -> dict[str, torch.Size] | None:
    """The shapes of a network that may take gigabytes, without taking them; None where a network
    of timm cannot be built so. It costs torch's compiler, 1.5 CPU seconds of imports.
    """
    try:
        with torch.device("meta"), Unfilled():
            return shapes_of(build())
    except Exception:  # building the real one will say why
        return None


def refuse_other_shapes(state: dict, wanted: dict | None, name: str, source: str | Path) -> None:
    """Raise `InputError` unless the tensors are those of the network."""
    if wanted is None:
        return
    found = state if isinstance(state, dict) else {}
    for key in [*wanted, *found]:
        if getattr(found.get(key), "shape", None) != wanted.get(key):
            raise InputError(f"{source}: does not fit {name}: {key} is missing or another's")
