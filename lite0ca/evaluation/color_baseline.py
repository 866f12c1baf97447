"""The floor: what six colour numbers of a photo know of its class.

In many leaf sets light, background and camera go with the class. A network that does not beat
this has learned the room in which the photos were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from lite0ca.images.reading import read_image
from lite0ca.images.threads import in_threads


def color_numbers(files: Sequence[str | Path]) -> np.ndarray:
    """Mean and standard deviation of each channel, 0..255; float, (files, 6)."""
    return np.array(in_threads(six_numbers, files))


def six_numbers(path: str | Path) -> np.ndarray:
    pixels = read_image(path).reshape(-1, 3)  # H W 3 -> HW 3
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])


def color_answers(train: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    """The class of each asked photo, (asked,): a random forest on the six numbers of `train`.

    Both are rows of a `DataSet`: absolute_path and label.
    """
    forest = RandomForestClassifier(500, class_weight="balanced", random_state=0)
    forest.fit(color_numbers(train["absolute_path"].tolist()), train["label"])
    return forest.predict(color_numbers(asked["absolute_path"].tolist()))
