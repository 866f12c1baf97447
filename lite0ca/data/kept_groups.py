"""Near-duplicates sought once: kept beside the caches of photos for the next fold, seed or run.

Two cores seek two and a half minutes among 1,542 photos; every fold would do so again.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from lite0ca.data import near_duplicates
from lite0ca.files.json_files import known_json, write_json
from lite0ca.images.reading import stamp_of
from lite0ca.machine.environment import cache_folder
from lite0ca.settings.config import Config

LAYOUT = f"1 {cv2.__version__}"  # of the file and of the search; another number is another file
OURS = re.compile("groups-[0-9a-f]{20}.json")
MOST = 50  # data sets; the oldest give way


def folder_of(config: Config) -> Path | None:
    """Where groups are kept: with the photos; None where --cache none asks for nothing kept."""
    if config.cache == "none":
        return None
    return Path(config.cache_dir) if config.cache_dir else cache_folder()


def find_groups(
    files: Sequence[str], folder: Path | None, bar: Callable | None = None
) -> tuple[np.ndarray, bool]:
    """(`near_duplicates.find_groups` of the files, whether they were found before).

    A file that was changed, or is there no more, or another order of them is another search.
    """
    if folder is None:
        return near_duplicates.find_groups(files, bar), False
    digest = hashlib.sha256(f"{LAYOUT}\n".encode())
    for path in files:
        digest.update(f"{path}\t{stamp_of(path)}\n".encode(errors="surrogateescape"))
    file = folder / f"groups-{digest.hexdigest()[:20]}.json"
    kept = known_json(file).get("groups")
    if is_groups(kept, len(files)):
        return np.array(kept), True
    groups = near_duplicates.find_groups(files, bar)
    with contextlib.suppress(OSError):  # where nothing can be kept it is sought again
        write_json(file, {"groups": groups.tolist()})
        remove_oldest(folder)
    return groups, False


def is_groups(kept, files: int) -> bool:
    return (
        isinstance(kept, list)
        and len(kept) == files
        and all(type(number) is int and 0 <= number < files for number in kept)
    )


def remove_oldest(folder: Path) -> None:
    """All but the newest of the files that have our names; the folder may be a user's own."""
    found = [file for file in folder.glob("groups-*.json") if OURS.fullmatch(file.name)]
    found.sort(key=lambda file: file.stat().st_mtime)
    for file in found[:-MOST]:
        file.unlink(missing_ok=True)
