"""The late stages of a network, trained on a few labelled photos of another place.

What lies before stride 16 stays as it is, and so do BatchNorm's statistics: so the photos are
looked at once, and a step costs a third. The very last stage alone is as good for ten photos a
class and worse for twenty (docs/log.md). Half of each batch are training photos, where they are at
hand, or what was learned from them would be lost.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from lite0ca.adaptation.maps import Maps
from lite0ca.machine.device import Precision
from lite0ca.model.adamw import AdamW
from lite0ca.model.late_stages import late_stages
from lite0ca.model.network import LeafClassifier

STEPS, WARMUP = 60, 10
BATCH, SHARE = 32, 0.5  # photos, and how many of them are of the new place
RATE, DECAY, SMOOTHING = 1e-3, 0.05, 0.1
AT_ONCE = 64  # maps, of those that are only scored


def tuned(
    model: LeafClassifier,
    own: Maps,
    beside: Maps | None,
    precision: Precision,
    seed: int,
    bar: Callable = lambda steps: steps,
) -> LeafClassifier:
    """A copy of a model, trained on maps of the new place and, beside them, of training photos.

    Of the new place each class is met as often as the others, however many photos it has.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    late = late_stages(model).requires_grad_(True)
    optimizer = AdamW(late.parameters(), RATE, weight_decay=DECAY, fused=True)
    rng = np.random.default_rng(seed)
    first = BATCH if beside is None else round(BATCH * SHARE)
    for step in bar(range(STEPS)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        features, numbers = batch(own, balanced(own.numbers, first, rng))
        if beside is not None:
            others = batch(beside, rng.integers(len(beside), size=BATCH - first))
            features, numbers = torch.cat([features, others[0]]), torch.cat([numbers, others[1]])
        features = turned(features, rng).to(precision.device, memory_format=torch.channels_last)
        with precision.autocast():
            logits = late(features)
        loss = F.cross_entropy(
            logits.float(), numbers.to(precision.device), label_smoothing=SMOOTHING
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def rate_at(step: int) -> float:
    """Up in `WARMUP` steps, and along a cosine to nothing."""
    return RATE * min(1, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / STEPS)) / 2


def batch(maps: Maps, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return maps.features[chosen], torch.from_numpy(maps.numbers[chosen])


def balanced(numbers: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` indices, with each class as often as the others, give or take one."""
    classes = np.resize(rng.permutation(np.unique(numbers)), count)
    return np.array([rng.choice(np.flatnonzero(numbers == one)) for one in classes])


def turned(features: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(B, C, h, w), each in one of the 8 orientations: a leaf has no up and down."""
    out = features.clone()
    for place, kind in enumerate(rng.integers(8, size=len(features))):
        one = features[place]
        one = one.flip(2) if kind & 1 else one
        one = one.flip(1) if kind & 2 else one
        out[place] = one.transpose(1, 2) if kind & 4 else one
    return out


@torch.inference_mode()
def logits_of_maps(model: LeafClassifier, maps: Maps, precision: Precision) -> np.ndarray:
    """float32 (N, classes)."""
    late = late_stages(model.eval())
    found = []
    for features in maps.features.split(AT_ONCE):
        with precision.autocast():
            features = features.to(precision.device, memory_format=torch.channels_last)
            found.append(late(features).float().cpu())
    return torch.cat(found).numpy()
