"""The table of a competition: an id and a label a row, and the photos somewhere beside it.

Cassava, APTOS and Paddy Doctor come so: train.csv, train_images/, test_images/. An id is a photo's
name, with its ending or without, or its path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pandas as pd

from lite0ca.data.column_names import IDS, LABELS, SUBMISSION, plain_name_of, plain_names
from lite0ca.data.layout import named, split_named, split_within
from lite0ca.data.metadata_csv import columns_of, is_listing, read_csv
from lite0ca.data.photo_ids import Places
from lite0ca.errors import InputError, first_line, opening
from lite0ca.images.folder_walk import Below

# Names of tables by what is expected in them; the first kind that is there is read.
KINDS = (r"metadata", r"train.*|.*train", r".*(label|annotation|class).*", r".*")
NO_LABELS = re.compile(r"submission|solution|source|prediction")


def table_beside(photos: Below, inside: str) -> tuple[str | None, list[str]]:
    """(the CSV of a folder that labels photos below it, those that do so too and are not read).

    `inside` is the folder, "" for the uppermost; all are paths below `photos.folder`. Raises
    `InputError` if two of a kind label photos.
    """
    tables = [table for table in photos.tables if os.path.dirname(table) == inside]
    fitting = [table for table in tables if why_not(photos, table) is None]
    for kind in KINDS:
        of_kind = [t for t in fitting if re.fullmatch(kind, Path(t).stem.lower())]
        if len(of_kind) > 1:
            raise InputError(
                f"{photos.folder}: {named(of_kind)} all label photos; name one with --metadata"
            )
        if of_kind:
            return of_kind[0], [table for table in fitting if table not in of_kind]
    return None, []


def why_not(photos: Below, table: str) -> str | None:
    """Why a CSV gives no labels to photos below its folder; None if it does."""
    stem = Path(table).stem.lower()
    if NO_LABELS.search(stem) or split_within(stem) in ("valid", "test"):
        return "is no table of labels by its name"
    file = photos.folder / table
    try:
        columns = columns_of(file)
        if is_listing(columns):
            return None
        places = places_in(photos, os.path.dirname(table))
        ids = id_column(file, columns, places)
        by_name = any(re.fullmatch(kind, stem) for kind in KINDS[:-1])
        if not by_name and plain_name_of(ids) not in IDS:  # it may say anything of photos
            return f"is no table of labels by its name, nor by that of its {ids!r}"
        class_columns(file, columns, ids, asked_in(photos, columns, ids))
        found = any(photos_named(first_rows(file)[ids], places))
    except (ValueError, OSError, KeyError) as error:  # pandas' own are ValueErrors
        return first_line(error)
    return None if found else f"no photo below its folder has a name of its {ids!r}"


def first_rows(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str, keep_default_na=False, nrows=200, encoding="utf-8-sig")


def id_column(file: Path, columns: list[str], places: Places) -> str:
    """The column that names photos, or one with the name of such. Raises `InputError`."""
    with opening(file, "is not a CSV file in UTF-8"):
        first = first_rows(file)
    cells = {name: list(first[name]) for name in columns if name in first}
    plain = plain_names(columns)
    usual = next((plain[name] for name in IDS if name in plain), None)
    headless = any(map(places.of, columns))  # a photo in the first line
    if ids := (None if headless else places.column_of_ids(cells)) or usual:
        return ids
    hint = "; separate them by commas" if len(columns) == 1 else ""
    listed = ", ".join(columns)[:200]
    raise InputError(
        f"has no column 'path' (its columns: {listed}{hint}), nor another that names photos"
    )


def asked_in(photos: Below, columns: list[str], ids: str) -> str | None:
    """The one column that a sample submission asks for beside ids; None if none says that."""
    for table in photos.tables:
        if SUBMISSION.search(Path(table).stem):
            with suppress(InputError):
                shared = set(columns_of(photos.folder / table)) & set(columns) - {ids}
                if len(shared) == 1:
                    return shared.pop()
    return None


def class_columns(file: Path, columns: list[str], ids: str, asked: str | None) -> list[str]:
    """The label column, or a column of 0 and 1 a class.

    The label has a usual name, is the only other column, or the one that the sample submission
    has as well, `asked`. Raises `InputError` if there is none of these.
    """
    plain = plain_names(columns)
    if label := next((plain[name] for name in LABELS if name in plain), None):
        return [asked or label]
    others = [name for name in columns if name != ids]
    if len(others) == 1:
        return others
    if len(others) > 1 and all(others) and len({*others}) == len(others):
        with opening(file, "is not a CSV file in UTF-8"):
            table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            cells = table[others]
        marks = cells.isin(["1", "1.0"])
        if (marks | cells.isin(["0", "0.0"])).all(axis=None) and (marks.sum(axis=1) == 1).all():
            return others
    if asked:
        return [asked]
    raise InputError(f"has no column 'label' (its columns: {', '.join(columns)[:200]})")


def read_labels(table: Path, photos: Below) -> tuple[pd.DataFrame, str]:
    """(rows as `read_csv` gives them, how the table was read). Raises `InputError`."""
    columns = columns_of(table)
    inside = os.path.relpath(table.parent, photos.folder)
    of_tests = split_within(table.stem.lower()) == "test"  # by its name, as of test_labels.csv
    places = places_in(photos, "" if inside == "." else inside, of_tests)
    try:
        ids = id_column(table, columns, places)
        classes = class_columns(table, columns, ids, asked_in(photos, columns, ids))
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    if len(classes) == 1:
        rows = read_csv(table, {ids: "path", classes[0]: "label"})
        said = f"the column {classes[0]!r}"
    else:
        rows = read_csv(table, {ids: "path"}, one_of=classes)
        said = f"the columns {named(classes)}, one of which is 1"
    rows = with_places(rows, table, places)
    unread = [name for name in columns if name not in {ids, *classes, "split", "group"}]
    rest = f"; columns that are not read: {named(unread)}" if unread else ""
    return rows, f"labels by {said} of {table.name}, photos by {ids!r}{rest}"


def places_in(photos: Below, inside: str, of_tests: bool = False) -> Places:
    """Photos below the folder of a table, which is `inside` that of `photos`.

    Those of a folder for testing are no place for a row of a training table, but of one `of_tests`
    where there is such a folder.
    """
    start = f"{inside}/" if inside else ""
    below = [photo[len(start) :] for photo in photos.photos if photo.startswith(start)]
    fitting = [photo for photo in below if in_test(photo) == of_tests]
    return Places(fitting or below if of_tests else fitting, photos.folder / inside)


def photos_named(ids: Iterable[str], places: Places) -> list[str | None]:
    """The photo of each id; None if there is none. Raises `InputError` for an id of two."""
    ids = list(map(str, ids))
    found = places.of_all(ids)
    for name, photos in zip(ids, found):
        if len(photos) > 1:
            raise InputError(f"{name!r} may be {' or '.join(photos[:2])}: give its path")
    return [photos[0] if photos else None for photos in found]


def in_test(photo: str) -> bool:
    return any(split_named(part) == "test" for part in Path(photo).parts[:-1])


def with_places(rows: pd.DataFrame, table: Path, places: Places) -> pd.DataFrame:
    """Column path: where the photo of each row's id lies, below the folder of the table.

    An id without a photo stays as it is, so that it is named as missing. Raises `InputError`.
    """
    try:
        found = photos_named(rows["path"], places)
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    if not any(found):
        raise InputError(f"{table}: no photo below {table.parent} has a name of its ids")
    return rows.assign(path=[place or name for place, name in zip(found, rows["path"])])
