"""A photo as it is scored: whole, and squeezed to a square, since lesions reach to the edge."""

from __future__ import annotations

import cv2
import numpy as np


def squeezed(photo: np.ndarray, image_size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (S, S, 3), as `albumentations.Resize` does it: by the mean of areas
    where a side shrinks, by cubic splines where both grow.
    """
    height, width = photo.shape[:2]
    if (height, width) == (image_size, image_size):
        return photo
    shrinks = image_size < height or image_size < width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(photo, (image_size, image_size), interpolation=way)
