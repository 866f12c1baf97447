"""A diseased leaf that is called healthy: counted, with an interval, wherever scores are shown."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from lite0ca.__main__ import main
from lite0ca.evaluation.comparison import called_healthy
from lite0ca.evaluation.missed_disease import interval_of_share, missed_as_text, missed_disease


def test_the_line_of_a_run(tiny_run, photos, tmp_path, capsys):
    """In what evaluate prints, in its JSON and on the page; none where no class is healthy."""
    out = ["--num-workers", "0", "--output-dir", str(tmp_path)]
    assert main(["evaluate", str(tiny_run), *out]) == 0
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores_data_test_drawn_sample.json").read_text())
    found, matrix = scores["diseased_called_healthy"], np.array(scores["confusion"])
    healthy = list(scores["classes"]).index("healthy")
    diseased = np.delete(matrix, healthy, axis=0)
    assert found["diseased"] == diseased.sum() and found["called_healthy"] == diseased[:, 2].sum()
    assert 0 <= found["surely"] <= found["called_healthy"]
    assert missed_as_text(found) in shown.splitlines()
    assert main(["report", str(tiny_run), *out]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert missed_as_text(found)[1:] in page
    well = photos({"healthy": 2})  # all are healthy: there is none to be missed
    assert main(["evaluate", str(tiny_run), "--data-dir", str(well), *out]) == 0
    assert "called healthy" not in capsys.readouterr().out


def test_counts_by_hand():
    truth = np.array(["healthy", "blast", "blast", "spot", "spot", "spot"])
    said = np.array(["blast", "healthy", "blast", "healthy", "healthy", "blast"])
    sure = np.array([True, True, True, False, True, True])
    found = missed_disease(truth, said, ["healthy"], sure=sure)
    low, high = found.pop("interval_95")
    assert found == {"diseased": 5, "called_healthy": 3, "share": 0.6, "surely": 2}
    assert 0 <= low < 0.6 < high <= 1
    assert missed_disease(truth, said, []) is None, "no class is healthy"
    assert missed_disease(truth[:1], said[:1], ["healthy"]) is None, "nobody is ill"
    text = {"diseased": 173, "called_healthy": 12, "share": 12 / 173, "surely": 5}
    assert missed_as_text(text | {"interval_95": [0.038, 0.112]}) == (
        "diseased, called healthy: 12 of 173 (6.9 %, 3.8 to 11.2 %), 5 of them surely"
    )


def test_photos_of_one_leaf_count_as_one_and_none_is_not_never():
    found = np.arange(40) % 5 == 0
    single = interval_of_share(np.repeat(found, 10), np.arange(400))
    leaves = interval_of_share(np.repeat(found, 10), np.repeat(np.arange(40), 10))
    assert leaves[1] - leaves[0] > 2 * (single[1] - single[0])
    wilson = binomtest(8, 40).proportion_ci(method="wilson")
    assert leaves == pytest.approx([wilson.low, wilson.high], abs=0.03)
    none = interval_of_share(np.zeros(400, bool), np.repeat(np.arange(40), 10))
    assert none[0] == 0 and 0.05 < none[1] < 0.12, "of 40 leaves, not of 400 photos"
    assert interval_of_share(np.ones(3, bool), np.arange(3))[1] == 1


def test_the_studys_answers(tmp_path):
    """Two arms, of which one misses half of the diseased photos in one of its two runs."""
    rows = {"path": list("abcdef"), "label": ["ill"] * 4 + ["Rice_Healthy"] * 2}
    rows |= {"group": list("aabbcd"), "truth": [0] * 4 + [1] * 2}
    rows |= {"x 1 test": [0, 0, 1, 1, 1, 1], "x 2 test": [0] * 6, "y 1 test": [0] * 6}
    pd.DataFrame(rows).to_csv(tmp_path / "answers_given.csv", index=False)
    runs = {"arm": ["x", "x", "y"], "seed": [1, 2, 1], "split": "given"}
    pd.DataFrame(runs).to_csv(tmp_path / "runs.csv", index=False)
    found = called_healthy(tmp_path, "given")
    assert found["share"].to_dict() == {"x": 0.25, "y": 0} and set(found["diseased"]) == {4}
    assert found["runs"].to_list() == [2, 1] and (found["low"] <= found["share"]).all()
    assert (found["high"] > found["share"]).all(), "none of four photos is not never"
