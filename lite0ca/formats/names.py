"""What a trained model calls its classes: names.json in its folder, else what training has read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lite0ca.formats.run_files import run_folder
from lite0ca.settings.names_file import NAMES, read_names


def names_of(run: str | Path, metadata: Mapping) -> dict[str, dict[str, str]]:
    """Class -> its name by language, of a run folder, a checkpoint or an exported file.

    `metadata` is what the model says of itself. For `display_names`, which knows more. Raises
    `InputError` for a names.json that cannot be used.
    """
    file = run_folder(run) / NAMES
    if os.path.lexists(file):
        return read_names(file, metadata["label2id"])
    return metadata.get("names", {})
