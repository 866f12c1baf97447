"""Rows of a table -> batches: uint8 photos (B, H, W, 3) and class numbers (B,).

Batches stay uint8 and channels-last; the model normalises them on its device. Each picture's
augmentation is drawn from its own seed, so the number of loader processes changes nothing.
"""

from __future__ import annotations

import functools
import gc
import math
import multiprocessing
import os
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.queues import Queue

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset, Sampler

from lite0ca.errors import InputError
from lite0ca.images.background import Masked, leaf_mask, on_another_background
from lite0ca.images.cache import PhotoReader
from lite0ca.images.delivery import Loader
from lite0ca.images.leaf_masks import LeafMasks
from lite0ca.images.resizing import squeezed
from lite0ca.images.tar_shards import sweep, tars_of
from lite0ca.images.threads import in_threads
from lite0ca.machine import console, distributed
from lite0ca.machine.processor import cores
from lite0ca.machine.signals import end_with_parent, leave_signals_to_the_parent
from lite0ca.settings.config import Config

SCORED_AT_ONCE = 96
# Of the pictures of an epoch. With all of them strong a network learns its own photos less, and
# others no better.
STRONG_SHARE = 0.5
# Photos that are looked through for scenes, and how often one of those lies behind a leaf.
LOOKED_THROUGH, SCENE_SHARE = 2000, 0.8


class Photos(Dataset):
    """Item -> (uint8 photo (S, S, 3), class number).

    An item is an index: the whole photo; or (index, seed, size in pixels): augmented. `change` is
    done to each photo first: (uint8 photo (H, W, 3), seed) -> photo. `augment` is one of
    `config.AUGMENTATIONS`.
    """

    def __init__(
        self, files, numbers, image_size: int, reader: PhotoReader, change=None, augment="standard"
    ):
        # Arrays, not lists: a list's objects would be copied into every loader process.
        self.files = np.array([str(file) for file in files], dtype=np.str_)
        self.numbers = np.array(numbers, dtype=np.int64)
        self.slots, self.reader = reader.slots_of(files), reader
        self.change, self.augment = change, augment
        self.image_size, self.augmented = image_size, {}
        self.scenes = np.array([], dtype=np.int64)
        self.masks = LeafMasks(len(self) if augment == "strong" else 0, reader.side)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item):
        index, *augmented = item if isinstance(item, tuple) else (item,)
        photo = self.photo(index)
        if self.change:
            photo = self.change(photo, seed=index)
        if augmented:
            seed, size = augmented
            kind, strong = "standard", self.augment == "strong"
            if strong:
                rng = np.random.default_rng([seed, 1])  # a stream of its own
                if rng.random() < STRONG_SHARE:
                    kind = "strong"
                    leaf = self.masks.of(index, photo)
                    other = partial(self.masked, self.behind(rng))
                    photo = on_another_background(photo, leaf, other, rng)
            if (size, kind) not in self.augmented:
                from lite0ca.images.augmentation import augmentation  # none to score

                self.augmented[size, kind] = augmentation(size, kind, afar=strong)
            transform = self.augmented[size, kind]
            # One stream for the whole pipeline. set_random_seed would seed each transform alike,
            # and then all that happen with one probability happen together.
            transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
            return transform(image=photo)["image"], self.numbers[index]
        return squeezed(photo, self.image_size), self.numbers[index]

    def photo(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3), not yet augmented. Raises `InputError` for a file gone bad meanwhile."""
        try:
            return self.reader.read(str(self.files[index]), self.slots[index])
        except OSError as error:
            text = f"{error}; mend it, or leave it out with --skip-bad-images"
            problem = InputError(text)
            problem.own = True
            raise problem from None

    def masked(self, index: int) -> Masked:
        """A photo and its leaf mask."""
        photo = self.photo(index)
        return photo, self.masks.of(index, photo)

    def behind(self, rng: np.random.Generator) -> int:
        """The photo that another one's leaf is put before.

        Mostly one of the `scenes`: where all of them are of one class, as fields may be of healthy
        plants, that a photo shows one would tell the class.
        """
        if len(self.scenes) and rng.random() < SCENE_SHARE:
            return int(rng.choice(self.scenes))
        return int(rng.integers(len(self)))

    def find_scenes(self, seed: int) -> None:
        """Set `scenes` to photos without a plain background, found among so many drawn ones."""
        drawn = np.random.default_rng(seed).permutation(len(self))[:LOOKED_THROUGH]
        bar = lambda steps, total: console.bar(steps, "looking for scenes", total)  # noqa: E731
        plain = in_threads(lambda index: self.masked(index)[1] is not None, drawn.tolist(), bar)
        # What OpenCV keeps for a thread is made here for this one, so that loader processes, which
        # are forked from it, find it made and need none of OpenCV's locks for it.
        leaf_mask(self.photo(int(drawn[0])))
        found = drawn[~np.array(plain, dtype=bool)]
        self.scenes = np.sort(found)
        print(f"scenes to put leaves before: {len(found):,} of {len(drawn):,} photos", flush=True)


class EvenBatches(Sampler):
    """Shuffled batches of (index, seed, size), all of one size give or take one, none left out.

    1,080 images at batch 96 are 12 batches of 90, not 11 of 96 and a noisy one of 24. `sizes` are
    the pixels of each epoch; iterating goes from `epoch` and `start`, the batches already done in
    it, to the end of the last epoch. Order and seeds depend on (seed, epoch) alone, so a resumed
    run sees what an uninterrupted one sees. Each rank takes its share of every batch. `tars` are
    the numbers of the images' tar files, (images,), if they lie in such.
    """

    def __init__(self, images: int, batch_size: int, seed: int, sizes: Sequence[int], tars=None):
        self.images, self.seed, self.sizes, self.tars = images, seed, sizes, tars
        self.epoch = self.start = 0
        self.batches = math.ceil(images / batch_size)
        self.largest = math.ceil(images / self.batches)  # images of a batch, over all ranks

    def __len__(self) -> int:
        """Batches of one epoch."""
        return self.batches

    def __iter__(self):
        start = self.start
        for epoch in range(self.epoch, len(self.sizes)):
            yield from self.of_epoch(epoch, start)
            start = 0

    def of_epoch(self, epoch: int, start: int) -> Iterator[list[tuple[int, int, int]]]:
        rng = np.random.default_rng([self.seed, epoch])
        turn = None
        if self.tars is None:
            order = rng.permutation(self.images)
        else:
            order, turn = sweep(self.tars, rng)
        seeds = rng.integers(2**32, size=self.images)
        for batch in np.array_split(order, self.batches)[start:]:
            if turn is not None:  # a rank reads few of the tars that are open
                batch = batch[np.argsort(turn[batch], kind="stable")]
            mine = np.array_split(batch, distributed.count())[distributed.number()]
            yield [(int(index), int(seeds[index]), self.sizes[epoch]) for index in mine]


class Stream:
    """The batches of a train loader, made ahead across the borders of epochs.

    While an epoch is scored and saved, the first batches of the next one are made.
    """

    def __init__(self, loader: Loader, sampler: EvenBatches):
        self.loader, self.sampler, self.next, self.batches = loader, sampler, None, iter(())

    def __len__(self) -> int:
        """Batches of one epoch."""
        return len(self.loader)

    def size_of(self, epoch: int) -> int:
        """Pixels that an epoch trains at."""
        return self.sampler.sizes[epoch]

    def begin(self, epoch: int = 0, start: int = 0) -> None:
        """Have batches made from here on, if they are not: the first time, or after going back."""
        if self.next != (epoch, start):
            self.sampler.epoch, self.sampler.start = epoch, start
            self.batches, self.next = iter(self.loader), (epoch, start)

    def of_epoch(self, epoch: int, start: int = 0) -> Iterator:
        """Its batches from the one with the number `start` on."""
        self.begin(epoch, start)
        for step in range(start, len(self)):
            self.next = None  # until there is a batch: what failed is not gone on with
            batch = next(self.batches)
            self.next = (epoch, step + 1) if step + 1 < len(self) else (epoch + 1, 0)
            yield batch


def sizes_of_epochs(config: Config) -> tuple[int, ...]:
    """Pixels each epoch trains at: from --start-size in even steps to --image-size in the last."""
    if config.start_size is None or config.epochs == 1:
        return (config.image_size,) * config.epochs
    grows = config.image_size - config.start_size
    shares = [epoch / (config.epochs - 1) for epoch in range(config.epochs)]
    return tuple(32 * int((config.start_size + share * grows) / 32) for share in shares)


def train_loader(rows: pd.DataFrame, label2id: dict, config: Config, reader=None) -> Stream:
    """Augmented batches, epoch after epoch.

    Raises `InputError` if the ranks are more than the images of a batch.
    """
    import lite0ca.images.augmentation  # or each loader process would, a CPU second  # noqa: F401

    photos = photos_of(rows, label2id, config, reader, augment=config.augmentation)
    if config.augmentation == "strong":
        photos.find_scenes(config.seed)
    sizes, tars = sizes_of_epochs(config), tars_of(photos.files)
    batches = EvenBatches(len(photos), config.batch_size, config.seed, sizes, tars)
    if len(photos) // len(batches) < distributed.count():
        raise InputError(
            f"--batch-size {config.batch_size} of all devices together, {len(photos)} images to "
            f"train on: too few for {distributed.count()} devices"
        )
    at_once = math.ceil(batches.largest / distributed.count())
    loader = loader_of(photos, at_once, config, len(batches), batch_sampler=batches)
    return Stream(loader, batches)


def score_loader(
    rows: pd.DataFrame, label2id: dict, config, reader=None, change=None, alone: bool = False
) -> Loader:
    """Whole photos in the order of the rows; each rank takes its share, one that is `alone` all.

    `change(photo, seed)` is done to each of them first. Raises `InputError` if that leaves a rank
    without any.
    """
    ranks = 1 if alone else distributed.count()
    if len(rows) < ranks:
        raise InputError(f"{len(rows)} images to score are too few for {ranks} devices")
    share = rows if alone else rows[distributed.number() :: ranks]
    photos = photos_of(share, label2id, config, reader, change=change)
    batch_size = min(config.batch_size, SCORED_AT_ONCE)
    batches = math.ceil(len(photos) / batch_size)
    return loader_of(photos, batch_size, config, batches, batch_size=batch_size)


def photos_of(
    rows: pd.DataFrame, label2id: dict, config, reader: PhotoReader | None, **options
) -> Photos:
    reader = reader or PhotoReader(config.image_size)
    numbers = rows["label"].map(label2id)
    return Photos(rows["absolute_path"], numbers, config.image_size, reader, **options)


def loader_of(photos: Photos, at_once: int, config, batches: int, **options) -> Loader:
    workers = min(loader_workers(config.num_workers), batches)
    return Loader(
        photos,
        at_once,
        config.image_size,
        others=torch.tensor,
        pin_memory=config.pin_memory and config.device != "cpu" and torch.cuda.is_available(),
        **worker_options(workers),
        **options,
    )


def worker_options(workers: int) -> dict:
    """How loader processes are started, as torch's `DataLoader` takes it."""
    # A loader draws a seed each time it starts: from its own generator, or torch's global one
    # would move on and dropout would depend on the number of loader processes.
    options = {"num_workers": workers, "generator": torch.Generator()}
    if workers:
        options |= {"persistent_workers": True, "worker_init_fn": quiet_child}
        if sys.platform == "linux":  # a cache in memory has no name by which others could open it
            options["multiprocessing_context"] = "fork"
    return options


def quiet_child(_worker: int) -> None:
    gc.freeze()  # to look through what was there before the fork would copy the pages of all of it
    cv2.setNumThreads(0)  # or each loader process starts a thread a core
    leave_signals_to_the_parent()
    if (parent := multiprocessing.parent_process()) and parent.pid:
        end_with_parent(parent.pid)
    # A batch that cannot be sent would be waited for without an end.
    setattr(Queue, "_on_queue_feeder_error", staticmethod(lambda *_: os._exit(1)))  # noqa: B010


@functools.cache  # said once a process
def loader_workers(asked: int) -> int:
    """Loader processes to start: what was asked, but no more than this rank has cores."""
    ranks_here = distributed.on_this_machine() if distributed.count() > 1 else 1
    most = max(1, cores() // ranks_here)
    if asked > most:
        devices = f" for {ranks_here} devices" if ranks_here > 1 else ""
        each = " each" if ranks_here > 1 else ""
        print(f"--num-workers {asked}: {cores()} cores{devices}, {most} loader processes{each}")
    return min(asked, most)
