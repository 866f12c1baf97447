"""Photos inside tar files: what `--data-dir "shards/{000..099}.tar"` names, and in which order.

`lite0ca shard` writes them, in WebDataset's layout, with a table beside: metadata.csv, in
which a path is `000.tar#OFFSET-END#CRC32`. So one photo is read without the rest of its tar, every
epoch sees every photo exactly once, and all else works as with files. An epoch goes through the
tars a few at a time, so that a slow disk or a network is read in one sweep.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import math
import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lite0ca.errors import InputError, opening
from lite0ca.files.reading import read_bytes

if TYPE_CHECKING:
    import pandas as pd

# What was packed by version 0.2 has no checksum (crc32) behind it.
INSIDE = re.compile(r"(.+\.tar)#(\d{1,15})-(\d{1,15})(?:#([0-9a-f]{8}))?", re.DOTALL)
RANGE = re.compile(r"\{(\d{1,15})\.\.(\d{1,15})\}")
MOST = 100_000  # tars that a pattern may name
TABLE, SUMS = "metadata.csv", "SHA256SUMS"
AT_ONCE = 8  # tars that an epoch mixes: 0.8 GB of 100 MB each, which stay in memory


def named(source: str | Path) -> bool:
    """Whether this names tar files: by its ending."""
    return str(source).endswith(".tar")


def expanded(pattern: str) -> list[Path]:
    """`a/{00..02}.tar` -> its three files; * and ? work as in a shell. Raises `InputError`."""
    first_text, *rest = RANGE.split(pattern)  # text, then from, to, text, from, to, text ...
    texts = [[first_text]]
    ranges = [range(int(low), int(high) + 1) for low, high in zip(rest[::3], rest[1::3])]
    if (count := math.prod(map(len, ranges))) > MOST:
        raise InputError(f"--data-dir {pattern}: names {count:,} tars; {MOST:,} at most")
    for numbers, low, text in zip(ranges, rest[::3], rest[2::3]):
        texts += [[f"{number:0{len(low)}}" for number in numbers], [text]]
    names = ["".join(parts) for parts in itertools.product(*texts)]
    found = (f for name in names for f in (sorted(glob.glob(name)) or [name]))
    files = [Path(f) for f in itertools.islice(found, MOST + 1)]
    if len(files) > MOST:
        raise InputError(f"--data-dir {pattern}: names more than {MOST:,} tars")
    if not files:
        raise InputError(f"--data-dir {pattern}: names no file; the lower number comes first")
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"--data-dir {pattern}: there is no {missing[0]}")
    return files


def table_of(files: list[Path]) -> Path:
    """The metadata.csv beside the tars. Raises `InputError`, also if its checksum is wrong."""
    table = files[0].parent / TABLE
    if not table.is_file():
        raise InputError(
            f"{files[0].parent}: has tars but no metadata.csv that says where their photos lie; "
            "write both with: lite0ca shard"
        )
    refuse_changed(table.parent)
    return table


def sums_of(contents: dict[str, bytes]) -> str:
    """What `sha256sum` prints of files by name, for `sha256sum --check`."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def refuse_changed(folder: Path) -> None:
    """Raise `InputError` unless the tables beside tars are as they were packed, by `SUMS`.

    A digit of an offset that is another makes one photo another. Shards of version 0.2 have none.
    """
    if not (folder / SUMS).exists():
        return
    sums = read_bytes(folder / SUMS)
    with opening(folder / SUMS, "is damaged; take a copy, or pack the shards again"):
        lines = [line.split("  ") for line in sums.decode("ascii").splitlines()]
        names = [name for _, name in lines]
        if TABLE not in names or set(map(os.path.basename, names)) != set(names):
            raise ValueError(f"does not say the sha256 of {TABLE}")
        for name in names:
            if sums_of({name: read_bytes(folder / name)}) not in sums.decode("ascii"):
                raise InputError(
                    f"{folder / name}: is damaged, or was changed since the shards were packed; "
                    f"put back a copy, or, if the change is yours, remove {folder / SUMS}"
                )


def rows_in(files: list[Path], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose photos lie in the tars. Raises `InputError` if there are none."""
    inside = rows["path"].str.partition(".tar#")[0] + ".tar"
    rows = rows[inside.isin({file.name for file in files})].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"{files[0].parent / 'metadata.csv'}: lists no photo of the named tars")
    return rows


def place_of(path: str | Path) -> tuple[str, int, int] | None:
    """(tar, offset, length) of a photo in a tar; None for a file of its own."""
    found = INSIDE.fullmatch(str(path))
    if not found or int(found[3]) < int(found[2]):
        return None
    return found[1], int(found[2]), int(found[3]) - int(found[2])


def is_intact(path: str | Path, content: bytes) -> bool:
    """Whether the bytes of a photo in a tar are those that were packed."""
    found = INSIDE.fullmatch(str(path))
    return not found or found[4] is None or zlib.crc32(content) == int(found[4], 16)


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
