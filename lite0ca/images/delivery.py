"""Batches on their way from loader processes: through memory that both sides see.

torch gives every tensor that leaves a loader process a file in /dev/shm, a descriptor, and a socket
in the temporary folder to hand that over. Each of them can run out, and a kill leaves some behind.
Here a loader process writes its batch into memory that its parent made before it was forked, and
sends word of the place; that memory has no name and goes with the processes. It is also faster, a
third of the time in the loader process and half of it in the parent, since no page is new.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch._C import _remove_worker_pids
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lite0ca.errors import InputError

AHEAD = 2  # batches of each loader process that are made before they are asked for
REMEDIES = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
    errno.ENOSPC: "make room in /dev/shm, for their locks",
}


class Place(NamedTuple):
    """Where a batch lies in the shared memory: its first byte, and its shape (B, S, S, 3)."""

    start: int
    shape: tuple[int, ...]


class SharedMemory:
    """Room for the batches of each loader process, which takes its places in turn.

    One place more than are made ahead: when a loader process is told to make another batch, its
    parent has copied all but the `AHEAD` last ones. Raises `InputError` where there is no room.
    """

    def __init__(self, workers: int, batch_bytes: int):
        self.batch_bytes, self.places, self.made = batch_bytes, AHEAD + 1, 0
        try:
            room = mmap.mmap(-1, workers * self.places * batch_bytes)
        except (OSError, OverflowError, ValueError):
            text = f"{workers} loader processes need {workers * self.places} batches of "
            text += f"{batch_bytes / 1e9:.2g} GB in memory: lower --batch-size"
            raise InputError(text) from None
        self.bytes = np.frombuffer(room, np.uint8)

    def put(self, photos: list[np.ndarray]) -> Place | np.ndarray:
        """In a loader process: photos (S, S, 3) -> their place; themselves if they have no room."""
        shape = (len(photos), *photos[0].shape)
        if math.prod(shape) > self.batch_bytes:
            return np.stack(photos)
        worker = get_worker_info()
        assert worker is not None
        start = (worker.id * self.places + self.made % self.places) * self.batch_bytes
        self.made += 1
        place = Place(start, shape)
        np.stack(photos, out=self.at(place))
        return place

    def at(self, place: Place) -> np.ndarray:
        """The batch at a place, not copied."""
        return self.bytes[place.start : place.start + math.prod(place.shape)].reshape(place.shape)


class Loader(DataLoader):
    """Batches of a data set whose items are (uint8 photo (S, S, 3) or None, anything).

    A batch is (the photos (B, S, S, 3), or None where there are none; `others(list of the rest)`).
    `at_once` and `image_size` are those of the largest batch; `options` are torch's.
    """

    def __init__(
        self,
        dataset,
        at_once: int,
        image_size: int,
        others: Callable = list,
        pin_memory=False,
        **options,
    ):
        self.others, self.page_locked = others, pin_memory
        self.shared = self.begun = None
        if workers := options.get("num_workers", 0):
            options["prefetch_factor"] = AHEAD
            if options.get("multiprocessing_context") == "fork":
                self.shared = SharedMemory(workers, at_once * image_size**2 * 3)
        super().__init__(dataset, collate_fn=partial(collated, self.shared), **options)

    def begin(self) -> None:
        """Make the first batches now, if they are not; who iterates next takes them up."""
        if self.begun is None:
            self.begun = self.started()

    def __iter__(self):
        """Starts the loader processes at once. Raises `InputError` where that cannot be done."""
        self.begin()
        batches, self.begun = self.begun, None
        return self.taken(batches)

    def started(self):
        try:
            return super().__iter__()
        except (OSError, RuntimeError) as error:
            end_half_begun(error)
            if isinstance(error, RuntimeError) and "thread" not in str(error):
                raise
            number = getattr(error, "errno", None) or errno.EAGAIN
            why = f"loader processes cannot be started ({os.strerror(number)})"
            remedy = REMEDIES.get(number, "free some memory")
            problem = InputError(f"{why}: {remedy}, or do without them (--num-workers 0)")
            problem.own = True
            raise problem from None

    def taken(self, batches):
        for photos, others in batches:
            yield None if photos is None else self.own(photos), self.others(others)

    def own(self, photos: Place | np.ndarray) -> torch.Tensor:
        """The batch in memory of this process alone, page-locked if that was asked for."""
        if isinstance(photos, np.ndarray):
            batch = torch.from_numpy(photos)
            return batch.pin_memory() if self.page_locked else batch
        assert self.shared is not None  # or there would be no place
        batch = torch.from_numpy(self.shared.at(photos))
        return batch.pin_memory() if self.page_locked else batch.clone()


def end_half_begun(error: Exception) -> None:
    """End the loader processes that were started before others could not be."""
    selves = [f.f_locals.get("self") for f, _ in traceback.walk_tb(error.__traceback__)]
    for begun in {id(one): one for one in selves}.values():
        if isinstance(begun, _BaseDataLoaderIter):
            vars(begun)["_shutdown"] = True  # torch's own end of them needs all
            for process in getattr(begun, "_workers", ()):
                process.kill()
                process.join()
            if getattr(begun, "_worker_pids_set", False):  # or torch takes their deaths for news
                _remove_worker_pids(id(begun))


def collated(shared: SharedMemory | None, items: list[tuple[np.ndarray | None, Any]]):
    """What a batch is sent as: (its photos or their place, the rest of its items)."""
    photos, others = zip(*items)
    good = [photo for photo in photos if photo is not None]
    if not good:
        return None, others
    return shared.put(good) if shared else np.stack(good), others
