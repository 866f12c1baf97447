"""The cost of the augmentation's steps: each has a row, and the shares are of all of them."""

import numpy as np
import pytest

from lite0ca.images.augmentation import augmentation
from lite0ca.speed.augmentation_steps import costs_of_steps


def test_each_step_has_a_row():
    leaf = np.full((90, 90, 3), 235, np.uint8)
    leaf[20:60, 10:-10] = (60, 130, 40)
    table = costs_of_steps([leaf] * 12, image_size=64, rounds=1)
    assert len(table) == 1 + len(augmentation(64, "strong", afar=True).transforms)
    assert table["share"].sum() == pytest.approx(1)
    assert table["strong"].to_numpy().min() > 0
    assert table.loc[["with_noise", "ColorJitter"], "standard"].to_numpy().min() > 0
    assert table.loc[["on_another_background", "CoarseDropout"], "standard"].tolist() == [0, 0]
