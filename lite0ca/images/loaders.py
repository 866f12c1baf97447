"""Rows of a table -> batches: uint8 photos (B, H, W, 3) and class numbers (B,).

Batches stay uint8 and channels-last; the model normalises them on its device.
"""

from __future__ import annotations

import functools
import gc
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator
from multiprocessing.queues import Queue

import cv2
import pandas as pd
import torch

from lite0ca.errors import InputError
from lite0ca.images.batch_order import EvenBatches, sizes_of_epochs
from lite0ca.images.delivery import Loader
from lite0ca.images.photo_store import PhotoReader
from lite0ca.images.photos import Photos
from lite0ca.images.tar_shards import tars_of
from lite0ca.machine import distributed
from lite0ca.machine.processor import cores
from lite0ca.machine.signals import end_with_parent, leave_signals_to_the_parent
from lite0ca.settings.config import Config

SCORED_AT_ONCE = 96


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
