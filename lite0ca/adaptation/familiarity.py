"""What an adapted model knows by sight: its training photos, and those of the new place."""

from __future__ import annotations

import numpy as np

from lite0ca.model.distance import TrainingDistance


def distance_of_both(
    training: np.ndarray, place: np.ndarray, others: np.ndarray | None
) -> TrainingDistance:
    """To pooled maps (N, D) of training photos and (M, D) of the place, which weigh as much
    together, however few they are; the limit is of `others`, which are like the training photos,
    or of these, in order of names, where no others were kept back.
    """
    place = np.repeat(place, max(1, len(training) // len(place)), 0)
    if others is None:
        return TrainingDistance.fitted_alone(training, place)
    return TrainingDistance.fitted(np.concatenate([training, place]), others)
