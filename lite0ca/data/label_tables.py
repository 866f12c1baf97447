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

from lite0ca.data.layout import named, split_named
from lite0ca.data.metadata_csv import columns_of, is_listing
from lite0ca.errors import InputError
from lite0ca.images.folders import Below, composed

IDS = ("path", "image_path", "file_path", "filepath", "filename", "file_name", "file", "image_id")
IDS += ("image", "image_name", "image_file", "img", "img_path", "img_id", "img_name", "photo")
IDS += ("photo_id", "id_code", "id", "name")
LABELS = ("label", "labels", "class", "class_name", "disease", "disease_name", "diagnosis")
LABELS += ("category", "category_name", "label_name", "target", "class_id", "label_id")
# Names of tables by what is expected in them; the first kind that is there is read.
KINDS = (r"metadata", r"train.*|.*train", r".*(label|annotation|class).*", r".*")
NO_LABELS = re.compile(r"submission|(^|[\W_])(test|valid|val|dev)|solution|source|prediction")


def table_beside(photos: Below, inside: str) -> str | None:
    """The CSV of a folder that labels photos below it, as its path below `photos.folder`.

    `inside` is the folder, "" for the uppermost. Raises `InputError` if two say the same.
    """
    tables = [table for table in photos.tables if os.path.dirname(table) == inside]
    fitting = [table for table in tables if labels_photos(photos, table)]
    for kind in KINDS:
        of_kind = [t for t in fitting if re.fullmatch(kind, Path(t).stem.lower())]
        if len(of_kind) > 1:
            raise InputError(
                f"{photos.folder}: {named(of_kind)} all label photos; name one with --metadata"
            )
        if of_kind:
            return of_kind[0]
    return None


def labels_photos(photos: Below, table: str) -> bool:
    """Whether a CSV has an id and a label column, and some id is a photo's below its folder."""
    if NO_LABELS.search(Path(table).stem.lower()):
        return False
    file = photos.folder / table
    try:
        columns = columns_of(file)
        if is_listing(columns):
            return True
        ids, _ = id_and_label(columns)
        first = pd.read_csv(file, dtype=str, keep_default_na=False, nrows=200, encoding="utf-8-sig")
    except (ValueError, OSError):  # InputError and pandas' own among them: no table of labels
        return False
    if ids not in first:
        return False
    places = Places(photos, os.path.dirname(table))
    return any(places.find(str(one)) for one in first[ids])


def id_and_label(columns: Iterable[str]) -> tuple[str, str]:
    """The two columns by their usual names. Raises `InputError` if one is not there."""
    columns = list(columns)
    plain = {re.sub(r"[\W_]+", "_", name.strip().lower()): name for name in columns}
    ids = next((plain[name] for name in IDS if name in plain), None)
    labels = next((plain[name] for name in LABELS if name in plain), None)
    if ids and not labels and len(columns) == 2:
        labels = next(name for name in columns if name != ids)
    missing = "path" if not ids else "label"
    if not ids or not labels:
        has = ", ".join(columns)[:200]
        hint = "; separate them by commas" if len(columns) == 1 else ""
        raise InputError(f"has no column {missing!r} (its columns: {has}{hint})")
    return ids, labels


class Places:
    """Photos below a folder by path, by name and by name without ending, in NFC.

    Those of a folder for testing are no place for a row of a training table.
    """

    def __init__(self, photos: Below, inside: str):
        start = f"{inside}/" if inside else ""
        below = [p for p in photos.photos if p.startswith(start)]
        self.photos = [p for p in below if not in_test(p[len(start) :])]
        self.kept_out = len(below) - len(self.photos)
        self.by_name: dict[str, list[str]] = {}
        for photo in self.photos:
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
