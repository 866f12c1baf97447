"""What tables call the columns that are read, and samples of submissions themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable

IDS = ("path", "image_path", "file_path", "filepath", "filename", "file_name", "file", "image_id")
IDS += ("image", "image_name", "image_file", "img", "img_path", "img_id", "img_name", "photo")
IDS += ("photo_id", "id_code", "id", "name")
LABELS = ("label", "labels", "class", "class_name", "disease", "disease_name", "diagnosis")
LABELS += ("category", "category_name", "label_name", "target", "class_id", "label_id")
SUBMISSION = re.compile(r"submission|submit", re.IGNORECASE)  # in the name of a sample's file


def plain_names(columns: Iterable[str]) -> dict[str, str]:
    """The columns by their `plain_name_of`."""
    return {plain_name_of(name): name for name in columns}


def plain_name_of(column: str) -> str:
    """`Image ID` -> `image_id`"""
    return re.sub(r"[\W_]+", "_", column.strip().lower())
