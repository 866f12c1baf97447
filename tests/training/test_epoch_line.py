"""The line of an epoch: short whatever it says; and when it all ends, also as pictures grow."""

import pytest

from lite0ca.settings.config import Config
from lite0ca.training.epoch_line import clock, epoch_line, header, seconds_left, took
from lite0ca.training.state import State


def state(**row):
    usual = {"train_loss": 0.5123, "train_acc": 0.81, "valid_loss": 0.4, "valid_acc": 0.8}
    usual |= {"valid_f1": 0.79, "images_per_s": 123.4, "data_wait_share": 0.02, "seconds": 9.6}
    made = State(None, None, None, None)
    made.remember(usual | row)
    return made


def test_a_line_says_the_epoch_its_scores_and_what_is_slow():
    config = Config.of(epochs=15)
    line = epoch_line(state(), config, True)
    scores, speed = "0.5123 0.810      0.4000 0.800 0.790*", "123 compute     9.6 s ETA 2:14"
    assert line == f"epoch  1/15      {scores}       {speed}"
    assert " data 34% " in epoch_line(state(data_wait_share=0.34), config, False)
    names = header(config)
    for name, value in ((" loss", " 0.5123"), (" acc", " 0.810"), ("images/s b", "123 c")):
        assert names.index(name) + len(name) == line.index(value) + len(value), "above its column"


def test_a_line_has_at_most_100_characters():
    config = Config.of(epochs=500)
    long = {"train_loss": 1234.5, "valid_loss": 1234.5, "images_per_s": 123456.0}
    for row in ({}, long, {"data_wait_share": 1.0, "seconds": 400.0}):
        assert len(epoch_line(state(**row), config, True)) <= 100
    assert len(header(config)) <= 100


def test_the_end_is_told_by_the_last_epochs():
    config = Config.of(epochs=100)
    assert seconds_left([17.0], config) == 99 * 17, "nothing better is known"
    assert seconds_left([17.0, 0.5], config) == pytest.approx(98 * 0.5)
    assert seconds_left([17.0, 0.5, 0.6], config) == pytest.approx(97 * 0.6)
    slower = [0.5] * 50 + [2.0] * 3  # others came to work on the machine
    assert seconds_left(slower, config) == pytest.approx(47 * 2.0)
    assert seconds_left([1.0] * 100, config) == 0


def test_the_end_knows_that_pictures_grow():
    """64, 96, 128 pixels: each epoch takes as its pixels."""
    config = Config.of(epochs=3, start_size=64, image_size=128)
    assert seconds_left([4.0], config) == pytest.approx(9 + 16)
    assert seconds_left([4.0, 9.0], config) == pytest.approx(16)


def test_times():
    assert [clock(s) for s in (0.4, 59.6, 754, 3723)] == ["0:00", "1:00", "12:34", "1:02:03"]
    assert [took(s) for s in (0.56, 9.96)] == ["0.6 s", "0:10"]
