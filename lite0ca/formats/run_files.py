"""The files of a run: their names, where they lie, and which training they are of. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.reading import read_bytes

BEST, LAST = "best_model.pt", "last.pt"
SETTINGS, TABLE = "config.json", "data.csv"  # what a run began with; the latter is its split
LEARNED = "adaptation.csv"  # the labelled photos of another place that a run was fitted to
# Where a run came from that was made of others: of one by `adapt`, of several by `merge`.
ADAPTED, MERGED = "adaptation.json", "merge.json"
EXPORTS, REPORT = "export", "export_report.json"  # a run's exported files, and what they came to
NAMED = 5  # runs that a message names


def best_of(run: str | Path) -> Path:
    """The best checkpoint of a run: its folder is given, or the file. Raises `InputError`."""
    run = Path(run)
    if not run.exists():
        raise InputError(f"{run}: there is no such run folder or checkpoint")
    path = run / BEST if run.is_dir() else run
    if path.exists():
        return path
    if runs := runs_in(run):
        more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
        raise InputError(f"{run}: is no run; name one in it: {', '.join(runs[:NAMED])}{more}")
    begun = (run / SETTINGS).is_file() or (run / LAST).is_file()
    why = ", so no epoch of it is finished yet" if begun else ": it is no run"
    raise InputError(f"{run}: has no {BEST}{why}")


def runs_in(folder: str | Path) -> list[str]:
    """The runs in a folder, the latest first."""
    found = [path.parent for path in Path(folder).glob(f"*/{BEST}")]
    found.sort(key=lambda run: (run / BEST).stat().st_mtime_ns, reverse=True)
    return [str(run) for run in found]


def run_folder(run: str | Path) -> Path:
    """The folder of a run, given as such or by one of its files."""
    path = Path(run).absolute()
    if path.is_dir():
        return Path(run)
    return path.parent.parent if path.parent.name == EXPORTS else path.parent


def digest(run: str | Path) -> str:
    """sha256 of a run's best checkpoint: another training, another digest."""
    path = Path(run)
    return sha256(path / BEST if path.is_dir() else path)


def sha256(file: str | Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()
