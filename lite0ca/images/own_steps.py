"""Steps of the augmentation that OpenCV takes several times as fast as albumentations does.

Each is a function (uint8 photo (H, W, 3), numpy generator) -> photo, which a `Step` makes one of
albumentations' transforms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import albumentations as A
import cv2
import numpy as np

PER_SIGMA = 32  # so a byte holds four standard deviations to either side of 128


class Step(A.ImageOnlyTransform):
    """A function of a photo and a generator, done with probability `p`."""

    def __init__(self, function: Callable, p: float):
        super().__init__(p=p)
        self.function = function

    def apply(self, img: np.ndarray, **_) -> np.ndarray:
        return self.function(img, self.random_generator)


def shrunk_and_mirrored(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each side at 0.4 to 1 of its length, in the middle; around it the photo mirrored."""
    sides = photo.shape[:2]
    down, across = (max(1, round(side * rng.uniform(0.4, 1.0))) for side in sides)
    small = cv2.resize(photo, (across, down), interpolation=cv2.INTER_LINEAR)
    above, left = (sides[0] - down) // 2, (sides[1] - across) // 2
    below, right = sides[0] - down - above, sides[1] - across - left
    return cv2.copyMakeBorder(small, above, below, left, right, cv2.BORDER_REFLECT_101)


def in_any_orientation(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the 8 that a square has."""
    if rng.random() < 0.5:
        photo = cv2.transpose(photo)
    axis = (None, -1, 0, 1)[rng.integers(4)]
    return photo if axis is None else cv2.flip(photo, axis)


def with_noise(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of each pixel and channel, normal, its deviation 0.0035 to 0.0285 of white.

    That is what `GaussNoise(std_range=(0.005, 0.03))` leaves, which rounds noise towards zero. It
    is cut from a longer piece of noise, in a twentieth of the time that drawing anew takes.
    """
    noise = standard_noise(8 * photo.size)
    start = rng.integers(noise.size - photo.size)
    noise = noise[start : start + photo.size].reshape(photo.shape)
    scale = 255 * rng.uniform(0.0035, 0.0285) / PER_SIGMA
    return cv2.addWeighted(photo, 1, noise, scale, -128 * scale)


@functools.cache
def standard_noise(values: int) -> np.ndarray:
    """Normal noise around 128, uint8 (values,), `PER_SIGMA` to a standard deviation."""
    noise = np.random.default_rng(0).standard_normal(values, dtype=np.float32)
    return (128 + PER_SIGMA * noise).round().clip(0, 255).astype(np.uint8)
