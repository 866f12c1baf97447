"""What an adapted model knows by sight: its training photos, and those of the new place."""

from __future__ import annotations

import numpy as np

from lite0ca.model.distance import TrainingDistance


def distance_of_both(
    training: np.ndarray, place: np.ndarray, others: np.ndarray
) -> TrainingDistance:
    """To pooled maps (N, D) of training photos and (M, D) of the place, which weigh as much
    together, however few they are; the limit is of `others`, which are like the training photos.
    """
    often = max(1, len(training) // len(place))
    return TrainingDistance.fitted(np.concatenate([training, np.repeat(place, often, 0)]), others)
