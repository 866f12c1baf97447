"""What a trained model calls its classes: names.json in its folder, else what training has read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lite0ca.formats.run_files import SETTINGS, run_folder
from lite0ca.settings.names_file import NAMES, read_names


def names_of(run: str | Path, metadata: Mapping) -> dict[str, dict[str, str]]:
    """Class -> its name by language, of a run folder, a checkpoint or an exported file.

    Only a run's own folder counts, which has its settings: beside a file that was copied elsewhere
    lie other programs' files. `metadata` is what the model says of itself. For `display_names`,
    which knows more. Raises `InputError` for a names.json that cannot be used.
    """
    folder = run_folder(run)
    file = folder / NAMES
    if os.path.lexists(file) and (folder / SETTINGS).is_file():
        return read_names(file, metadata["label2id"])
    return metadata.get("names", {})
