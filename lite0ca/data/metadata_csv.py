"""A CSV that lists photos -> its table; each mistake is named with its line."""

from __future__ import annotations

import csv
import io
import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from lite0ca.data.layout import SPLITS, split_named
from lite0ca.errors import InputError, composed, first_line, opening, printable
from lite0ca.files.reading import refuse_packed
from lite0ca.images.folder_walk import on_disk
from lite0ca.images.reading import identity_of, refuse_other_than_files
from lite0ca.settings.fields import unknown

COLUMNS = ("path", "label", "split", "group")
TO_FILL_IN = ("number", "path", "label")  # of a table that `label` writes


def read_csv(
    path: Path, called: Mapping[str, str] | None = None, one_of: Sequence[str] = ()
) -> pd.DataFrame:
    """Columns path, label, split if given, and all others as they are, everything as text.

    `called` are the names of path and label where a table has others: {"image_id": "path"}.
    `one_of` are columns of 0 and 1, the names of which are the labels. Raises `InputError`.
    """
    refuse_other_than_text_files(path)
    content = path.read_bytes()
    refuse_two_of_a_name(header_of(io.BytesIO(content), path), path)
    blank = blank_lines_above(content)
    with opening(path, "is not a CSV file in UTF-8"), warnings.catch_warnings():
        warnings.filterwarnings("error", category=pd.errors.ParserWarning)  # of lost cells
        try:
            rows = pd.read_csv(
                io.BytesIO(content),
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
                skip_blank_lines=False,  # or the lines named below would be others
                skiprows=blank,
            )
        except pd.errors.ParserWarning:
            text = f"{path}: has lines with more cells than its header has names"
            raise InputError(text) from None
    refuse_nul_bytes(content, path)
    rows = rows.rename(columns=dict(called)) if called else with_plain_names(rows)
    if one_of:
        rows["label"] = rows[list(one_of)].isin(["1", "1.0"]).idxmax(axis=1)
    missing = [column for column in ("path", "label") if column not in rows]
    if missing:
        has = ", ".join(map(str, rows.columns))[:200]
        hint = "; separate them by commas" if len(rows.columns) == 1 else ""
        raise InputError(f"{path}: has no column {missing[0]!r} (its columns: {has}{hint})")
    rows.index += 2 + blank  # line numbers
    rows = rows[rows.apply(lambda column: column.str.strip() != "").any(axis=1)]
    if rows.empty:
        raise InputError(f"{path}: lists no image")
    named = [column for column in COLUMNS if column in rows]
    rows[named] = rows[named].apply(lambda column: column.str.strip())
    if tuple(rows.columns) == TO_FILL_IN:
        rows = labelled(rows, path)
    for column in named:
        if (rows[column] == "").any():
            lines = rows.index[rows[column] == ""]
            more = f", nor have {len(lines) - 1:,} more" if len(lines) > 1 else ""
            raise InputError(
                f"{path}: line {lines[0]} has no {column}{more}: fill it in, or remove the line"
            )
    if "split" in rows:
        split = rows["split"].map(split_named)
        if split.isna().any():
            line, wrong = next(rows["split"][split.isna()].items())
            raise InputError(f"{path}: line {line}: split {unknown(wrong, SPLITS)}")
        rows["split"] = split
    rows["label"] = rows["label"].map(composed)
    rows["path"] = [with_slashes(path.parent, name) for name in rows["path"]]
    return rows.reset_index(drop=True)


def labelled(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of a table to fill in that have a label; says how many have none yet."""
    filled = rows[rows["label"] != ""]
    if filled.empty:
        raise InputError(f"{path}: no photo has a label yet; fill in the column label")
    if rest := len(rows) - len(filled):
        print(f"left out: {rest:,} photos of {printable(str(path))} without a label yet")
    return filled


def is_listing(columns: list[str]) -> bool:
    """Whether a table has our two columns, path and label."""
    return {"path", "label"} <= {name.strip().lower() for name in columns}


def columns_of(path: Path) -> list[str]:
    """The names in the first line that is not blank. Raises `InputError` if it is no text."""
    refuse_other_than_text_files(path)
    return header_of(open(path, "rb"), path)


def header_of(file: BinaryIO, path: Path) -> list[str]:
    """As `columns_of`, of an open file, which is closed."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
        filled = (line for line in lines if line.strip())
        try:
            return next(csv.reader(filled), [])
        except (UnicodeError, csv.Error) as error:
            reason = first_line(error)
            raise InputError(f"{path}: is not a CSV file in UTF-8: {reason}") from None


def refuse_other_than_text_files(path: Path) -> None:
    """Raise `InputError` for an archive, or a pipe or a device, which would be waited for."""
    try:
        refuse_other_than_files(path)
        with open(path, "rb") as file:
            refuse_packed(path, file.read(4))
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def refuse_two_of_a_name(header: list[str], path: Path) -> None:
    """Raise `InputError` if a header says path, label, split or group twice."""
    names = [name.strip() for name in header]
    for column in COLUMNS:
        # A column Group beside group may mean something else; Label beside label may not.
        plain = [name.lower() for name in names] if column in ("path", "label") else names
        if plain.count(column) > 1:
            raise InputError(f"{path}: has two columns {column!r}: which is meant? Rename one")


def refuse_nul_bytes(content: bytes, path: Path) -> None:
    """Some versions of pandas end a cell there without a word. Raises `InputError`."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if b"\0" in line:
            shown = ascii(line[:80].decode(errors="replace"))
            raise InputError(f"{path}: line {number} holds a NUL byte: {shown}")


def blank_lines_above(content: bytes) -> int:
    """How many lines are blank before the first that is not."""
    lines = io.BytesIO(content)
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines))


def with_plain_names(rows: pd.DataFrame) -> pd.DataFrame:
    """` Path ` is the column path, unless there is one already."""
    plain = {name: name.strip().lower() for name in rows.columns}
    # Not `Group` and `Split`: those may mean something else, and would decide the split unasked.
    needed = ("path", "label")
    wanted = {name: to for name, to in plain.items() if to in needed and to not in rows}
    return rows.rename(columns=wanted) if len({*wanted.values()}) == len(wanted) else rows


def with_slashes(folder: Path, name: str) -> str:
    """A path written on Windows as it is found here."""
    if "\\" not in name or os.path.exists(os.path.join(folder, on_disk(folder, name))):
        return name
    return name.replace("\\", "/")


def without_repeats(rows: pd.DataFrame, source: Path) -> pd.DataFrame:
    """Each file once, whatever way its path is written, or by which link.

    Raises `InputError` if its rows differ.
    """
    files = rows["absolute_path"].map(identity_of)
    repeated = rows[files.duplicated(keep=False)]
    if repeated.empty:
        return rows
    for column in ("label", "split"):
        if column in rows:
            values = repeated.groupby(files, sort=False)[column].nunique()
            if (values > 1).any():
                paths = repeated["path"][files == values.idxmax()].unique()
                raise InputError(f"{source}: {' = '.join(paths[:2])} is listed with two {column}s")
    rows = rows[~files.duplicated()].reset_index(drop=True)
    said = f"{source}: lines that repeat a path are left out, {len(rows):,} images remain"
    print(printable(said))
    return rows
