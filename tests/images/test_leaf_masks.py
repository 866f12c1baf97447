"""Leaf masks kept for a training: those of `leaf_mask`, in every process."""

import multiprocessing
import pickle

import numpy as np
import pytest

from lite0ca.images import leaf_masks
from lite0ca.images.background import leaf_mask
from lite0ca.images.leaf_masks import LeafMasks


def leaf(width: int, seed: int = 0) -> np.ndarray:
    """A green bar on paper, (90, width, 3)."""
    photo = np.full((90, width, 3), 235, np.uint8)
    photo[20 + seed : 60 + seed, 10:-10] = (60, 130, 40)
    return photo


PHOTOS = [leaf(90), leaf(121, 5), np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)]


def same(one, two) -> bool:
    return one is two if one is None or two is None else np.array_equal(one, two)


def test_found_once(monkeypatch):
    masks, looked = LeafMasks(3, 90), []
    monkeypatch.setattr(leaf_masks, "leaf_mask", lambda photo: looked.append(1) or leaf_mask(photo))
    for _ in range(3):
        for number, photo in enumerate(PHOTOS):
            assert same(masks.of(number, photo), leaf_mask(photo))
    assert len(looked) == 3 and leaf_mask(PHOTOS[0]) is not None and leaf_mask(PHOTOS[2]) is None


@pytest.mark.parametrize("harm", ["bits", "checksum"])
def test_a_half_written_mask_is_found_anew(harm):
    masks = LeafMasks(1, 90)
    masks.of(0, PHOTOS[0])
    if harm == "bits":
        masks.bits[0, 100:200] ^= 255
    else:
        masks.entries["checksum"][0] += 1
    assert same(masks.of(0, PHOTOS[0]), leaf_mask(PHOTOS[0]))


def test_more_photos_than_room_and_longer_ones(monkeypatch):
    monkeypatch.setattr(leaf_masks, "MOST_BYTES", 2 * 2 * 90 * 90 // 8)
    masks = LeafMasks(3, 90)
    assert masks.photos == 2
    for number, photo in ((2, PHOTOS[0]), (1, leaf(400))):
        for _ in range(2):
            assert same(masks.of(number, photo), leaf_mask(photo))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_what_one_process_finds_all_have():
    masks = LeafMasks(1, 90)
    child = multiprocessing.get_context("fork").Process(target=masks.of, args=(0, PHOTOS[0]))
    child.start()
    child.join()
    assert masks.entries["known"][0]
    assert same(masks.of(0, np.zeros_like(PHOTOS[0])), leaf_mask(PHOTOS[0]))  # not looked at again


def test_a_process_that_is_not_forked_begins_anew():
    masks = LeafMasks(1, 90)
    masks.of(0, PHOTOS[0])
    other = pickle.loads(pickle.dumps(masks))
    assert not other.entries["known"][0] and same(other.of(0, PHOTOS[0]), leaf_mask(PHOTOS[0]))
