"""Where data is looked for, and folders and tars of classes read into a table."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from lite0ca.data.metadata_csv import SPLIT_NAMES, read_csv
from lite0ca.errors import InputError
from lite0ca.images import tar_shards
from lite0ca.images.reading import (
    images_in,
    is_image,
)
from lite0ca.images.tar_shards import expanded, rows_in, table_of
from lite0ca.machine.environment import kaggle_folders
from lite0ca.settings.config import Config


def one_line(name: str) -> str:
    """A file name as it can be printed: not endless, no line breaks or bytes that are no text."""
    name = name if len(name) <= 200 else f"{name[:200]}…"
    return name if name.isprintable() else ascii(name)[1:-1]


def find(config: Config) -> tuple[Path, str]:
    """(CSV file or folder, how it was found)."""
    if config.metadata:
        return existing(config.metadata, "--metadata", is_folder=False), "--metadata"
    if config.data_dir and tar_shards.named(config.data_dir):
        return Path(config.data_dir), "--data-dir"
    if config.data_dir:
        return existing(config.data_dir, "--data-dir", is_folder=True), "--data-dir"
    if os.path.isfile("data/metadata.csv"):
        return Path("data/metadata.csv"), "found without flags"
    if named := os.environ.get("LITE0CA_DATA"):
        return existing(named, "$LITE0CA_DATA"), "$LITE0CA_DATA"
    attached = [source for folder in kaggle_folders() for source in look_in(folder)]
    if len(attached) > 1:
        listed = ", ".join(map(str, attached))
        raise InputError(f"several data sets are attached: {listed}; name one with --data-dir")
    if attached:
        return attached[0], "attached on Kaggle"
    raise InputError(
        "no data: give --metadata FILE.csv or --data-dir FOLDER, put it at data/metadata.csv, "
        "or try the drawn sample: python -m lite0ca sample"
    )


def existing(path: str, flag: str, is_folder: bool | None = None) -> Path:
    found = Path(path)
    if not os.path.exists(path):  # where Path.exists would raise for a name too long
        raise InputError(f"{flag} {one_line(path)}: does not exist")
    if is_folder is not None and found.is_dir() != is_folder:
        raise InputError(f"{flag} {path}: must be a {'folder' if is_folder else 'CSV file'}")
    if found.is_dir() and (found / "metadata.csv").is_file() and is_folder is None:
        return found / "metadata.csv"
    return found


def look_in(folder: Path, depth: int = 4) -> list[Path]:
    """Every metadata.csv and folder of classes in or below `folder`, none inside another."""
    if (folder / "metadata.csv").is_file():
        return [folder / "metadata.csv"]
    if len({inner.name for _, inner in class_folders(folder)}) >= 2:
        return [folder]
    below = subfolders(folder) if depth else []
    return [found for inner in below for found in look_in(inner, depth - 1)]


def subfolders(folder: Path) -> list[Path]:
    """Those that are not hidden, and no link to where we are or above."""
    inside = (path for path in folder.iterdir() if not path.name.startswith("."))
    here = folder.resolve()
    return sorted(p for p in inside if p.is_dir() and not here.is_relative_to(p.resolve()))


def class_folders(folder: Path) -> list[tuple[str | None, Path]]:
    """(split, class folder) of a folder of classes, or of one with train/valid/test above them."""
    inside = subfolders(folder)
    splits = [(SPLIT_NAMES[f.name.lower()], f) for f in inside if f.name.lower() in SPLIT_NAMES]
    above = splits or [(None, folder)]
    classes = [(split, inner) for split, outer in above for inner in subfolders(outer)]
    with_images = [(split, inner) for split, inner in classes if next(images_in(inner), None)]
    # train_images/<class> beside test_images: folders of classes are not classes.
    return [] if any(holds_classes(inner) for _, inner in with_images) else with_images


def holds_classes(folder: Path) -> bool:
    """Whether the images lie in two or more sub-folders, and none in the folder itself."""
    if any(is_image(name) for name in os.listdir(folder)):
        return False
    return sum(next(images_in(inner), None) is not None for inner in subfolders(folder)) >= 2


def read_folder(folder: Path) -> pd.DataFrame:
    """Columns path and label, and split if there are train/valid/test folders."""
    rows = [
        {"path": os.path.relpath(image, folder), "label": inner.name, "split": split}
        for split, inner in class_folders(folder)
        for image in images_in(inner)
    ]
    if not rows:
        inner = [f.name for f in subfolders(folder)][:5]
        raise InputError(
            f"{folder}: expected a sub-folder with images for each class, or train/valid/test "
            f"above them; found {', '.join(inner) if inner else 'no sub-folder'}"
        )
    table = pd.DataFrame(rows)
    return table.drop(columns="split") if table["split"].isna().all() else table


def read_tars(pattern: Path) -> pd.DataFrame:
    """As `read_csv`, of the photos in the tars that the pattern names."""
    files = expanded(str(pattern))
    return rows_in(files, read_csv(table_of(files)))
