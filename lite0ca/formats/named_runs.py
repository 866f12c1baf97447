"""Which trained models were named: runs, checkpoints, exported files, or a folder of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.files.json_files import known_json
from lite0ca.files.ownership import is_picture
from lite0ca.formats.ending import has_ended
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.report import rows_of_files
from lite0ca.formats.run_files import BEST, LAST, REPORT, SETTINGS, best_of, digest, runs_in
from lite0ca.images.folder_walk import walk

CHECKPOINTS = (".pt", ".pth")
SHOWN = 20  # runs of a folder that are named


def runs_named(named: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """Each model that was named; of a folder of runs all that have a best epoch, which is said.

    Raises `InputError` for a folder without any, for none, and for one model twice.
    """
    each = [named] if isinstance(named, (str, os.PathLike)) else list(named)
    if not each:
        raise InputError("runs: name one or more")
    runs = []
    for one in [os.fspath(one) for one in each]:
        runs += runs_of_folder(Path(one)) if is_folder_of_runs(one) else [one]
    files = [run if is_exported(run) else best_of(run) for run in runs]
    models = [model_in(file) for file in files] if len(runs) > 1 else []
    for number, model in enumerate(models):
        if (first := models.index(model)) < number:
            raise InputError(f"{runs[number]}: is the same model as {runs[first]}; keep to one")
    return runs


def model_in(file: str | Path) -> str:
    """sha256 of the checkpoint that a file is, or was exported from as the report beside it says;
    of an exported file without that its own.
    """
    if not os.path.isfile(file):  # which is said when it is opened
        return os.path.realpath(file)
    report = known_json(Path(file).with_name(REPORT)) if is_exported(file) else {}
    made = [row["file"] for row in rows_of_files(report.get("files"))]
    checkpoint = report.get("checkpoint_sha256")
    return str(checkpoint) if checkpoint and Path(file).name in made else digest(file)


def is_exported(path: str | Path) -> bool:
    return format_of(path) is not None and not os.path.isdir(path)


def is_folder_of_runs(path: str) -> bool:
    return os.path.isdir(path) and not os.path.lexists(Path(path) / BEST) and bool(runs_in(path))


def runs_of_folder(folder: Path) -> list[str]:
    """The finished runs in a folder, by name; says which, and which others are left out.

    Raises `InputError` if none is finished.
    """
    begun = {str(path.parent) for name in (SETTINGS, LAST) for path in folder.glob(f"*/{name}")}
    runs = [run for run in sorted(runs_in(folder)) if has_ended(Path(run))]
    left = sorted({*begun, *runs_in(folder)} - set(runs))
    if not runs:
        raise InputError(
            f"{folder}: none of its runs is finished ({counted(left)}); --resume them, or name "
            "those whose best epoch so far shall answer"
        )
    print(printable(f"{folder}: {counted(runs)}"))
    if left:
        print(printable(f"left out, since they are not finished: {counted(left)}"))
    return runs


def counted(runs: Sequence[str]) -> str:
    names = ", ".join(os.path.basename(run) for run in runs[:SHOWN])
    more = f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''} ({names}{more})"


def runs_and_photos(first: str, others: Sequence[str]) -> tuple[list[str], list[str]]:
    """The models and the photos of a command line: `RUN [RUN ...] PHOTO [PHOTO ...]`.

    The first is a model, the last is of the photos, and between them are models as long as the
    names are of such. Raises `InputError` where a name may be either, or a model comes last.
    """
    runs, photos = [first], list(others)
    while len(photos) > 1 and names_model(photos[0]):
        if holds_photos(photos[0]):
            raise InputError(
                f"{photos[0]}: holds a run and photos; name {BEST} in it for the run, or name its "
                "photos last"
            )
        runs.append(photos.pop(0))
    for name in photos:
        if names_model(name) and not holds_photos(name):
            where = "no photo comes after it" if name == photos[0] else "runs come before photos"
            raise InputError(f"{name}: is a trained model, and {where}")
    return runs, photos


def names_model(path: str) -> bool:
    """Whether a name is that of a run, also an unfinished one, of a folder of runs or a file."""
    if os.path.isdir(path):
        begun = all((Path(path) / name).is_file() for name in (SETTINGS, LAST))
        return begun or os.path.lexists(Path(path) / BEST) or bool(runs_in(path))
    return format_of(path) is not None or os.path.splitext(path)[1].lower() in CHECKPOINTS


def holds_photos(path: str) -> bool:
    """Whether there are photos in a folder: pictures that lite0ca did not draw."""
    if not os.path.isdir(path):
        return False
    return any(not is_picture(os.path.join(path, photo)) for photo in walk(path).photos)
