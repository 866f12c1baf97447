"""Whether a training has ended: by its checkpoints, and by what its metrics say."""

import json
import shutil

import pytest
from conftest import REPO

from lite0ca.formats.checkpoint import load_best, load_checkpoint, save_checkpoint
from lite0ca.formats.ending import ALL_DONE, NO_BETTER, has_ended
from lite0ca.speed.systems import scores_in
from lite0ca.training.session import is_done

FORMER = REPO / "tests/formats/run_of_0.1.0/run"
OUT_OF_TIME = "the time budget of 5 minutes, after 0 of 4 steps of epoch 2; --resume run goes on"
KILLED = None  # also of a signal: its metrics are those of its last epoch


@pytest.fixture
def run(tmp_path):
    """A run that was never exported, with the page that a training leaves at its end."""
    run = shutil.copytree(FORMER, tmp_path / "run", ignore=lambda *_: {"export"})
    (run / "report.html").touch()
    return run


def change(run, epoch: int, best_epoch: int, stopped: str | None, patience: int = 0) -> None:
    """Make of it a run of three epochs that came so far, and says so."""
    last = load_checkpoint(run / "last.pt", ())
    save_checkpoint(run / "last.pt", last | {"epoch": epoch, "best_epoch": best_epoch})
    for name, new in (("config", {"patience": patience}), ("metrics", {"stopped": stopped})):
        settings = json.loads((run / f"{name}.json").read_text()) | new
        (run / f"{name}.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "stopped", "ended", "done"),
    [
        (3, 1, ALL_DONE, True, True),
        (2, 0, f"{NO_BETTER} for 2 epochs", True, True),
        (1, 0, OUT_OF_TIME, False, False),
        (1, 1, KILLED, False, False),
        (3, 1, KILLED, True, False),  # after its last epoch, before its page: it goes on
    ],
)
def test_checkpoints_and_metrics_agree(epoch, best_epoch, stopped, ended, done, run):
    change(run, epoch, best_epoch, stopped, patience=2)
    assert has_ended(run) is ended
    assert is_done(run) is done
    assert len(scores_in(run.parent)) == done
    (run / "metrics.json").unlink()
    assert has_ended(run) is ended and not is_done(run)


def test_a_run_that_is_not_all_there(run):
    change(run, 3, 1, ALL_DONE)
    (run / "report.html").unlink()
    assert has_ended(run) and not is_done(run)
    change(run, 1, 1, OUT_OF_TIME)
    assert not has_ended(run)
    best = load_best(run)
    shutil.copytree(FORMER / "export", run / "export")
    assert has_ended(run), "an exported one"
    shutil.rmtree(run / "export")
    (run / "last.pt").rename(run / "last")
    assert has_ended(run), "a copy without it"
    (run / "last").rename(run / "last.pt")
    save_checkpoint(run / "best_model.pt", best | {"distance": {}})
    assert has_ended(run), "one that knows its training photos"
