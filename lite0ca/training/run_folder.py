"""What a training writes as it goes: its folder, checkpoints, results. Rank 0 writes for all."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from lite0ca.data.dataset import DataSet
from lite0ca.data.licence import licence_of
from lite0ca.data.metadata_csv import COLUMNS
from lite0ca.errors import InputError
from lite0ca.files.json_files import known_json, read_json, write_json
from lite0ca.files.locks import lock_for_process
from lite0ca.files.names import numbered
from lite0ca.files.scraps import remove_scraps
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.tables import write_table
from lite0ca.formats.checkpoint import load_checkpoint, save_checkpoint
from lite0ca.formats.metadata import check_metadata
from lite0ca.formats.run_files import BEST, LAST, SETTINGS, TABLE, sha256
from lite0ca.formats.run_split import split_of
from lite0ca.images.reading import bytes_of
from lite0ca.machine import distributed
from lite0ca.machine.device import Precision
from lite0ca.machine.environment import environment
from lite0ca.settings.config import Config, fold_of
from lite0ca.speed.timing import images_per_s
from lite0ca.training.epoch import refuse_non_finite
from lite0ca.training.state import State
from lite0ca.training.summary import draw_curves, metrics_of, metrics_of_test

DRAW_EVERY_S = 30.0  # a figure takes a quarter of a second, as long as many a short epoch


@dataclass
class Record:
    """The run folder of a training. Every rank calls these, at the same moments."""

    run: Path | None  # None until it begins
    state: State
    config: Config
    data: DataSet
    fingerprint: str  # of the data, which takes a while to compute
    precision: Precision
    measured: dict = field(default_factory=dict)  # of --all: how sure a run like it is
    drawn: float = field(default_factory=time.monotonic)  # when the curves last were

    def begin(self) -> None:
        """Make the run folder; one that is there can be resumed, whatever happens next."""
        self.state.average_statistics()
        last = self.state.as_dict()
        self.run = distributed.from_first(lambda: self.new_folder(last))

    def new_folder(self, last: dict) -> Path:
        """Settings, environment, which image went to which split, last.pt: all appear at once."""
        record = environment(self.precision.device)
        record |= {"data_root": str(self.data.root.resolve())}
        record |= {"data_fingerprint": self.fingerprint}
        record |= {"data_licence": licence_of(self.data.root)}
        record |= {"begun": datetime.date.today().isoformat()}
        columns = [name for name in COLUMNS if name in self.data.rows]
        sizes = self.data.rows["absolute_path"].map(bytes_of)
        with scratch_folder(self.config.output_dir) as self.run:
            write_json(self.run / SETTINGS, self.config.as_dict())
            write_json(self.run / "environment.json", record)
            write_table(self.run / TABLE, self.data.rows[columns].assign(bytes=sizes))
            self.save(LAST, last)
            return placed(self.run, self.config.output_dir, self.config.system.name)

    def last(self) -> None:
        """last.pt: all that --resume and going back need."""
        self.state.average_statistics()
        self.save(LAST, self.state.as_dict())

    def midway(self) -> None:
        """last.pt within an epoch; raises `NonFinite` instead if it would not survive.

        The loss is looked at seldom there, and a file with NaN must not replace a good one.
        """
        refuse_non_finite(self.state, self.precision.device)
        self.state.average_statistics()
        self.state.check_finite()
        self.save(LAST, self.state.as_dict())

    def best(self) -> None:
        """best_model.pt: what evaluate, predict and users load."""
        history = self.state.history
        content = {"model": self.state.scored.state_dict(), "epoch": self.state.epoch}
        if self.config.all:  # no photo says how far its probabilities can be trusted
            content |= {"temperature": 1.0, "sure_from": None} | self.measured
        for name in ("temperature", "sure_from"):
            if name in history:  # runs of version 0.1.0 have none
                content[name] = history[name][-1]
        self.save(BEST, content)

    @contextlib.contextmanager
    def held(self):
        """Keep others from training in the run folder; raises `InputError` if one does."""
        with contextlib.ExitStack() as stack:
            distributed.from_first(lambda: stack.enter_context(held(self.run)))
            yield

    def mend(self) -> None:
        """Put right what a kill may have left, when the run is taken up again."""
        if distributed.first():
            remove_scraps(self.run)
        if self.state.best_epoch == self.state.epoch > 0 and self.state.step == 0:
            self.best()  # it came between the two checkpoints

    def results(self, reason: str | None = None, scores: dict | None = None) -> dict:
        """The metrics so far, written with --save-history.

        `reason` is why the run has stopped, `scores` what it then came to.
        """
        return distributed.from_first(lambda: self.write_results(reason, scores))

    def write_results(self, reason: str | None, scores: dict | None) -> dict:
        metrics = metrics_of(self.run, self.state, self.config, self.data, self.speed, reason)
        metrics |= metrics_of_test(scores) if scores else {}
        if self.config.save_history:
            write_json(self.run / "metrics.json", metrics)
            if self.state.best_epoch:
                write_json(self.run / "history.json", self.state.history)
                if not scores and (reason or time.monotonic() - self.drawn > DRAW_EVERY_S):
                    self.draw()
        return metrics

    def draw(self) -> None:
        """The curves as they are now, with --save-history."""
        if self.config.save_history and self.state.best_epoch and distributed.first():
            draw_curves(self.run, self.state, self.data)
            self.drawn = time.monotonic()

    @functools.cached_property  # after the first epoch: nobody wants to wait for it before
    def speed(self) -> dict:
        return images_per_s(self.state.model, self.config.image_size, self.precision)

    def save(self, name: str, content: dict) -> None:
        if distributed.first():
            save_checkpoint(self.run / name, content | self.metadata)

    @functools.cached_property
    def metadata(self) -> dict:
        """What every checkpoint says of its run."""
        return {
            "config": replace(self.config, resume=None).as_dict(),
            "system": asdict(self.config.system),
            "label2id": self.data.label2id,
            "names": self.data.names,
            "fingerprint": self.fingerprint,
            "drawn_sample": self.data.is_sample,
            "sha256": {name: sha256(self.run / name) for name in (SETTINGS, TABLE)},
        }


def stored(run: str | Path) -> tuple[dict, pd.DataFrame]:
    """(last checkpoint, table of the data) of the run to go on with. Raises `InputError`."""
    path = Path(run) / LAST
    last = load_checkpoint(path, needs=(*State.KEYS, "config", "label2id", "fingerprint"))
    check_metadata(last, path)
    State.check_counts(last, path)
    refuse_other_settings(Path(run) / SETTINGS, last)
    return last, split_of(run, last)


def other_folds_table(config: Config) -> pd.DataFrame | None:
    """The table of the newest run of as many folds beside this one; None if there is none."""
    folds = fold_of(config.fold)[1]
    tables = sorted(Path(config.output_dir).glob(f"*/{TABLE}"), key=os.path.getmtime)
    for table in reversed(tables):
        fold = known_json(table.parent / SETTINGS).get("fold")
        with contextlib.suppress(InputError, OSError):  # damaged, and of no use here
            if isinstance(fold, str) and fold_of(fold)[1] == folds:
                return split_of(table.parent, {})
    return None


def refuse_other_settings(path: Path, last: dict) -> None:
    """Raise `InputError` unless config.json is as it was when the run began.

    Of a run of version 0.2 or before, which kept no digest: unless it trains what it trained.
    """
    written = read_json(path)
    for name in Config.fixed():
        ours, theirs = (settings.get(name) for settings in (written, last["config"]))
        if ours != theirs:
            raise InputError(
                f"{path}: is damaged, or was changed: its {name} is {ours!r}, {LAST} says "
                f"{theirs!r}; put back a copy of the file"
            )
    began_with = last.get("sha256", {}).get(SETTINGS)
    if began_with and sha256(path) != began_with:
        raise InputError(
            f"{path}: is damaged, or was changed since the run began; put back a copy of it "
            "(where the data lies now: --data-dir or --metadata)"
        )


def placed(scratch: Path, output_dir: str | Path, name: str) -> Path:
    """The folder as `output_dir/NAME_DD_MM_YYYY_HHMM`; a second one in that minute gets `_2`."""
    stamp = datetime.datetime.now().strftime("%d_%m_%Y_%H%M")
    for tried in numbered(f"{name}_{stamp}"):
        folder = Path(output_dir) / tried
        if os.path.lexists(folder):
            continue
        try:
            os.rename(scratch, folder)
            return folder
        except OSError:
            if not folder.exists():
                raise
            # another process was faster


@contextlib.contextmanager
def held(run: Path):
    """While this lasts no other process may train in the folder; raises `InputError` if one does.

    A lock of the process, on a file that nothing rewrites: it ends with the process, and loader
    processes do not inherit it. Windows, and file systems without locks, go without.
    """
    with open(run / TABLE, "r+b") as file:
        try:
            lock_for_process(file.fileno())
        except (BlockingIOError, PermissionError):
            raise InputError(
                f"{run}: another process is training in it; stop that one first"
            ) from None
        except OSError:
            pass
        yield
