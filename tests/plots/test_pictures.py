"""Walls of photos and the light of a map."""

import numpy as np

from lite0ca.plots.line_chart import line_chart
from lite0ca.plots.photos import thumbnail, wall, with_heat


def test_a_wall_has_a_title_a_photo_and_no_axes_for_the_rest():
    photos = [np.zeros((40, 60, 3), np.uint8)] * 5
    figure = wall(photos, list("abcde"), columns=3)
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in figure.axes] == [*"abcde", ""]
    assert [len(axes.images) for axes in figure.axes] == [1] * 5 + [0]


def test_a_thumbnail_is_the_middle_square():
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, 20:60] = 200
    assert (thumbnail(photo) == 200).all()


def test_light_falls_where_the_map_is_high():
    photo = np.full((64, 64, 3), 200, np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 0] = 3.0
    lit = with_heat(photo, heat)
    assert lit[2, 2].mean() > 180 and lit[60, 60].mean() < 60
    assert (with_heat(photo, np.ones((4, 4))) == 30).all(), "a flat map lights nothing"


def test_curves_of_one_epoch_have_one_tick():
    chart = line_chart("score", "epoch", {("train", "train"): ([1], [0.5])}, (0, 1), 1)
    assert [label for _, label in chart.x_ticks] == ["1"]
