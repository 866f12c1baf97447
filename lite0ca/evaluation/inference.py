"""Photos -> logits of a torch network, batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, to_device
from lite0ca.model.network import LeafClassifier


class Network:
    """A network on its device, asked as an `ExportedFile` is."""

    def __init__(self, model: nn.Module, precision: Precision):
        self.model = model.to(precision.device, memory_format=torch.channels_last).eval()
        self.precision = precision

    @torch.inference_mode()
    def logits(self, photos: np.ndarray) -> np.ndarray:
        """uint8 RGB (B, S, S, 3) -> float32 (B, classes)."""
        with self.precision.autocast():
            images = to_device(torch.from_numpy(photos), self.precision.device)
            return self.model(self.model.normalize(images)).float().cpu().numpy()

    @torch.inference_mode()
    def features_and_logits(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB (B, S, S, 3) -> float32 (B, C), pooled behind the attention; (B, classes)."""
        with self.precision.autocast():
            images = to_device(torch.from_numpy(photos), self.precision.device)
            maps = self.model.forward_features(self.model.normalize(images))  # B C h w
            logits = self.model.forward_head(maps)
        return maps.float().mean((2, 3)).cpu().numpy(), logits.float().cpu().numpy()


@torch.inference_mode()
def logits_of(model: LeafClassifier, loader, precision: Precision) -> tuple[torch.Tensor, ...]:
    """(logits (N, classes) float32, class numbers (N,)) of all batches of a loader, on the CPU."""
    model.eval()
    logits, numbers = [], []
    for photos, number in bar(loader, "scoring"):
        photos = to_device(photos, precision.device)
        with precision.autocast():
            logits.append(model(model.normalize(photos)).float())
        numbers.append(number)
    return torch.cat(logits).cpu(), torch.cat(numbers)
