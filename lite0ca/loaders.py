"""Rows of a table -> batches: uint8 photos (B, H, W, 3) and class numbers (B,).

Batches stay uint8 and channels-last; the model normalises them on its device. Each picture's
augmentation is drawn from its own seed, so the number of loader processes changes nothing.
"""

from __future__ import annotations

import math
import os
import random

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or importing it calls home

import albumentations as A
import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from lite0ca import machine
from lite0ca.images import read_image


def augmentation(image_size: int) -> A.Compose:
    """For training: a part of the photo, in any of the 8 orientations, in other light."""
    return A.Compose(
        [
            A.RandomResizedCrop(
                (image_size, image_size),
                scale=(0.5, 1.0),
                interpolation=cv2.INTER_CUBIC,
                area_for_downscale="image",
            ),
            A.D4(p=1),  # a leaf has no up and down
            # Without `hue` albumentations turns colours by up to 180 degrees: blue leaves.
            A.ColorJitter(
                brightness=(0.8, 1.2),
                contrast=(0.8, 1.2),
                saturation=(0.8, 1.2),
                hue=(-0.02, 0.02),
                p=0.8,
            ),
        ]
    )


def resizing(image_size: int) -> A.Compose:
    """For scoring: the whole photo, squeezed to a square, since lesions reach to the edge."""
    resize = A.Resize(
        image_size, image_size, interpolation=cv2.INTER_CUBIC, area_for_downscale="image"
    )
    return A.Compose([resize])


class Photos(Dataset):
    """Item (index, seed) -> (uint8 photo (H, W, 3), class number); seed None: no randomness."""

    def __init__(self, files, numbers, transform: A.Compose):
        # Arrays, not lists: a list's objects would be copied into every loader process.
        self.files = np.array([str(file) for file in files], dtype=np.str_)
        self.numbers = np.array(numbers, dtype=np.int64)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item):
        index, seed = item if isinstance(item, tuple) else (item, None)
        if seed is not None:
            # One stream for the whole pipeline. set_random_seed would seed each transform alike,
            # and then all that happen with one probability happen together.
            self.transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        photo = self.transform(image=read_image(self.files[index]))["image"]
        return torch.from_numpy(np.ascontiguousarray(photo)), self.numbers[index]


class EvenBatches(Sampler):
    """Shuffled batches of (index, seed), all of one size give or take one, no image left out.

    1,080 images at batch 96 are 12 batches of 90, not 11 of 96 and a noisy one of 24. Order and
    seeds depend on (seed, epoch) alone, so a resumed run sees what an uninterrupted one sees.
    """

    def __init__(self, images: int, batch_size: int, seed: int):
        self.images, self.seed, self.epoch = images, seed, 0
        self.batches = math.ceil(images / batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        order, seeds = rng.permutation(self.images), rng.integers(2**32, size=self.images)
        for batch in np.array_split(order, self.batches):
            yield [(int(index), int(seeds[index])) for index in batch]


def train_loader(rows: pd.DataFrame, label2id: dict, config) -> DataLoader:
    """Augmented batches; set `loader.batch_sampler.epoch` before each epoch."""
    photos = photos_of(rows, label2id, augmentation(config.image_size))
    batches = EvenBatches(len(photos), config.batch_size, config.seed)
    return DataLoader(photos, batch_sampler=batches, **worker_options(config, len(batches)))


def score_loader(rows: pd.DataFrame, label2id: dict, config) -> DataLoader:
    """Whole photos in the order of the rows."""
    photos = photos_of(rows, label2id, resizing(config.image_size))
    options = worker_options(config, math.ceil(len(photos) / config.batch_size))
    return DataLoader(photos, batch_size=config.batch_size, **options)


def photos_of(rows: pd.DataFrame, label2id: dict, transform: A.Compose) -> Photos:
    return Photos(rows["absolute_path"], rows["label"].map(label2id), transform)


def worker_options(config, batches: int) -> dict:
    workers = min(machine.loader_workers(config.num_workers), batches)
    pin_memory = config.pin_memory and torch.cuda.is_available()
    # A loader draws a seed each time it starts: from its own generator, or torch's global one
    # would move on and dropout would depend on the number of loader processes.
    options = {"num_workers": workers, "pin_memory": pin_memory, "generator": torch.Generator()}
    if workers:
        options |= {"persistent_workers": True, "worker_init_fn": one_thread}
    return options


def one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)  # or each loader process starts a thread a core
