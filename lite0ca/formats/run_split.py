"""data.csv of a run: which of its photos trained, which chose the epoch, which test it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lite0ca.data.layout import SPLITS
from lite0ca.errors import InputError, opening
from lite0ca.files.reading import read_bytes
from lite0ca.formats.run_files import TABLE, run_folder
from lite0ca.settings.fields import unknown


def split_of(run: str | Path, checkpoint: Mapping) -> pd.DataFrame:
    """path, label, split, perhaps group, bytes, as text. Raises `InputError`.

    `checkpoint` says the table's sha256, from version 0.3 on: another table is refused.
    """
    path = run_folder(run) / TABLE
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise InputError(f"{path}: is gone, and with it which image was in which split") from None
    sha256 = checkpoint.get("sha256", {}).get(TABLE)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{path}: is damaged, or not the table that the run began with; put back a copy of it"
        )
    with opening(path, "is damaged; put back a copy of it"):
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        if missing := {"path", "label", "split", "bytes"} - set(table):
            raise ValueError(f"it has no column {min(missing)!r}")
        if strange := set(table["split"]) - set(SPLITS):
            raise ValueError(f"split {unknown(min(strange), SPLITS)}")
        table["bytes"].astype(int)
    return table


def split_if_kept(run: str | Path, checkpoint: Mapping) -> pd.DataFrame | None:
    """As `split_of`; None of a checkpoint or an exported file away from the run's folder."""
    return split_of(run, checkpoint) if (run_folder(run) / TABLE).is_file() else None
