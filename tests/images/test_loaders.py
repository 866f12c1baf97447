"""Batches: even, seeded, the same for any number of loader processes."""

import gc
import itertools
import multiprocessing
import multiprocessing.popen_fork
import os
import resource
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from lite0ca.__main__ import advice_for
from lite0ca.errors import InputError
from lite0ca.images.augmentation import augmentation
from lite0ca.images.batch_order import EvenBatches
from lite0ca.images.delivery import Loader
from lite0ca.images.loaders import score_loader, train_loader, worker_options
from lite0ca.images.resizing import squeezed
from lite0ca.images.threads import in_threads
from lite0ca.settings.config import Config


@pytest.fixture
def rows(sample):
    rows = pd.read_csv(sample).iloc[::20].copy()
    rows["absolute_path"] = [str(sample.parent / path) for path in rows["path"]]
    return rows


LABELS = {"bacterial_leaf_blight": 0, "brown_spot": 1, "healthy": 2, "leaf_blast": 3}


def batches(rows, epoch=0, **settings):
    config = Config.of(**{"batch_size": 8, "image_size": 64, "num_workers": 0, **settings})
    stream = train_loader(rows, LABELS, config)
    return [(photos.clone(), numbers) for photos, numbers in stream.of_epoch(epoch)]


def test_shapes_and_types(rows):
    photos, numbers = batches(rows)[0]
    assert photos.shape[1:] == (64, 64, 3) and photos.dtype == torch.uint8
    assert numbers.dtype == torch.int64 and set(numbers.tolist()) <= set(LABELS.values())


@pytest.mark.parametrize(("images", "batch_size"), [(1080, 96), (97, 96), (5, 96), (96, 96)])
def test_batches_are_even_and_leave_nothing_out(images, batch_size):
    sampled = list(EvenBatches(images, batch_size, seed=0, sizes=[64]))
    sizes = [len(batch) for batch in sampled]
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert sorted(index for batch in sampled for index, _, _ in batch) == list(range(images))


def test_loader_processes_change_nothing(rows):
    one, two = batches(rows), batches(rows, num_workers=2)
    assert len(one) == len(two) > 1
    for (a, n), (b, m) in zip(one, two):
        assert torch.equal(a, b) and torch.equal(n, m)


def test_epochs_and_seeds_differ(rows):
    first = batches(rows)[0][0]
    assert torch.equal(first, batches(rows)[0][0])
    assert not torch.equal(first, batches(rows, epoch=1)[0][0])
    assert not torch.equal(first, batches(rows, seed=7)[0][0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_and_back(rows, workers):
    """Epoch after epoch, after going back, and from the middle of one: the same batches."""
    config = Config.of(batch_size=8, image_size=64, start_size=32, epochs=3, num_workers=workers)
    stream = train_loader(rows, LABELS, config)
    asked = [(0, 0), (1, 0), (0, 0), (1, 1), (2, 0)]
    for epoch, start in asked:
        fresh = train_loader(rows, LABELS, config).of_epoch(epoch, start)
        taken = list(stream.of_epoch(epoch, start))
        assert len(taken) == len(stream) - start and taken[0][0].shape[1] == (32, 32, 64)[epoch]
        for (a, n), (b, m) in zip(taken, fresh, strict=True):
            assert torch.equal(a, b) and torch.equal(n, m)


def test_the_next_epoch_is_made_while_this_one_is_scored(rows):
    config = Config.of(batch_size=8, image_size=64, epochs=2, num_workers=0)
    stream = train_loader(rows, LABELS, config)
    photos, batches = Asked(stream.loader.dataset), stream.loader.batch_sampler
    options = {"batch_sampler": batches, "others": torch.tensor, **worker_options(1)}
    stream.loader, asked = Loader(photos, 8, 64, **options), photos.asked
    for _ in stream.of_epoch(0):
        pass
    for _ in range(100):  # 10 s at most
        if asked.value >= len(rows) + 8:
            break
        time.sleep(0.1)
    assert asked.value >= len(rows) + 8  # at least a batch of the next one


class Asked:
    """Photos that are counted in whichever process they are made."""

    def __init__(self, photos):
        self.photos, self.asked = photos, multiprocessing.Value("i", 0)

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, item):
        with self.asked.get_lock():
            self.asked.value += 1
        return self.photos[item]


def test_the_steps_of_the_augmentation_are_drawn_independently():
    """Seeding each transform alike would always flip and recolour together."""
    transform = augmentation(64)
    probe = np.zeros((64, 64, 3), np.uint8)
    probe[:32, :32] = (200, 100, 50)
    import random

    corners, colors = set(), set()
    for seed in range(60):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = transform(image=probe)["image"]
        ys, xs = np.nonzero(changed[..., 0] > 60)
        corners.add((ys.mean() > 32, xs.mean() > 32) if len(ys) else None)
        colors.add(bool(len(ys)) and tuple(changed[ys[len(ys) // 2], xs[len(xs) // 2]]))
    assert len(corners - {None}) == 4 and len(colors) > 20


def test_scoring_sees_the_whole_photo():
    photo = np.zeros((100, 300, 3), np.uint8)
    photo[:, :10] = photo[:, -10:] = 255
    seen = squeezed(photo, 64)
    assert seen.shape == (64, 64, 3) and seen[:, 0].min() > 200 and seen[:, -1].min() > 200


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_cpu_asks_no_gpu_for_memory(device, rows, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = Config.of(device=device, pin_memory=True, num_workers=0)
    assert score_loader(rows, LABELS, config).page_locked == (device == "cuda")


def test_score_loader_keeps_the_order(rows):
    config = Config.of(batch_size=4, image_size=64, num_workers=2)
    numbers = torch.cat([numbers for _, numbers in score_loader(rows, LABELS, config)])
    assert numbers.tolist() == rows["label"].map(LABELS).tolist()


class Numbered:
    """Photos of one colour, the index; every fifth cannot be read."""

    def __init__(self, images, size=8):
        self.images, self.size = images, size

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        photo = np.full((self.size, self.size, 3), index % 256, np.uint8)
        return None if index % 5 == 4 else photo, index


def checked(loader, images):
    """All batches, kept while others come: no one's photos are overwritten by the next."""
    batches = list(loader)
    assert [index for _, indices in batches for index in indices] == list(range(images))
    for photos, indices in batches:
        good = [index % 256 for index in indices if index % 5 != 4]
        assert photos is None if not good else photos[:, 3, 3, 1].tolist() == good
    return batches


@pytest.mark.parametrize("at_once", [8, 3, 1])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_arrive_whole(workers, at_once):
    """Whether they have room in the shared memory (at least `at_once` photos) or not."""
    loader = Loader(Numbered(203), at_once, 8, batch_size=4, **worker_options(workers))
    for _ in range(2):
        checked(loader, 203)
        next(iter(loader))  # an epoch that is given up


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")


@needs_proc
def test_batches_hold_no_descriptors_and_no_files():
    before = len(os.listdir("/proc/self/fd")), set(os.listdir("/dev/shm"))
    loader = Loader(Numbered(400), 2, 8, batch_size=2, **worker_options(2))
    kept = checked(loader, 400)
    assert len(os.listdir("/proc/self/fd")) < before[0] + 20 < len(kept)
    assert not {name for name in os.listdir("/dev/shm") if "torch" in name} - before[1]


def limit_with(free: int) -> int:
    """The limit that leaves so many numbers for new descriptors, whatever is open already."""
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    return next(n for n in itertools.count() if n - sum(t < n for t in taken) == free)


@needs_proc
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_few_descriptors(workers):
    """Each number of them is enough, or one line says what to do."""
    before, enough = resource.getrlimit(resource.RLIMIT_NOFILE), []
    for more in (0, 1, 3, 6, 7, 8, 9, 20):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit_with(more), before[1]))
            checked(Loader(Numbered(203), 8, 8, batch_size=8, **worker_options(workers)), 203)
        except InputError as error:
            assert "Too many open files" in str(error) and "ulimit -n" in str(error)
            assert "--num-workers 0" in str(error) and not multiprocessing.active_children()
        else:
            enough.append(more)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 20 in enough and (0 in enough) == (workers == 0)


@pytest.mark.parametrize("kind", ["a process", "a thread"])
def test_a_second_loader_process_cannot_be_started(kind, monkeypatch):
    """The first one is ended; `ulimit -u` counts threads as well."""
    started = []

    def refuse(*_):
        started.append(1)
        if len(started) > 1:
            raise RuntimeError("can't start new thread") if kind == "a thread" else OSError(11, "x")
        return start(*_)

    if kind == "a thread":
        owner, name = threading, "_start_new_thread"
    else:
        owner, name = multiprocessing.popen_fork.Popen, "_launch"
    start = getattr(owner, name)
    monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(InputError, match=r"\(Resource temporarily unavailable\): .* \(ulimit -u"):
        list(Loader(Numbered(8), 4, 8, batch_size=4, **worker_options(2)))
    assert len(started) == 2 and not multiprocessing.active_children()
    gc.collect()


class Unsendable(Numbered):
    def __getitem__(self, index):
        return super().__getitem__(index)[0], (lambda: index)


def test_a_loader_that_failed_when_all_had_begun_is_forgotten(monkeypatch):
    """torch keeps the processes of each by the number of its object, which another one may get."""
    kept = []

    def refuse(loader, *_, **__):
        kept.append(id(loader))
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_reset", refuse)
    with pytest.raises(InputError, match="Too many open files"):
        list(Loader(Numbered(8), 4, 8, batch_size=4, **worker_options(1)))
    signal_handling._set_worker_pids(kept[0], (os.getpid(),))  # raises if it is known
    signal_handling._remove_worker_pids(kept[0])
    assert not multiprocessing.active_children()


def test_a_batch_that_cannot_be_sent_ends_the_command():
    """The thread that sends would say so and go on, and the batch be waited for without an end."""
    with pytest.raises(RuntimeError, match="DataLoader worker") as caught:
        list(Loader(Unsendable(8), 4, 8, batch_size=4, **worker_options(1)))
    assert "--num-workers" in advice_for(caught.value)
    for child in multiprocessing.active_children():
        child.join()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux lists its threads")
def test_no_thread_is_left_when_processes_are_forked():
    """One that ends may hold a lock of OpenCV's, which a process forked meanwhile never gets."""
    seen = set(in_threads(lambda _: threading.get_native_id(), list(range(40))))
    assert not seen & set(map(int, os.listdir("/proc/self/task")))
