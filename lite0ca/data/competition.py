"""The folder of a competition: a table to train on, photos to answer, a sample to fill in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lite0ca.data.column_names import SUBMISSION
from lite0ca.data.layout import split_within
from lite0ca.data.sample_submission import Sample, read_sample
from lite0ca.data.sources import Source, find
from lite0ca.errors import InputError
from lite0ca.settings.config import Config

EMPTY = re.compile(r"sample|example|format", re.IGNORECASE)  # beside somebody's own submission


@dataclass(frozen=True)
class Competition:
    """`sample` is its sample_submission.csv, `test` the folder of the photos that it names."""

    source: Path  # the table or the folder of what is trained on
    sample: Path
    test: Path
    asked: Sample  # what the sample asks for, and the photo of each of its rows


def competition_of(config: Config) -> Competition:
    """What lies beside the data that the settings name, or that is found.

    Where no folder is called as one of test photos, they are those that the sample names. Raises
    `InputError` where there is no sample submission or no test photos, or several, and for a
    sample that cannot be used.
    """
    source = find(config)
    folders = list(dict.fromkeys(map(os.path.realpath, source.folders)))
    sample = one_of(folders, is_sample, "sample submission (sample_submission.csv)")
    try:
        test = one_of(folders, is_test, "folder of test photos (test_images)")
    except InputError as error:
        if not (test := folder_asked_about(sample, source)):
            raise error from None
    asked = read_sample(sample, test)  # what is wrong with it is said before hours of training
    return Competition(source.path, sample, test, asked)


def folder_asked_about(sample: Path, source: Source) -> Path | None:
    """Where the photos of a sample's ids lie, if no name tells; None if some are trained on."""
    try:
        photos = read_sample(sample, sample.parent).photos
        trained = set(map(os.path.realpath, source.rows()["absolute_path"]))
    except InputError:
        return None
    if trained & set(map(os.path.realpath, photos)):
        return None
    return Path(os.path.commonpath(list(map(os.path.dirname, photos))))


def is_sample(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".csv" and bool(SUBMISSION.search(path.stem))


def is_test(path: Path) -> bool:
    return path.is_dir() and split_within(path.name) == "test"


def one_of(folders: list[str], fits, what: str) -> Path:
    """The only file or folder that fits, in the first folder that has one. Raises `InputError`."""
    for folder in folders:
        found = sorted(path for path in Path(folder).iterdir() if fits(path))
        if fits is is_sample and len(found) > 1:
            found = [path for path in found if EMPTY.search(path.stem)] or found
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:5])
            raise InputError(f"{folder}: has more than one {what}: {names}; keep one of them")
        if found:
            return found[0]
    packed = ", ".join(sorted(path.name for path in Path(folders[-1]).glob("*.zip"))[:5])
    what_to_do = (
        f"unpack {packed} there"
        if packed
        else "give the folder of a competition, with train.csv, its photos, test_images and "
        "sample_submission.csv"
    )
    raise InputError(f"{folders[-1]}: has no {what}; {what_to_do}")
