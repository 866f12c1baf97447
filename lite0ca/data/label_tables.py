"""The table of a competition: an id and a label a row, and the photos somewhere beside it.

Cassava, APTOS and Paddy Doctor come so: train.csv, train_images/, test_images/. An id is a photo's
name, with its ending or without, or its path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lite0ca.data.layout import named, split_named, split_within
from lite0ca.data.metadata_csv import columns_of, is_listing, read_csv
from lite0ca.errors import InputError, composed, first_line, opening
from lite0ca.images.folder_walk import Below

IDS = ("path", "image_path", "file_path", "filepath", "filename", "file_name", "file", "image_id")
IDS += ("image", "image_name", "image_file", "img", "img_path", "img_id", "img_name", "photo")
IDS += ("photo_id", "id_code", "id", "name")
LABELS = ("label", "labels", "class", "class_name", "disease", "disease_name", "diagnosis")
LABELS += ("category", "category_name", "label_name", "target", "class_id", "label_id")
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
        ids = id_column(columns)
        class_columns(file, columns, ids)
        first = pd.read_csv(file, dtype=str, keep_default_na=False, nrows=200, encoding="utf-8-sig")
        places = Places(photos, os.path.dirname(table))
        found = any(places.find(str(one)) for one in first[ids])
    except (ValueError, OSError, KeyError) as error:  # pandas' own are ValueErrors
        return first_line(error)
    return None if found else f"no photo below its folder has a name of its {ids!r}"


def id_column(columns: list[str]) -> str:
    """The column of photos' names, by its usual names. Raises `InputError` if there is none."""
    plain = plain_names(columns)
    if ids := next((plain[name] for name in IDS if name in plain), None):
        return ids
    hint = "; separate them by commas" if len(columns) == 1 else ""
    raise InputError(f"has no column 'path' (its columns: {', '.join(columns)[:200]}{hint})")


def class_columns(file: Path, columns: list[str], ids: str) -> list[str]:
    """The label column by its usual names, the only other one, or a column of 0 and 1 a class.

    Raises `InputError` if there is none of these.
    """
    plain = plain_names(columns)
    if label := next((plain[name] for name in LABELS if name in plain), None):
        return [label]
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
    raise InputError(f"has no column 'label' (its columns: {', '.join(columns)[:200]})")


def plain_names(columns: Iterable[str]) -> dict[str, str]:
    return {re.sub(r"[\W_]+", "_", name.strip().lower()): name for name in columns}


def read_labels(table: Path, photos: Below) -> tuple[pd.DataFrame, str]:
    """(rows as `read_csv` gives them, how the table was read). Raises `InputError`."""
    columns = columns_of(table)
    try:
        ids = id_column(columns)
        classes = class_columns(table, columns, ids)
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    if len(classes) == 1:
        rows = read_csv(table, {ids: "path", classes[0]: "label"})
        said = f"the column {classes[0]!r}"
    else:
        rows = read_csv(table, {ids: "path"}, one_of=classes)
        said = f"the columns {named(classes)}, one of which is 1"
    rows = with_places(rows, table, photos)
    unread = [name for name in columns if name not in {ids, *classes, "split", "group"}]
    rest = f"; columns that are not read: {named(unread)}" if unread else ""
    return rows, f"labels by {said} of {table.name}, photos by {ids!r}{rest}"


class Places:
    """Photos below a folder by path, by name and by name without ending, in NFC.

    Those of a folder for testing are no place for a row of a training table.
    """

    def __init__(self, photos: Below, inside: str):
        start = f"{inside}/" if inside else ""
        below = [p for p in photos.photos if p.startswith(start)]
        self.by_name: dict[str, list[str]] = {}
        for photo in below:
            if in_test(photo[len(start) :]):
                continue
            path = composed(photo[len(start) :])
            name = os.path.basename(path)
            for key in {path, name, os.path.splitext(name)[0], os.path.splitext(path)[0]}:
                self.by_name.setdefault(key, []).append(photo)

    def find(self, name: str) -> str | None:
        """The photo of an id; None if there is none. Raises `InputError` for two."""
        plain = composed(name.strip().replace("\\", "/")).removeprefix("./")
        found = self.by_name.get(plain) or self.by_name.get(os.path.basename(plain)) or []
        if len(found) > 1:
            raise InputError(f"{name!r} may be {' or '.join(found[:2])}: give its path")
        return found[0] if found else None


def in_test(photo: str) -> bool:
    return any(split_named(part) == "test" for part in Path(photo).parts[:-1])


def with_places(rows: pd.DataFrame, table: Path, photos: Below) -> pd.DataFrame:
    """Column path: where the photo of each row's id lies, below the folder of the table.

    An id without a photo stays as it is, so that it is named as missing. Raises `InputError`.
    """
    inside = os.path.relpath(table.parent, photos.folder)
    inside = "" if inside == "." else inside
    places = Places(photos, inside)
    try:
        found = [places.find(str(name)) for name in rows["path"]]
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    if not any(found):
        raise InputError(f"{table}: no photo below {table.parent} has a name of its ids")
    below = [os.path.relpath(one, inside or ".") if one else None for one in found]
    return rows.assign(path=[place or name for place, name in zip(below, rows["path"])])
