"""Which photos make a batch, and at how many pixels: the same for a seed, also after a stop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from lite0ca.images.tar_shards import sweep
from lite0ca.machine import distributed
from lite0ca.settings.config import Config


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


def sizes_of_epochs(config: Config) -> tuple[int, ...]:
    """Pixels each epoch trains at: from --start-size in even steps to --image-size in the last."""
    if config.start_size is None or config.epochs == 1:
        return (config.image_size,) * config.epochs
    grows = config.image_size - config.start_size
    shares = [epoch / (config.epochs - 1) for epoch in range(config.epochs)]
    return tuple(32 * int((config.start_size + share * grows) / 32) for share in shares)
