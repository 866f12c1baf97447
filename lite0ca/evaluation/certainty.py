"""Which answers are sure, and which photos are unlike those that a model was trained on.

The one place that says it: `predict`, `evaluate`, the report and the notebooks ask here. Numpy
alone, so that an exported file answers without torch.
"""

from __future__ import annotations

import sys

import numpy as np

LIMIT = 1.0  # of distances to the training photos: what is farther is unlike them
# Beyond it lie 67 to 74 % of 27 pictures of no leaf (a face, a cup, text), 5 to 12 % of 308 leaves
# in fields elsewhere and no photo of the test split (rice, three runs of `robust`): "perhaps".
NO_LEAF = 1.5


def is_unlike(distances: np.ndarray | float | None) -> np.ndarray | bool:
    """Whether photos are unlike the training photos; a distance that is no number is far.

    Without distances nobody knows, and none is called unlike.
    """
    return False if distances is None else np.logical_not(np.less_equal(distances, LIMIT))


def is_no_leaf(distances: np.ndarray | float | None) -> np.ndarray | bool:
    """Whether pictures are so far from the training photos that they perhaps show no leaf."""
    return False if distances is None else np.logical_not(np.less_equal(distances, NO_LEAF))


def is_sure(
    confidence: np.ndarray | float, distances: np.ndarray | float | None, sure_from: float
) -> np.ndarray | bool:
    """Whether answers are sure: confident enough, about photos that are not unlike the training
    photos. Of photos like the valid split such answers are right in 95 of 100 cases.
    """
    confident = np.greater_equal(confidence, sure_from)
    return np.logical_and(confident, np.logical_not(is_unlike(distances)))


def tell_of_another_size(metadata: dict, image_size: int) -> None:
    """Say on stderr that photos are asked at another size than its limits were measured at."""
    measured = metadata["config"]["image_size"]
    if image_size != measured and (metadata.get("sure_from") or metadata.get("distance")):
        print(
            f"asked at {image_size} pixels: when it is sure, and which photos are unlike its "
            f"training photos, was measured at {measured}",
            file=sys.stderr,
        )
