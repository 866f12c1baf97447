"""A run folder, a checkpoint or an exported file, opened as a network of torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.exported_file import (
    ExportedFile,
    format_of,
    open_exported,
    refuse_other_size,
)
from lite0ca.formats.run_files import best_of


class Exported(nn.Module):
    """An exported file as a network: normalised (B, 3, S, S) -> logits (B, classes).

    It runs where it was opened, whatever the device of its input, in the runtime of its format.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, exported: ExportedFile):
        super().__init__()
        self.exported = exported
        self.register_buffer("mean", torch.from_numpy(exported.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.from_numpy(exported.std).view(-1, 1, 1))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB 0..255 (B, 3, H, W) -> float32, as the file expects it."""
        return (images.float() / 255 - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.with_distance(images)[0]

    def with_distance(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As a `LeafClassifier`: logits (B, classes), and distances (B,) if the file has them."""
        logits, distances = self.exported.with_distance(images.float().cpu().numpy())
        distances = None if distances is None else torch.from_numpy(distances).to(images.device)
        return torch.from_numpy(logits).to(images.device), distances


def open_file(
    path: str | Path, threads: int | None = None, device: str = "auto"
) -> tuple[dict, Exported]:
    """(metadata, network) of an exported file, as `open_exported` opens it. Raises `InputError`."""
    exported = open_exported(path, threads or torch.get_num_threads(), device)
    return exported.metadata, Exported(exported)


def open_model(
    run: str | Path, image_size: int | None = None, device: str = "auto"
) -> tuple[dict, nn.Module]:
    """(what it says of itself, network) of a run folder, a checkpoint or an exported file.

    The device is that of a file; a network is on the CPU, to be moved. Raises `InputError`.
    """
    if Path(run).is_dir() or format_of(run) is None:
        checkpoint = load_best(run)
        return checkpoint, model_of(checkpoint, image_size, best_of(run))
    metadata, network = open_file(run, device=device)
    refuse_other_size(network.exported, run, image_size)
    return metadata, network
