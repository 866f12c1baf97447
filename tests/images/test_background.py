"""Leaf and background told apart: on drawings whose leaf is known, and on real photos."""

import cv2
import numpy as np
import pandas as pd
import pytest

from lite0ca.images.background import KINDS, leaf_mask, with_background
from lite0ca.images.reading import read_image

PAPER, SHADOW = (236, 230, 226), (150, 148, 146)


def leaf_on_paper() -> tuple[np.ndarray, np.ndarray]:
    """(photo, its leaf): with a shadow, a pale lesion inside and a dark one at the edge."""
    photo = np.full((224, 224, 3), PAPER, np.uint8)
    cv2.rectangle(photo, (130, 0), (150, 223), SHADOW, -1)
    leaf = np.zeros((224, 224), np.uint8)
    cv2.rectangle(leaf, (70, 0), (129, 223), 1, -1)
    photo[leaf > 0] = (96, 128, 38)
    cv2.circle(photo, (100, 60), 12, (225, 215, 190), -1)
    cv2.circle(photo, (70, 150), 8, (52, 48, 46), -1)
    leaf[photo.max(axis=2) < 60] = 1
    noise = np.random.default_rng(0).normal(0, 3, photo.shape)
    return (photo + noise).clip(0, 255).astype(np.uint8), leaf


def test_a_leaf_with_its_lesions_and_without_its_shadow():
    photo, leaf = leaf_on_paper()
    found = leaf_mask(photo)
    assert (found & leaf).sum() / (found | leaf).sum() > 0.96
    assert found[60, 100] == 1 and found[150, 64] == 1 and found[100, 140] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_leaf_stays_and_its_surroundings_change(kind):
    photo, leaf = leaf_on_paper()
    changed = with_background(photo, kind, seed=1)
    inside = cv2.erode(leaf, np.ones((9, 9), np.uint8)) > 0
    outside = cv2.dilate(leaf, np.ones((9, 9), np.uint8)) == 0
    assert (changed[inside] == photo[inside]).mean() > 0.99
    if kind == "unchanged":
        assert changed is photo
    elif kind == "blurred":
        assert changed[outside].std() < 0.7 * photo[outside].std()
        assert changed[outside][:, 1].max() <= 240 and changed[outside].min() > 120, "no leaf in it"
    elif kind == "removed":
        assert (changed[outside] == 128).all()
    else:
        assert np.array_equal(changed, with_background(photo, kind, seed=1))
        assert not np.array_equal(changed, with_background(photo, kind, seed=2))


def test_where_nothing_can_be_told_apart_nothing_is():
    rng = np.random.default_rng(0)
    meadow = rng.integers((20, 60, 10), (120, 200, 90), (224, 224, 3)).astype(np.uint8)
    for photo in (meadow, np.full((50, 60, 3), 128, np.uint8), np.zeros((1, 1, 3), np.uint8)):
        assert leaf_mask(photo) is None
        assert with_background(photo, "removed", 0) is photo


def test_real_photos(rice_leaf):
    """By eye: nearly all photos on tables and paper, none of the healthy ones in a field."""
    table = pd.read_csv(rice_leaf / "metadata.csv")
    some = table[table["split"] == "test"]
    plain = np.array([leaf_mask(read_image(rice_leaf / path)) is not None for path in some["path"]])
    studio = some["path"].str.contains("/rl_") & (some["label"] != "healthy")
    assert plain[studio].mean() > 0.95
    assert 0.6 < plain.mean() < 0.9
