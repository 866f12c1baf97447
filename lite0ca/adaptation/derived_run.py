"""The run folder of a model that was made of another run's: that run's own files, and the model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.evaluation.model_card import write_card
from lite0ca.files.destination import check_writable
from lite0ca.files.reading import read_bytes
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.checkpoint import save_checkpoint
from lite0ca.formats.run_files import BEST, SETTINGS, TABLE, digest, run_folder

KEPT = (SETTINGS, TABLE, "environment.json")  # beside the model they make a folder a run's


def new_folder(run: str, output_dir: str | None, ending: str) -> Path:
    """The folder to be made, `RUN_ending` or `output_dir`. Raises `InputError` if it is there."""
    folder = Path(output_dir or f"{run_folder(run).resolve()}_{ending}")
    if os.path.lexists(folder):
        raise InputError(f"{folder}: is there already; name another folder with --output-dir")
    check_writable(folder)
    return folder


def source_of(run: str) -> dict:
    """Where the model comes from, for the file that says it."""
    return {"from_run": run_folder(run).resolve().name, "from_sha256": digest(run)}


@contextlib.contextmanager
def derived_run(folder: Path, run: str, checkpoint: dict) -> Iterator[Path]:
    """Around what else is written into it; it appears whole at the end, and gets its card."""
    source = run_folder(run)
    with whole_folder(folder, shared=False) as made:
        for file in KEPT:
            if (source / file).is_file():
                with whole(made / file, "wb") as kept:
                    kept.write(read_bytes(source / file))
        save_checkpoint(made / BEST, checkpoint)
        yield made
    write_card(folder)
