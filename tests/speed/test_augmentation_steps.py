"""The cost of the augmentation's steps: each has a row, and the shares are of all of them."""

import pytest
from test_background import leaf_on_paper

from lite0ca.images.augmentation import augmentation
from lite0ca.speed.augmentation_steps import costs_of_steps


def test_each_step_has_a_row():
    table = costs_of_steps([leaf_on_paper()[0]] * 12, image_size=64, rounds=1)
    assert len(table) == 1 + len(augmentation(64, "strong", afar=True).transforms)
    assert table["share"].sum() == pytest.approx(1)
    assert min(table["strong"]) > 0 and min(table.loc["with_noise"]) > 0
    assert table.loc[["on_another_background", "CoarseDropout"], "standard"].tolist() == [0, 0]
