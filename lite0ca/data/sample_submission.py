"""A competition's sample_submission.csv: its text as it is, and the photo of each of its ids."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lite0ca.data.photo_ids import Places
from lite0ca.errors import InputError, first_line
from lite0ca.files.reading import read_bytes, refuse_packed
from lite0ca.images.folder_walk import walk

NAMED = 5  # ids, files or columns that a message names


@dataclass(frozen=True)
class Sample:
    """A sample_submission.csv: its text cells as they are, and the photo of each row."""

    path: str
    header: list[str]
    rows: list[list[str]]
    ids: int  # the number of the column that names photos
    photos: list[str]  # the file of each row
    others: int  # photos in the folder that it does not ask about

    @property
    def asked(self) -> list[int]:
        """The numbers of the columns to fill in."""
        return [number for number in range(len(self.header)) if number != self.ids]


def read_sample(sample, photos) -> Sample:
    """The sample, and where its photos lie. Raises `InputError` that says what is wrong with it."""
    path = os.fspath(sample)
    header, rows = read_table(path)
    named = [photos] if isinstance(photos, (str, os.PathLike)) else list(photos)
    found = [os.path.normpath(file) for one in named for file in files_of(os.fspath(one))]
    files = list(dict.fromkeys(found))  # a folder may be named twice, or with one in it
    places = Places(files)
    columns = dict(zip(header, map(list, zip(*rows))))
    ids = header.index(places.column_of_ids(columns) or header[0])
    names = columns[header[ids]]
    refuse_repeats(path, header[ids], names)
    where = ", ".join(map(str, named))
    found = [there or named_in(name, named) for name, there in zip(names, places.of_all(names))]
    for name, candidates in zip(names, found):
        if len(candidates) > 1:
            raise InputError(
                f"{path}: {name!r} may be {' or '.join(candidates[:2])}; name the folder of the "
                "test photos alone, or keep one of them"
            )
    if missing := [name for name, candidates in zip(names, found) if not candidates]:
        raise InputError(
            f"{path}: {len(missing):,} of its {len(names):,} {header[ids]!r} have no photo in "
            f"{where}: {listed(missing)}"
        )
    chosen = [candidates[0] for candidates in found]
    if len(set(chosen)) < len(chosen):
        twice = next(file for file, count in Counter(chosen).items() if count > 1)
        both = [name for name, file in zip(names, chosen) if file == twice]
        raise InputError(f"{path}: {listed(both)} would all be the photo {twice}")
    return Sample(path, header, rows, ids, chosen, len(set(files) - set(chosen)))


def files_of(name: str) -> list[str]:
    """The photos in and below a folder, links too, or the file. Raises `InputError`."""
    if os.path.isdir(name):
        return [os.path.join(name, photo) for photo in walk(name).photos]
    if not os.path.exists(name):
        raise InputError(f"{name}: there is no such file or folder")
    return [name]


def read_table(path: str) -> tuple[list[str], list[list[str]]]:
    """(header, rows), all cells as text as they are. Raises `InputError`."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such sample submission") from None
    refuse_packed(path, content)
    try:
        text = content.decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        table = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except (UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV file in UTF-8 ({first_line(error)})") from None
    if "\0" in text:
        raise InputError(f"{path}: is not a CSV file in UTF-8 (it holds NUL bytes)")
    if len(table) < 2:
        what = "lists no photo below its header" if table else "is empty"
        raise InputError(f"{path}: {what}; give the competition's sample_submission.csv")
    (_, header), *rows = table
    if len(header) < 2:
        raise InputError(
            f"{path}: has the one column {header[0]!r}; it needs one of ids and one of labels or "
            "probabilities, separated by commas"
        )
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise InputError(f"{path}: has two columns {twice[0]!r}")
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{path}: line {line} has {len(row)} cells, its header has {len(header)}"
            )
    return header, [row for _, row in rows]


def refuse_repeats(path: str, column: str, names: list[str]) -> None:
    """Raise `InputError` for an id that is empty or there twice."""
    if "" in (stripped := [name.strip() for name in names]):
        raise InputError(f"{path}: row {stripped.index('') + 1} has no {column!r}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(
            f"{path}: {len(twice):,} of its {column!r} are there more than once: {listed(twice)}"
        )


def named_in(name: str, folders: Sequence[str | os.PathLike]) -> list[str]:
    """A file that is there by this name but has no name of a photo: one that is broken."""
    files = (os.path.join(folder, name.strip()) for folder in folders)
    return [file for file in files if os.path.isfile(file)][:1]


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(map(repr, names[:NAMED]))}{more}"
