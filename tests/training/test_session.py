"""Trainings that share the hours of a session: what is done is taken, what was cut off goes on."""

import json

import pytest

from lite0ca.errors import InputError
from lite0ca.machine import environment
from lite0ca.notebook import take_attached_runs
from lite0ca.settings.config import Config
from lite0ca.training import session
from lite0ca.training.fit import Result
from lite0ca.training.session import Session, of_all, of_folds


@pytest.fixture
def config(leaves, tmp_path) -> Config:
    return Config.of("fast", data_dir=str(leaves), output_dir=str(tmp_path / "results"))


@pytest.fixture
def trained(monkeypatch, config):
    """What was asked of `fit`, which leaves what a run leaves; a fold "2/..." is cut off once."""
    asked = []

    def fit(given: Config) -> Result:
        asked.append(given)
        name = (given.fold or "all").replace("/", "of")
        run = session.Path(given.output_dir, f"run_{name}")
        cut_off = name.startswith("2") and not given.resume
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(json.dumps(given.as_dict() | {"resume": None}))
        metrics = {"epochs": 1 if cut_off else 3, "best_epoch": 2}
        metrics["stopped"] = "the time budget of 1 minutes" if cut_off else "all epochs done"
        (run / "metrics.json").write_text(json.dumps(metrics))
        for file in ("last.pt", "best_model.pt", "report.html"):
            (run / file).touch()
        return Result(run, metrics, {}, {} if cut_off else {"split": "valid"})

    monkeypatch.setattr(session, "fit", fit)
    return asked


def test_a_session_that_ends_and_the_next_one(config, trained, capsys):
    configs = of_folds(config, 3)
    (first,) = Session(hours=9).train(configs)
    said = capsys.readouterr().out
    assert "8:30:00 are left to train in" in said  # all but half an hour
    assert [one.fold for one in trained] == ["1/3", "2/3"]
    assert (
        "not done: fold 2/3, 1 of 3 epochs, in " in said and "not done: fold 3/3, not begun" in said
    )
    assert "run this again to go on" in said and "about" in said
    assert 8.4 * 60 < trained[0].time_budget <= 8.5 * 60

    trained.clear()
    runs = Session(hours=1).train(configs)
    said = capsys.readouterr().out
    assert [(one.fold, bool(one.resume)) for one in trained] == [("2/3", True), ("3/3", False)]
    assert "fold 1/3: done before" in said and len(runs) == 3 and runs[0] == first
    assert trained[0].time_budget <= 54 and trained[0].data_dir == config.data_dir

    trained.clear()
    everything = of_all(config, runs)
    assert (everything.epochs, everything.all, everything.fold) == (2, True, None)
    assert len(Session(hours=1).train([everything])) == 1 and len(trained) == 1
    assert len(Session(hours=1).train([everything])) == 1 and len(trained) == 1


def test_no_time_and_other_settings(config, trained, capsys):
    assert Session(hours=1e-9).train(of_folds(config, 2)) == [] and not trained
    assert capsys.readouterr().out.count("not begun") == 2
    Session(hours=1).train(of_folds(config, 2)[:1])
    other = of_folds(Config.of("fast", **{**named(config), "epochs": 4}), 2)
    Session(hours=1).train(other[:1])
    assert "was trained with another --epochs, so it is not taken" in capsys.readouterr().out
    assert len(trained) == 2 and not trained[1].resume
    with pytest.raises(InputError, match="--valid-limit"):
        of_folds(Config.of(valid_limit=4), 2)
    with pytest.raises(InputError, match="--fold takes K/N"):
        of_folds(config, 1)
    with pytest.raises(InputError, match="no fold has a best epoch"):
        of_all(config, [])
    for hours in (0, -1, float("nan")):
        with pytest.raises(InputError, match="hours must be above 0"):
            Session(hours)


def named(config: Config) -> dict:
    return {"data_dir": config.data_dir, "output_dir": config.output_dir}


def test_the_runs_of_an_attached_output_are_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path / "input")
    for name, file in (("a", "last.pt"), ("b", "best_model.pt")):
        run = tmp_path / f"input/notebooks/ann/lite0ca-08/results/{name}"
        run.mkdir(parents=True)
        (run / file).touch()
    assert environment.kaggle_folders() == [], "an output is no data"
    for _ in range(2):
        take_attached_runs(tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["a"]
    assert capsys.readouterr().out.count("attached run: ") == 1
