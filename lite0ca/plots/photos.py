"""Figures of photos: walls of them, heat over them, how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from lite0ca.plots.style import one_panel, plain

THUMBNAIL = 160  # pixels; a notebook full of photos has to stay small


def wall(photos: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6) -> Figure:
    """uint8 RGB photos (H, W, 3) in rows, each with its title above it."""
    rows = -(-len(photos) // columns)
    figure = Figure(figsize=(1.7 * columns, 1.9 * rows), layout="constrained")
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if number < len(photos):
            axes.imshow(thumbnail(photos[number]))
            axes.set_title(plain(titles[number]), fontsize=8)
    return figure


def thumbnail(photo: np.ndarray) -> np.ndarray:
    """The middle square of a photo, (THUMBNAIL, THUMBNAIL, 3)."""
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[top : top + side, left : left + side]
    return cv2.resize(square, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def fitted(photo: np.ndarray, side: int) -> np.ndarray:
    """The whole photo, (h, w, 3), with its longer side at most `side`."""
    height, width = photo.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def with_heat(photo: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A photo (H, W, 3) in the light of a map (h, w) of any range: dark is least, bright most."""
    span = heat.max() - heat.min()
    heat = (heat - heat.min()) / (span if span else 1)
    height, width = photo.shape[:2]
    heat = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    heat = heat.clip(0, 1)[..., None]
    return (photo * (0.15 + 0.85 * heat)).astype(np.uint8)


def class_counts(labels, splits) -> Figure:
    """Photos of each class, split by split."""
    figure, axes = one_panel(6.5, 3)
    sns.countplot(
        x=[plain(label) for label in labels], hue=np.asarray(splits), palette="colorblind", ax=axes
    )
    axes.set(xlabel="", ylabel="photos")
    axes.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure
