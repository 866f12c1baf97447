"""Honest probabilities: the temperature, and from where on a model is sure."""

import numpy as np
import pytest
from scipy.special import softmax

from lite0ca.evaluation.calibration import (
    bins_of,
    calibration,
    calibration_error,
    calibration_report,
    sure_from,
    temperature_of,
)
from lite0ca.formats.metadata import limit_of


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


def test_a_model_that_does_not_say_from_where_on_is_never_sure():
    assert [limit_of({}), limit_of({"sure_from": None}), limit_of({"sure_from": 0.0})] == [1, 1, 0]


def test_a_split_that_is_all_right_or_all_wrong_has_a_finite_temperature():
    logits = np.array([[5.0, 0], [0, 5.0]], np.float32)
    for truth in ([0, 1], [1, 0]):
        found = calibration(logits, np.array(truth))
        assert 0.1 <= found["temperature"] <= 10 and 0 < found["sure_from"] <= 1


def test_a_run_keeps_them_and_predict_uses_them(tiny_run):
    from lite0ca.formats.checkpoint import load_best

    checkpoint = load_best(tiny_run)
    assert 0.1 <= checkpoint["temperature"] <= 10
    assert 0 < checkpoint["sure_from"] <= 1


def test_the_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.65, 0.65, 1.0])
    right = np.array([True, False, True, True, True])
    rows = bins_of(confidence, right)
    assert [row["images"] for row in rows] == [2, 3], "1.0 belongs to the last part"
    assert rows[1]["accuracy"] == pytest.approx(2 / 3)
    expected = 2 / 5 * abs(1 - 0.65) + 3 / 5 * abs(2 / 3 - (0.95 + 0.95 + 1) / 3)
    assert calibration_error(confidence, right) == pytest.approx(expected)


def test_exact_probabilities_get_no_more_than_chance_gives():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 231)
    exact = calibration_report(confidence, rng.random(231) < confidence, 0.9)
    assert exact["calibration_error"] < 2 * exact["calibration_error_by_chance"] < 0.15
    boasting = calibration_report(confidence, rng.random(231) < confidence - 0.3, 0.9)
    assert boasting["calibration_error"] > 3 * boasting["calibration_error_by_chance"]
    assert exact["sure"] == pytest.approx(0.2, abs=0.08) and exact["accuracy_when_sure"] > 0.85
    assert calibration_report(confidence, confidence > 0, 1.0)["accuracy_when_sure"] is None
