"""Photos looked at once, up to the layers that an adaptation leaves as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lite0ca.images.loaders import score_loader
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, to_device
from lite0ca.model.distance import pooled
from lite0ca.model.late_stages import early_stages
from lite0ca.model.network import LeafClassifier


@dataclass(frozen=True)
class Maps:
    """Of N photos: the float32 feature maps (N, C, h, w) that the late stages are given, what a
    distance to the training photos is read from (N, D), and class numbers (N,). On the CPU.
    """

    features: torch.Tensor
    pooled: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, chosen: np.ndarray) -> Maps:
        """Of some of the photos: their places, or a mask."""
        return Maps(self.features[chosen], self.pooled[chosen], self.numbers[chosen])


@torch.inference_mode()
def maps_of(
    model: LeafClassifier, rows: pd.DataFrame, label2id: dict, config, precision: Precision, of: str
) -> Maps:
    """The maps of the photos of `rows`, which have `absolute_path` and `label`."""
    early = early_stages(model.eval())
    features, means, numbers = [], [], []
    for photos, number in bar(score_loader(rows, label2id, config), f"looking at {of}"):
        with precision.autocast():
            given, maps = early(model.normalize(to_device(photos, precision.device)))
        features.append(given.float().cpu())
        means.append(pooled(maps).float().cpu())
        numbers.append(number)
    # Not of inference mode: late stages are trained on them.
    with torch.inference_mode(False):
        kept = torch.cat([one.clone() for one in features])
    return Maps(kept, torch.cat(means).numpy(), torch.cat(numbers).numpy())
