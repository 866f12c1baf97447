"""What each step of the augmentation costs, step by step, as the photos come to it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pandas as pd

from lite0ca.images.augmentation import augmentation
from lite0ca.images.background import leaf_mask, on_another_background
from lite0ca.images.photos import STRONG_SHARE


def costs_of_steps(
    photos: list[np.ndarray], image_size: int = 224, rounds: int = 3
) -> pd.DataFrame:
    """A table of the steps of `--augmentation strong`, a row a step, on one core.

    `photos` are uint8 RGB (H, W, 3), as training reads them. Columns: microseconds of CPU of a
    standard and of a strong picture, 0 where a kind has no such step, medians over the rounds; and
    the share of the step in all, where `STRONG_SHARE` of the pictures are strong. Leaf masks, which
    are found once a training, are not counted.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in loader processes
    try:
        found = {
            kind: pd.DataFrame([dict(costs(photos, image_size, kind)) for _ in range(rounds)])
            for kind in ("standard", "strong")
        }
    finally:
        cv2.setNumThreads(threads)
    strong, standard = found["strong"].median(), found["standard"].median()
    table = pd.DataFrame({"standard": standard, "strong": strong}).reindex(strong.index).fillna(0)
    whole = table["standard"] * (1 - STRONG_SHARE) + table["strong"] * STRONG_SHARE
    return table.assign(share=whole / whole.sum()).rename_axis("step")


def costs(photos: list[np.ndarray], image_size: int, kind: str) -> Iterator[tuple[str, float]]:
    """(step, microseconds a picture): all photos go through one step, then through the next."""
    rng = np.random.default_rng(0)

    def timed(step: Callable, items: list) -> tuple[float, list]:
        began = time.process_time()
        done = [step(item) for item in items]
        return 1e6 * (time.process_time() - began) / len(items), done

    if kind == "strong":
        masked = [(photo, leaf_mask(photo)) for photo in photos]
        pairs = list(zip(masked, masked[1:] + masked[:1]))

        def before_the_next(pair):
            (photo, leaf), other = pair
            return on_another_background(photo, leaf, lambda: other, rng)

        took, photos = timed(before_the_next, pairs)
        yield on_another_background.__name__, took
    transform = augmentation(image_size, kind, afar=True)
    transform.set_random_state(rng, random.Random(0))
    for step in transform.transforms:
        took, photos = timed(lambda photo, step=step: step(image=photo)["image"], photos)
        yield getattr(step, "function", type(step)).__name__, took
