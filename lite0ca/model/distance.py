"""How far a photo lies from those that a network was trained on.

The mean of each channel of the feature maps at strides 4, 8 and 16, and their Mahalanobis distance
to the training photos' (Lee et al. 2018, arXiv 1807.03888). These maps show another camera, light
or scene; the last ones, which the classes are read from, were trained to ignore it, and tell far
less (docs/log.md).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

STRIDES = (4, 8, 16)
NEAR = 0.95  # of photos like the training photos lie within a distance of 1
SMALLEST = 1e-6
PARTS, BLOCK = 5, 10  # of training photos that are their own measure; neighbours that go together


class TrainingDistance(nn.Module):
    """Feature maps (B, C, h, w), one a stride -> (B,) distances; 1 is the limit.

    `mean` is (D,), `whitening` (D, D), D the channels of all maps. They are no weights: a
    checkpoint keeps them beside the network's.
    """

    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, mean: torch.Tensor, whitening: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("whitening", whitening.float(), persistent=False)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        squares = self.whitened(pooled(maps)) ** 2  # B D
        return squares.sum(1, keepdim=True).sqrt().squeeze(1)  # B

    def whitened(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(features.float() - self.mean, self.whitening)  # B D

    def of_pooled(self, features: np.ndarray) -> np.ndarray:
        """(N, D) pooled maps -> (N,) distances."""
        return self.whitened(torch.from_numpy(features)).norm(dim=1).numpy()

    @classmethod
    def fitted(cls, training: np.ndarray, others: np.ndarray) -> TrainingDistance:
        """To `training` (N, D) pooled maps; the limit is what 95 % of `others` (M, D) keep, photos
        like them on which the network was not trained.

        The covariance is Ledoit and Wolf's (2004), which holds for few photos as well.
        """
        mean, whitening = whitened_by(training)
        return cls.within(mean, whitening, np.linalg.norm((others - mean) @ whitening.T, axis=1))

    @classmethod
    def fitted_alone(
        cls, training: np.ndarray, beside: np.ndarray | None = None
    ) -> TrainingDistance:
        """To `training` (N, D) pooled maps where no others were kept back; N in order of names.
        It is fitted to those `beside` (M, D) as well.

        The limit is what 95 % of them keep when each is measured by a fit to four fifths of the
        rest. Photos that a distance was fitted to lie too near: of 231 test photos their own 95 %
        left 20 % beyond the limit, this way 7 %, photos of valid 8 to 10 % (rice, three runs of
        `robust`; the network was trained on all of them, which tells little in these maps).
        Neighbours by name go together, since shots of one leaf mostly follow each other.
        """
        beside = training[:0] if beside is None else beside
        if len(training) < 2 * PARTS:
            return cls.fitted(np.concatenate([training, beside]), training)
        block = max(1, min(BLOCK, len(training) // PARTS**2))
        part, distances = np.arange(len(training)) // block % PARTS, []
        for number in range(PARTS):
            mean, whitening = whitened_by(np.concatenate([training[part != number], beside]))
            distances.append((training[part == number] - mean) @ whitening.T)
        fit = whitened_by(np.concatenate([training, beside]))
        return cls.within(*fit, np.linalg.norm(np.concatenate(distances), axis=1))

    @classmethod
    def within(
        cls, mean: np.ndarray, whitening: np.ndarray, distances: np.ndarray
    ) -> TrainingDistance:
        """With the limit that 95 % of these (M,) distances keep."""
        whitening = whitening / max(np.quantile(distances, NEAR), SMALLEST)
        return cls(torch.from_numpy(mean), torch.from_numpy(whitening))

    def of_divided(self, scales: torch.Tensor) -> TrainingDistance:
        """The same distances from maps whose channels were divided by (D,) numbers."""
        return TrainingDistance(self.mean / scales, self.whitening * scales)

    def as_dict(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {"mean": self.mean.cpu().clone(), "whitening": self.whitening.cpu().clone()}


def whitened_by(training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean (D,), whitening (D, D)) of (N, D) pooled maps, float64."""
    from sklearn.covariance import ledoit_wolf  # a second, which answering need not wait for

    mean, spread = training.mean(0, dtype=np.float64), training.std(0, dtype=np.float64)
    spread = np.maximum(spread, SMALLEST)
    covariance, _ = ledoit_wolf((training - mean) / spread, assume_centered=True)
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances, SMALLEST)
    return mean, (directions / np.sqrt(variances)).T / spread  # D, D D


def pooled(maps: list[torch.Tensor]) -> torch.Tensor:
    # Kept as (B, C, 1, 1): LiteRT would transpose whole maps for a mean that drops its axes.
    means = [features.mean((2, 3), keepdim=True).flatten(1) for features in maps]
    return torch.cat(means, dim=1)  # B D


def strided(backbone) -> list[int]:
    """Which of a timm backbone's intermediate maps are meant; none of one that shows none."""
    if not hasattr(backbone, "forward_intermediates"):
        return []
    return [
        number
        for number, stage in enumerate(backbone.feature_info)
        if stage["reduction"] in STRIDES
    ]
