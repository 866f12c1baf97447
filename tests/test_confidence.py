"""Honest probabilities: the temperature, and from where on a model is sure."""

import numpy as np
import pytest
from scipy.special import softmax

from lite0ca.confidence import calibration, sure_from, temperature_of


def test_the_temperature_undoes_a_known_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    truth = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert temperature_of(logits, truth) == pytest.approx(1, abs=0.05)
    assert temperature_of(3 * logits, truth) == pytest.approx(3, abs=0.15)


def test_sure_from_counted_by_hand():
    confidence = np.array([0.9, 0.8, 0.8, 0.7] + [0.6] * 16 + [0.55])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    truth = np.zeros(21, int)
    assert sure_from(probabilities, truth) == 0.55, "all are right"
    truth[-1] = 1
    assert sure_from(probabilities, truth) == 0.55, "20 of 21 are right, 95.2 %"
    truth[1] = 1
    assert sure_from(probabilities, truth) == 0.6, "19 of 20; the last one makes 19 of 21"
    truth[2] = 1
    assert sure_from(probabilities, truth) == 0.9, "1 of 1; with those at 0.8 1 of 3"
    truth[0] = 1
    assert sure_from(probabilities, truth) == 1.0, "there is no such confidence"


def test_a_split_that_is_all_right_or_all_wrong_has_a_finite_temperature():
    logits = np.array([[5.0, 0], [0, 5.0]], np.float32)
    for truth in ([0, 1], [1, 0]):
        found = calibration(logits, np.array(truth))
        assert 0.1 <= found["temperature"] <= 10 and 0 < found["sure_from"] <= 1


def test_a_run_keeps_them_and_predict_uses_them(tiny_run):
    from lite0ca import runs

    checkpoint = runs.load_best(tiny_run)
    assert 0.1 <= checkpoint["temperature"] <= 10
    assert 0 < checkpoint["sure_from"] <= 1
