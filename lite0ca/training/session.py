"""Several trainings in one session that ends: what is done is taken, what was cut off goes on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.evaluation.run_report import PAGE
from lite0ca.files.json_files import known_json
from lite0ca.formats.ending import is_end
from lite0ca.formats.metadata import is_number
from lite0ca.formats.run_files import BEST, LAST, SETTINGS
from lite0ca.settings.config import Config
from lite0ca.settings.fields import flag
from lite0ca.training.epoch_line import clock
from lite0ca.training.fit import fit

# Of the hours, for what comes behind the trainings: scores, and answers about test photos.
RESERVE, MOST_RESERVED_S = 0.1, 1800.0
# Settings that may differ and leave a run the same one: where it lies, and what it was called by.
FREE = ("preset", "output_dir", "save_history")
HOW_TO_GO_ON = (
    "the time of this session is up: run this again to go on; on Kaggle save the version and "
    "attach its output first"
)


@dataclass
class Session:
    """`hours` from now on, in which trainings follow each other.

    Each may take all that is left, but for a reserve: in equal shares all would be cut off before
    their end, and none would be of use.
    """

    hours: float
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self):
        if not 0 < self.hours < 1e6:
            raise InputError(f"hours must be above 0, not {self.hours:g}")

    @property
    def seconds_left(self) -> float:
        """Until trainings have to stop; negative behind that."""
        seconds = 3600 * self.hours
        reserve = min(RESERVE * seconds, MOST_RESERVED_S)
        return seconds - reserve - (time.monotonic() - self.began)

    def train(self, configs: Sequence[Config]) -> list[Path]:
        """The runs that are done, in the order of their settings; says which are not, and why.

        A run with the same settings in its `output_dir` is taken if it is done, and goes on if it
        is not. Raises what `fit` raises.
        """
        earlier, done, took = [earlier_run(config) for config in configs], {}, []
        for number, run in enumerate(earlier):
            if run and is_done(run):
                print(printable(f"{title(configs[number])}: done before: {run}"), flush=True)
                done[number] = run
        waiting = [number for number in range(len(configs)) if number not in done]
        for count, number in enumerate(waiting, 1):
            config, seconds = configs[number], self.seconds_left
            if seconds <= 0:
                break
            if count == 1:
                print(f"{clock(seconds)} are left to train in", flush=True)
            print(f"\n{title(config)}", flush=True)
            result = fit(going_on(config, earlier[number], seconds / 60))
            if not result.scores:
                break
            done[number] = result.run
            took.append(seconds - self.seconds_left)
            if rest := len(waiting) - count:
                needed = clock(statistics.mean(took) * rest)
                left = clock(max(0.0, self.seconds_left))
                print(f"{rest} to go: about {needed}; {left} are left to train in", flush=True)
        missing = [configs[number] for number in waiting if number not in done]
        for config in missing:
            print(printable(f"not done: {title(config)}{state_of(config)}"))
        if missing:
            print(HOW_TO_GO_ON, flush=True)
        return [done[number] for number in sorted(done)]


def of_folds(config: Config, folds: int) -> list[Config]:
    """The settings of each fold. Raises `InputError`."""
    if config.valid_limit:
        raise InputError("--valid-limit: each photo of a fold needs an answer; leave it out")
    fields = {"all": False, "calibration_run": None, "save_history": True, "resume": None}
    return [replace(config, fold=f"{number}/{folds}", **fields) for number in range(1, folds + 1)]


def of_all(config: Config, runs: Sequence[Path]) -> Config:
    """The settings of one training on all photos, for the median best epoch of `runs`, the folds'.

    When it is sure is taken from the fold with that epoch. Raises `InputError` where no fold's run
    says which that was.
    """
    best = {run: known_json(run / "metrics.json").get("best_epoch") for run in runs}
    epochs = {run: epoch for run, epoch in best.items() if type(epoch) is int and epoch > 0}
    if not epochs:
        raise InputError("no fold has a best epoch yet, so nobody knows how long to train on all")
    median = statistics.median_high(epochs.values())
    like = next(run for run, epoch in epochs.items() if epoch == median)
    fields = {"fold": None, "all": True, "save_history": True, "resume": None}
    return replace(config, epochs=median, calibration_run=str(like), **fields)


def title(config: Config) -> str:
    if config.all:
        return f"all photos, {config.epochs} epochs"
    return f"fold {config.fold}" if config.fold else config.system.name


def earlier_run(config: Config, say: bool = True) -> Path | None:
    """The newest run with these settings in the output folder; None if there is none.

    Of one that is for the same photos with other settings it says in what they differ.
    """
    found = Path(config.output_dir).glob(f"*/{LAST}")
    for run in sorted(
        (file.parent for file in found), key=lambda run: -os.path.getmtime(run / LAST)
    ):
        stored = known_json(run / SETTINGS)
        if (stored.get("fold"), bool(stored.get("all"))) != (config.fold, config.all):
            continue
        differing = [
            name
            for name in Config.fixed()
            if name not in FREE and stored.get(name, getattr(Config, name)) != getattr(config, name)
        ]
        if not differing:
            return run
        names = ", ".join(map(flag, differing))
        if say:
            print(printable(f"{run}: was trained with another {names}, so it is not taken"))
    return None


def is_done(run: Path) -> bool:
    """Whether a run has ended and written all that it leaves."""
    stopped = known_json(run / "metrics.json").get("stopped")
    return is_end(stopped) and (run / BEST).is_file() and (run / PAGE).is_file()


def going_on(config: Config, earlier: Path | None, minutes: float) -> Config:
    """What `fit` gets: a new run, or the earlier one with the data where it lies now."""
    if earlier is None:
        return replace(config, time_budget=minutes)
    free = [*Config.in_groups("machine"), "metadata", "data_dir", "calibration_run"]
    given = {name: value for name in free if (value := getattr(config, name)) is not None}
    given["time_budget"] = minutes
    return Config.of_run(earlier, **given)


def state_of(config: Config) -> str:
    """How far a training came, that is not done."""
    earlier = earlier_run(config, say=False)
    epochs = known_json(earlier / "metrics.json").get("epochs") if earlier else None
    if not is_number(epochs):
        return ", not begun"
    return f", {epochs} of {config.epochs} epochs, in {earlier}"
