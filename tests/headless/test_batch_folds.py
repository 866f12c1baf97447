"""`batch PRESET --folds N`: every photo is answered by the run that did not train on it.

Papermill is left out: what it would run is called here, and leaves what it leaves.
"""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import LITTLE
from sklearn.metrics import f1_score

import lite0ca
from lite0ca.__main__ import main
from lite0ca.errors import InputError
from lite0ca.evaluation.out_of_fold import folds_in, refuse_leaks
from lite0ca.headless import batch
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit

SMALL = ["epochs=2", "image_size=32", "batch_size=8", "num_workers=0", "device=cpu"]
SMALL += ["pretrained=off", "save_history=off", "base_lr=1e-2", "head_lr=1e-2"]
SMALL += [f"{name}={value}" for name, value in LITTLE.items()]


@pytest.fixture
def trained(monkeypatch):
    """The runs that were begun, as (preset, fold); of "mobile" the second one fails."""
    begun = []

    def execute(_source, target: Path, parameters: dict) -> str | None:
        preset, fold = parameters["preset"], parameters["overrides"]["fold"]
        begun.append((preset, fold))
        if (preset, fold) == ("mobile", "2/2"):
            return "ValueError: no luck"
        named = {"data_dir": parameters["data_dir"], **parameters["overrides"]}
        if preset == "mobile":
            run = Path(named["output_dir"], "run_mobile")
            run.mkdir()
        else:
            run = fit(Config.of(preset, **named)).run
        metrics = {"model_name": "X", "data": "leaves", "valid_f1": 0.5, "valid_acc": 0.5}
        (run / "metrics.json").write_text(json.dumps(metrics))
        printed = nbformat.v4.new_output("stream", text=f"run: {run}\n")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[printed])])
        notebook.metadata["papermill"] = {"parameters": parameters}
        nbformat.write(notebook, target)
        return None

    monkeypatch.setattr(batch, "execute", execute)
    return begun


def test_every_photo_is_answered_once_by_the_run_that_did_not_see_it(
    trained, leaves, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ["batch", "basic", "mobile", "--folds", "2", "--data-dir", str(leaves)]
    command += ["--output-dir", str(out), "--set", *SMALL]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert "mobile: fold 2/2 is not done: no scores out of fold" in shown.err
    assert "1 of 4 failed" in shown.err and not list(out.glob("*out_of_fold_mobile*"))
    table = pd.read_csv(out / "out_of_fold_basic.csv")
    assert list(table) == ["path", "label", "fold", "answer", "blast", "healthy"]
    photos = {path.relative_to(leaves).as_posix() for path in leaves.rglob("*.jpg")}
    assert set(table["path"]) == photos and len(table) == len(photos) == 24
    # By hand: each run asked about the photos that it did not train on.
    scores = json.loads((out / "scores_out_of_fold_basic.json").read_text())
    for number, run in enumerate(scores["runs"], 1):
        made = pd.read_csv(f"{run}/data.csv").set_index("path")
        own = table[table["fold"] == number]
        assert set(own["path"]) == set(made.index[made["split"] == "valid"])
        said = lite0ca.load(run).predict([str(leaves / path) for path in own["path"]])
        odds = said[["p(blast)", "p(healthy)"]].to_numpy()
        assert np.allclose(odds, own[["blast", "healthy"]], atol=1e-3)
        assert list(np.array(["blast", "healthy"])[odds.argmax(1)]) == own["answer"].tolist()
    truth, answer = table["label"], table["answer"]
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, answer, average="macro"))
    assert scores["accuracy"] == pytest.approx((truth == answer).mean())
    missed = ((truth == "blast") & (answer == "healthy")).sum()
    assert scores["diseased_called_healthy"]["called_healthy"] == missed
    low, high = scores["classes"]["blast"]["f1_interval_95"]
    assert low <= scores["classes"]["blast"]["f1"] <= high
    assert (out / "confusion_out_of_fold_basic.png").read_bytes()[:4] == b"\x89PNG"
    board = pd.read_csv(out / "leaderboard.csv")
    assert set(zip(board["preset"], board["fold"])) == set(trained)
    folds = pd.read_csv(out / "folds.csv").set_index("preset")
    assert folds["n"].to_dict() == {"basic": 2, "mobile": 1}
    # Again: what is done is not trained again, and the scores are the same.
    trained.clear()
    before = (out / "out_of_fold_basic.csv").read_bytes()
    assert main([*command, "--resume"]) == 1
    assert trained == [("mobile", "2/2")]
    assert (out / "out_of_fold_basic.csv").read_bytes() == before
    (out / "scores_out_of_fold_basic.json").write_text("mine")
    assert main(command) == 2 and "lite0ca did not make it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["basic", "--folds", "1"], "--folds must be from 2 to 20, not 1"),
        (["basic", "--folds", "21"], "--folds must be from 2 to 20, not 21"),
        (["basic", "--folds", "3", "--set", "fold=1/3"], "leave fold and all out of --set"),
        (["basic", "--folds", "3", "--set", "all=on"], "leave fold and all out of --set"),
        (["quick-test", "--folds", "3"], "add --set valid_limit=none"),
        (["basic", "--folds", "13"], "has 12 independent photos; 13 folds need 13 or more"),
    ],
)
def test_a_mistake_stops_before_anything_runs(arguments, message, leaves, tmp_path, capsys):
    where = ["--data-dir", str(leaves), "--output-dir", str(tmp_path / "out")]
    assert main(["batch", *arguments, *where]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_folds_with_seeds_are_jobs_of_their_own(leaves, tmp_path):
    source = Path("notebooks/03_train.ipynb").absolute()
    jobs = batch.jobs_of(["basic"], [1, 2], [], None, str(leaves), source, tmp_path, 2)
    assert [job.title for job in jobs][:2] == ["basic, seed 1, fold 1/2", "basic, seed 1, fold 2/2"]
    assert len({job.notebook for job in jobs}) == 4
    assert {job.name for job in jobs} == {"basic_seed1", "basic_seed2"}


def dealt(*splits: str) -> dict[int, pd.DataFrame]:
    """Tables of two folds: four photos, the first two of one group."""
    rows = {
        "path": list("abcd"),
        "label": list("xxyy"),
        "group": list("0012"),
        "bytes": list("1111"),
    }
    names = {"t": "train", "v": "valid", "e": "test"}
    return {
        number: pd.DataFrame({**rows, "split": [names[one] for one in split]})
        for number, split in enumerate(splits, 1)
    }


def test_leaks_are_found():
    refuse_leaks(dealt("vvtt", "ttvv"))
    for splits, message in (
        (("vttt", "tvvv"), "group 0 is in its valid split and in its train split"),
        (("vvtt", "vvvv"), "2 photos are valid in two folds, such as a"),
        (("vvtt", "ttvt"), "1 photos are valid in no fold, such as d"),
    ):
        with pytest.raises(InputError, match=message):
            refuse_leaks(dealt(*splits))
    # A group that each run keeps whole among what it was given (--train-limit), and both score.
    tables = dealt("vett", "evvv")
    with pytest.raises(InputError, match="group 0 is valid in 2 folds"):
        refuse_leaks(tables)
    tables = dealt("vvtt", "ttvv")
    tables[2].loc[0, "group"] = "9"
    with pytest.raises(InputError, match="1 photos have another label, group"):
        refuse_leaks(tables)


def test_runs_of_other_folds_are_refused():
    assert folds_in({"b": {"fold": "2/2"}, "a": {"fold": "1/2"}}) == {1: "a", 2: "b"}
    for configs, message in (
        ({"a": {"fold": "1/3"}, "b": {"fold": "3/3"}}, "no run of fold 2/3"),
        ({"a": {"fold": "1/2"}, "b": {"fold": "1/2"}}, "a and b are both of fold 1"),
        ({"a": {"fold": "1/2"}, "b": {"fold": "2/3"}}, "of 2 and of 3 folds"),
        ({"a": {"fold": None}}, "a: is no fold's"),
    ):
        with pytest.raises(InputError, match=message):
            folds_in(configs)
