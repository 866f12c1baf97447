"""Whether one system beats another: the interval must know photos, groups and seeds."""

import numpy as np
import pandas as pd
import pytest

from lite0ca.evaluation.comparison import difference, differences_of_arms
from lite0ca.evaluation.metrics import macro_f1

TRUTH = np.repeat([0, 1, 2, 3], 60)
GROUPS = np.arange(240) // 2  # two photos a leaf


def answering(share_right: float, seed: int) -> np.ndarray:
    """Answers of which so many are right; two photos of a leaf are right or wrong together."""
    rng = np.random.default_rng(seed)
    wrong = (rng.random(120) > share_right)[GROUPS]
    return np.where(wrong, (TRUTH + 1 + rng.integers(3, size=240)) % 4, TRUTH)


def test_the_same_answers_differ_by_nothing():
    runs = [answering(0.8, 1)]
    assert difference(TRUTH, runs, runs, GROUPS) == {"difference": 0, "low": 0, "high": 0}


def test_a_large_difference_is_found_with_its_sign():
    worse, better = ([answering(share, seed) for seed in range(5)] for share in (0.6, 0.9))
    found = difference(TRUTH, worse, better, GROUPS)
    means = [np.mean([macro_f1(TRUTH, run) for run in runs]) for runs in (worse, better)]
    assert found["difference"] == pytest.approx(means[1] - means[0])
    assert 0 < found["low"] < found["difference"] < found["high"]
    back = difference(TRUTH, better, worse, GROUPS)
    assert back["high"] < 0


def test_equal_systems_are_called_different_about_once_in_twenty():
    """Over many pairs of equal systems, two runs each: too narrow an interval would show."""
    called = 0
    for trial in range(60):
        runs = [answering(0.8, 1000 + 4 * trial + number) for number in range(4)]
        found = difference(TRUTH, runs[:2], runs[2:], GROUPS, seed=trial)
        called += found["low"] > 0 or found["high"] < 0
    assert called <= 9  # 5 % of 60 is 3; more than 9 has a chance of 0.2 %


def test_seeds_spread_as_means_of_so_many_runs_do():
    """One photo a class, answered alike: what is left is seeds, two a side, right 4 or 2 of 4."""
    truth, wrong = np.arange(4), np.array([0, 1, 0, 0])
    found = difference(truth, [truth, truth], [truth, wrong], np.zeros(4))
    low = macro_f1(truth, wrong) - 1
    centre, spread = low / 2, abs(low) / 2 * np.sqrt(2)
    assert found["difference"] == pytest.approx(centre)
    assert [found["low"], found["high"]] == pytest.approx([centre - spread, centre + spread])


def test_photos_of_one_leaf_count_as_one():
    widths = []
    for groups in (np.arange(240), GROUPS):
        found = difference(TRUTH, [answering(0.7, 1)], [answering(0.8, 2)], groups)
        widths.append(found["high"] - found["low"])
    assert widths[1] > 1.2 * widths[0]


def test_effects_are_read_from_the_files_of_a_study(tmp_path):
    """Columns of answers, in two files, as benchmarks/study.py leaves them."""
    arms = {"none": 0.6, "ca": 0.9, "eca": 0.61}
    runs = [(arm, seed, "given") for arm in arms for seed in (1, 2, 3)]
    table = {"path": [f"{n}.jpg" for n in range(240)], "group": GROUPS, "truth": TRUTH}
    for arm, seed, _ in runs:
        table[f"{arm} {seed} test"] = answering(arms[arm], seed)
    pd.DataFrame(table).to_csv(tmp_path / "answers_given.csv", index=False)
    pd.DataFrame(runs, columns=["arm", "seed", "split"]).to_csv(tmp_path / "runs.csv", index=False)
    found = differences_of_arms(tmp_path, "none", ["ca", "eca"])
    assert list(found["verdict"]) == ["better", "no difference shown"]
    assert differences_of_arms(tmp_path, "ca", ["none"])["verdict"].item() == "worse"
    assert list(differences_of_arms(tmp_path, "none", []).columns) == list(found.columns)
    two = [row for row in runs if row[1] < 3]
    pd.DataFrame(two, columns=["arm", "seed", "split"]).to_csv(tmp_path / "runs.csv", index=False)
    assert (
        differences_of_arms(tmp_path, "none", ["ca"])["verdict"].item()
        == "2 of 3 runs: no claim yet"
    )
