"""Batches: even, seeded, the same for any number of loader processes."""

import numpy as np
import pandas as pd
import pytest
import torch

from lite0ca.images.augmentation import augmentation, resizing
from lite0ca.images.loaders import EvenBatches, score_loader, train_loader
from lite0ca.settings.config import Config


@pytest.fixture
def rows(sample):
    rows = pd.read_csv(sample).iloc[::20].copy()
    rows["absolute_path"] = [str(sample.parent / path) for path in rows["path"]]
    return rows


LABELS = {"bacterial_leaf_blight": 0, "brown_spot": 1, "healthy": 2, "leaf_blast": 3}


def batches(rows, epoch=0, **settings):
    config = Config.of(**{"batch_size": 8, "image_size": 64, "num_workers": 0, **settings})
    loader = train_loader(rows, LABELS, config)
    loader.batch_sampler.epoch = epoch
    return [(photos.clone(), numbers) for photos, numbers in loader]


def test_shapes_and_types(rows):
    photos, numbers = batches(rows)[0]
    assert photos.shape[1:] == (64, 64, 3) and photos.dtype == torch.uint8
    assert numbers.dtype == torch.int64 and set(numbers.tolist()) <= set(LABELS.values())


@pytest.mark.parametrize(("images", "batch_size"), [(1080, 96), (97, 96), (5, 96), (96, 96)])
def test_batches_are_even_and_leave_nothing_out(images, batch_size):
    sampled = list(EvenBatches(images, batch_size, seed=0, image_size=64))
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
    seen = resizing(64)(image=photo)["image"]
    assert seen.shape == (64, 64, 3) and seen[:, 0].min() > 200 and seen[:, -1].min() > 200


def test_score_loader_keeps_the_order(rows):
    config = Config.of(batch_size=4, image_size=64, num_workers=2)
    numbers = torch.cat([numbers for _, numbers in score_loader(rows, LABELS, config)])
    assert numbers.tolist() == rows["label"].map(LABELS).tolist()
