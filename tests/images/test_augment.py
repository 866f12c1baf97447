"""Augmentation: the strong kind's leaves stay leaves, and grain is there but small."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_background import leaf_on_paper

from lite0ca.errors import InputError
from lite0ca.images.augmentation import augmentation
from lite0ca.images.background import leaf_mask, on_another_background, part_of
from lite0ca.images.loaders import train_loader
from lite0ca.images.own_steps import in_any_orientation, shrunk_and_mirrored, with_noise
from lite0ca.settings.config import AUGMENTATIONS, Config

LABELS = {"a": 0, "b": 1}


def augmented(photo: np.ndarray, kind: str, seed: int) -> np.ndarray:
    transform = augmentation(64, kind)
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return transform(image=photo)["image"]


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_a_seed_gives_one_picture(kind):
    photo = leaf_on_paper()[0]
    first = augmented(photo, kind, 3)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, augmented(photo, kind, 3))
    assert not np.array_equal(first, augmented(photo, kind, 4))


def test_grain_is_a_few_grey_levels():
    """An even surface stays even on average, and almost never exactly."""
    photo = np.full((96, 96, 3), 128, np.uint8)
    pictures = [augmented(photo, "standard", seed).astype(float) for seed in range(40)]
    spread = [picture.std(axis=(0, 1)).mean() for picture in pictures]
    assert np.mean([one > 0.3 for one in spread]) > 0.7 and max(spread) < 10


def test_noise_is_normal_new_each_time_and_within_its_bounds():
    grey, rng = np.full((96, 96, 3), 128, np.uint8), np.random.default_rng(0)
    noises = [with_noise(grey, rng).astype(float) - 128 for _ in range(200)]
    spreads = [noise.std() for noise in noises]  # in grey levels
    assert 0.9 < min(spreads) < 1.3 and 6.9 < max(spreads) < 7.5
    assert abs(np.mean(noises)) < 0.02
    largest = noises[int(np.argmax(spreads))] / max(spreads)
    assert np.mean(abs(largest) > 2) == pytest.approx(0.0455, abs=0.01)
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.03


def test_all_eight_orientations():
    corners, rng = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.random.default_rng(0)
    seen = {in_any_orientation(corners, rng).tobytes() for _ in range(100)}
    turned = [np.rot90(way, turns) for way in (corners, corners[::-1]) for turns in range(4)]
    assert seen == {picture.tobytes() for picture in turned}


def test_from_afar_all_is_smaller_and_the_photo_goes_on_at_its_edges():
    photo = np.full((60, 90, 3), 200, np.uint8)
    photo[20:40, 30:60] = 0
    for seed in range(10):
        seen = shrunk_and_mirrored(photo, np.random.default_rng(seed))
        assert seen.shape == photo.shape and seen[0, 0, 0] in (200, 0)
        dark = seen[seen.shape[0] // 2, :, 0] < 100
        middle = np.flatnonzero(~dark[45:])[0] + np.flatnonzero(~dark[:45][::-1])[0]
        assert 11 <= middle <= 31  # of 30 pixels
    assert shrunk_and_mirrored(photo[:1, :1], np.random.default_rng(0)).shape == (1, 1, 3)


def test_the_leaf_moves_before_something_else():
    """Whatever is put behind it, the leaf's own pixels are the photo's."""
    photo, _leaf = leaf_on_paper()
    leaf = leaf_mask(photo)
    other = np.random.default_rng(1).integers(0, 256, photo.shape, dtype=np.uint8)
    different = 0
    for seed in range(20):
        seen = on_another_background(
            photo, leaf, lambda: (other, None), np.random.default_rng(seed)
        )
        assert seen.dtype == np.uint8 and seen.shape[2] == 3 and min(seen.shape[:2]) > 60
        greens = (np.abs(seen.astype(int) - (96, 128, 38)).max(axis=2) < 15).mean()
        assert greens > 0.15, "the leaf is gone"
        paper = (np.abs(seen.astype(int) - (236, 230, 226)).max(axis=2) < 15).mean()
        different += paper < 0.02
    assert different >= 10  # 80 % of the draws change the background


def test_photos_without_a_plain_background_stay_as_they_are():
    field = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    assert leaf_mask(field) is None
    rng = np.random.default_rng(0)
    assert on_another_background(field, None, lambda: (field, None), rng) is field


def test_a_part_lies_inside_and_holds_leaf():
    leaf = np.zeros((60, 80), np.uint8)
    leaf[:, 70:] = 1
    for seed in range(20):
        rows, columns = part_of(leaf, 0.4, np.random.default_rng(seed))
        assert rows.start >= 0 and rows.stop <= 60
        assert columns.start >= 0 and columns.stop <= 80
        assert (rows.stop - rows.start, columns.stop - columns.start) == (24, 32)
        assert leaf[rows, columns].any()


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    import cv2

    folder = tmp_path_factory.mktemp("leaves")
    photo = leaf_on_paper()[0]
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(photo, 5 * number, axis=1))
    files = [folder / f"{number}.png" for number in range(8)]
    return pd.DataFrame({"absolute_path": files, "label": ["a", "b"] * 4})


def strong_batches(rows, num_workers: int) -> list[torch.Tensor]:
    settings = {"batch_size": 4, "image_size": 64, "augmentation": "strong"}
    config = Config.of(num_workers=num_workers, **settings)
    return [photos for photos, _ in train_loader(rows, LABELS, config).of_epoch(0)]


def test_loader_processes_change_nothing(rows):
    """The other photo, which lends its background, is drawn from the same seed."""
    for one, two in zip(strong_batches(rows, 0), strong_batches(rows, 2), strict=True):
        assert torch.equal(one, two)


def test_what_lies_behind_a_leaf_is_mostly_a_scene(rows, tmp_path, capsys):
    """Seldom photos without a plain background would else hardly ever be drawn."""
    scene = tmp_path / "scene.png"
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(scene)
    one = pd.DataFrame({"absolute_path": [scene], "label": ["a"]})
    config = Config.of(batch_size=4, image_size=64, num_workers=0, augmentation="strong")
    photos = train_loader(pd.concat([rows, one]), LABELS, config).loader.dataset
    assert photos.scenes.tolist() == [8] and "1 of 9 photos" in capsys.readouterr().out
    drawn = [photos.behind(np.random.default_rng(seed)) for seed in range(200)]
    assert {*drawn} == {*range(9)} and 140 < drawn.count(8) < 190


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="--augmentation"):
        Config.of(augmentation="wild")
