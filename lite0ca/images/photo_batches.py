"""Photo files -> uint8 batches, read ahead by threads: a folder of any size in constant memory.

Threads do what loader processes would (`threads.py`), and begin at once.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from lite0ca.errors import InputError, printable
from lite0ca.images.folder_walk import on_disk, walk
from lite0ca.images.reading import HIDDEN, holds_image, read_image, side_for, why_no_photo
from lite0ca.images.resizing import squeezed
from lite0ca.images.threads import in_order
from lite0ca.machine.processor import cores

Files = list[tuple[str, str | None]]  # (path, what is wrong with the file) each


def photo_paths(named: Sequence[str | os.PathLike]) -> list[str]:
    """The files, and all images in and below the folders, in a fixed order.

    What a folder holds beside them is said on stderr. Raises `InputError`.
    """
    paths = []
    for name in named:
        name = on_disk("", os.fspath(name))
        if os.path.isdir(name):
            below = walk(name)
            below.without_links()
            beside = f" ({below.passed_over})" if below.passed_over else ""
            if not below.photos:
                raise InputError(f"{name}: no image in this folder{beside}")
            if beside:
                print(f"left out below {printable(name)}: {below.passed_over}", file=sys.stderr)
            if below.bare:
                print(f"{printable(name)}: {below.bare_folders}", file=sys.stderr)
            paths += [os.path.join(name, photo) for photo in below.photos]
        elif not os.path.exists(name):
            raise InputError(f"{name}: there is no such file or folder")
        elif (why := why_no_photo(name)) and not (why[0] == HIDDEN and holds_image(name)):
            raise InputError(f"{name}: is not an image that can be read ({why[0]}: {why[1]})")
        else:
            paths.append(name)
    return paths


def photo_batches(
    batches: Iterable[Sequence[str]], image_size: int, threads: int
) -> Iterator[tuple[np.ndarray | None, Files]]:
    """(photos (B, S, S, 3) of those that could be read, or None; all files) for each batch.

    Raises `InputError` where no more files can be opened.
    """
    read = partial(photo_of_file, image_size=image_size)
    for photos, files in batches_read(batches, read, threads):
        yield np.stack(photos) if photos else None, files


def batches_read(
    batches: Iterable[Sequence[str]], read: Callable[[str], Any], threads: int
) -> Iterator[tuple[list, Files]]:
    """(what `read` makes of the files that can be read, all files) for each batch, read ahead.

    `read` raises `OSError` for a file that cannot be read.
    """
    sizes, paths = itertools.tee(batches)
    found = in_order(partial(tried, read=read), itertools.chain.from_iterable(paths), threads)
    for batch in sizes:
        some = list(itertools.islice(found, len(batch)))
        yield [photo for photo, _ in some if photo is not None], [file for _, file in some]


def reading_threads(num_workers: int) -> int:
    """No more than cores."""
    return min(num_workers, cores())


def photo_of_file(path: str, image_size: int) -> np.ndarray:
    """uint8 (S, S, 3); raises `OSError`."""
    return squeezed(read_image(path, side_for(image_size)), image_size)


def tried(path: str, read: Callable[[str], Any]):
    """(what was read or None, (path, what is wrong with the file or None))."""
    try:
        return read(path), (path, None)
    except OSError as error:
        return None, (path, str(error))
