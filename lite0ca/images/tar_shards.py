"""Photos inside tar files: what `--data-dir "shards/{000..099}.tar"` names, and in which order.

`python -m lite0ca shard` writes them, in WebDataset's layout, with a table beside: metadata.csv, in
which a path is `000.tar#OFFSET-END`. So one photo is read without the rest of its tar, every epoch
sees every photo exactly once, and all else works as with files. An epoch goes through the tars a
few at a time, so that a slow disk or a network is read in one sweep.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from lite0ca.errors import InputError

INSIDE = re.compile(r"(.+\.tar)#(\d+)-(\d+)$")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
AT_ONCE = 8  # tars that an epoch mixes: 0.8 GB of 100 MB each, which stay in memory


def named(source: str | Path) -> bool:
    """Whether this names tar files: by its ending."""
    return str(source).endswith(".tar")


def expanded(pattern: str) -> list[Path]:
    """`a/{00..02}.tar` -> its three files; * and ? work as in a shell. Raises `InputError`."""
    first_text, *rest = RANGE.split(pattern)  # text, then from, to, text, from, to, text ...
    texts = [[first_text]]
    for low, high, text in zip(rest[::3], rest[1::3], rest[2::3]):
        numbers = range(int(low), int(high) + 1)
        texts += [[f"{number:0{len(low)}}" for number in numbers], [text]]
    names = ["".join(parts) for parts in itertools.product(*texts)]
    files = [Path(f) for name in names for f in (sorted(glob.glob(name)) or [name])]
    if not files:
        raise InputError(f"--data-dir {pattern}: names no file; the lower number comes first")
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"--data-dir {pattern}: there is no {missing[0]}")
    return files


def table_of(files: list[Path]) -> Path:
    """The metadata.csv beside the tars. Raises `InputError`."""
    table = files[0].parent / "metadata.csv"
    if not table.is_file():
        raise InputError(
            f"{files[0].parent}: has tars but no metadata.csv that says where their photos lie; "
            "write both with: python -m lite0ca shard"
        )
    return table


def rows_in(files: list[Path], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose photos lie in the tars. Raises `InputError` if there are none."""
    inside = rows["path"].str.partition(".tar#")[0] + ".tar"
    rows = rows[inside.isin({file.name for file in files})].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{files[0].parent / 'metadata.csv'}: lists no photo of the named tars")
    return rows


def place_of(path: str | Path) -> tuple[str, int, int] | None:
    """(tar, offset, length) of a photo in a tar; None for a file of its own."""
    found = INSIDE.match(str(path))
    return (found[1], int(found[2]), int(found[3]) - int(found[2])) if found else None


def tars_of(paths) -> np.ndarray | None:
    """A number for each photo, (photos,): that of its tar; None if none lies in a tar."""
    names = [place[0] if (place := place_of(path)) else "" for path in paths]
    return np.unique(names, return_inverse=True)[1] if any(names) else None


def sweep(tars: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(an order of all photos, the turn of each one's tar): tars shuffled, a few mixed at once."""
    turn = rng.permutation(tars.max() + 1)[tars]
    return np.lexsort((rng.random(len(tars)), turn // AT_ONCE)), turn


def read_ahead(file) -> None:
    """Ask the system for the whole of a tar: its other photos come next."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
