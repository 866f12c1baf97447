"""Where a data set's decoded photos are kept: on disk, in memory, or nowhere, as room allows."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL

from lite0ca.errors import InputError, printable
from lite0ca.files.folders import make_folder
from lite0ca.images.photo_store import NAMELESS, PAGE, PhotoReader, Store, slot_bytes
from lite0ca.images.reading import side_for, size_of, stamp_of
from lite0ca.machine import distributed
from lite0ca.machine.environment import cache_folder
from lite0ca.machine.memory import free_memory_gb
from lite0ca.settings.config import Config

# Of the file and of what `read_image` gives; another number, or another version of what decodes
# and shrinks (a new libjpeg may round otherwise), is another file.
LAYOUT = f"2 {PIL.__version__} {cv2.__version__}"
OURS = re.compile("photos-[0-9a-f]{20}")  # the names of the files
MEASURED = 64  # photos whose sizes stand for all when a place is chosen
SPARE_GB = 1.0  # of the disk or memory, left to others
SHARED_MEMORY = Path("/dev/shm")


def open_reader(config: Config, paths: Sequence[str]) -> PhotoReader:
    """The reader of a data set, with the cache that --cache asks for; says which.

    Raises `InputError` if it asks for one that has no room.
    """
    side = side_for(config.image_size)
    if config.cache == "none":
        return PhotoReader(config.image_size)
    digest = hashlib.sha256(f"{LAYOUT} {side}\n".encode())
    for path in paths:
        digest.update(f"{path}\t{stamp_of(path)}\n".encode(errors="surrogateescape"))
    name = f"photos-{digest.hexdigest()[:20]}"
    need_gb = expected_gb(paths, side)
    folder = Path(config.cache_dir) if config.cache_dir else cache_folder()
    kind = distributed.from_first(lambda: place(config, folder, name, need_gb))
    if kind == "none":
        return PhotoReader(config.image_size)
    if kind == "disk":
        make_folder(folder)  # of another machine's rank, perhaps
    file = folder / name if kind == "disk" else SHARED_MEMORY
    is_new = not os.path.lexists(file)
    try:
        store = Store(file, paths, side) if kind == "disk" else store_in_memory(paths, side)
    except OSError as error:  # a quota, a file system with small files
        if is_new:
            file.unlink(missing_ok=True)
        if config.cache != "auto" or distributed.count() > 1:
            raise InputError(f"--cache {kind}: {file}: {error.strerror}") from None
        print(printable(f"cache: none ({file}: {error.strerror})"))
        return PhotoReader(config.image_size)
    if kind == "disk":
        os.utime(store.descriptor)  # the oldest gives way when room is needed
    what = f"photos with a shorter side of at most {side} pixels"
    print(f"cache: {kind}, {amount(need_gb)} ({what})")
    return PhotoReader(config.image_size, store)


def store_in_memory(paths: Sequence[str], side: int) -> Store:
    """A cache without a name: one rank of each machine makes it, the others open that one's.

    Raises `OSError`.
    """
    store, place = None, None
    if distributed.first_on_this_machine():
        store = Store(SHARED_MEMORY, paths, side, NAMELESS)
        place = f"/proc/{os.getpid()}/fd/{store.descriptor}"
    machine = distributed.machine()
    places = dict(pair for pair in distributed.from_all((machine, place)) if pair[1])
    store = store or Store(Path(places[machine]), paths, side, os.O_RDWR)
    distributed.wait()  # nobody leaves before all have opened it
    return store


def amount(gb: float) -> str:
    """As a person says it: 12.3 GB, 4 MB."""
    return f"{gb:.3g} GB" if gb >= 1 else f"{max(1, round(1000 * gb))} MB"


def place(config: Config, folder: Path, name: str, need_gb: float) -> str:
    """ "disk", "ram" or "none": what --cache asks for, with room made for it."""
    if not hasattr(os, "preadv"):
        if config.cache != "auto":
            raise InputError(f"--cache {config.cache}: this system has no preadv, only auto")
        return "none"
    why_not = {
        "disk": no_room_on_disk(folder, need_gb, config.cache_limit_gb),
        "ram": no_room_in_memory(need_gb),
    }
    wanted = ("disk", "ram") if config.cache == "auto" else (config.cache,)
    kind = next((kind for kind in wanted if not why_not[kind]), "none")
    if kind == "none" and config.cache != "auto":
        raise InputError(f"--cache {config.cache}: {why_not[config.cache]}")
    if kind == "none":
        print(printable(f"cache: none ({why_not['disk']}; {why_not['ram']})"))
    if kind == "disk":
        make_room(folder, name, need_gb, config.cache_limit_gb)
    return kind


def expected_gb(paths: Sequence[str], side: int) -> float:
    """What the cache of all photos will take, by the sizes of some."""
    step = max(1, len(paths) // MEASURED)
    pixels = []
    for path in paths[::step]:
        with contextlib.suppress(Exception):  # a bad file is found when it is read
            width, height = size_of(path)
            pixels.append(width * height * min(1, side / min(width, height)) ** 2)
    return len(paths) * min(slot_bytes(side), 3 * float(np.mean(pixels or [0])) + PAGE / 2) / 1e9


def no_room_on_disk(folder: Path, need_gb: float, limit_gb: float) -> str | None:
    """Why a cache of that size cannot lie in a folder; None if it can."""
    if need_gb > limit_gb:
        return f"about {amount(need_gb)} are needed, --cache-limit-gb allows {limit_gb:g} GB"
    try:
        make_folder(folder)
        if not os.access(folder, os.W_OK):
            return f"nothing can be written in {folder}"
    except OSError as error:
        return f"{folder}: {error.strerror}"
    free_gb = shutil.disk_usage(folder).free / 1e9 + sum(map(taken_gb, caches_in(folder)))
    if need_gb + SPARE_GB > free_gb:
        return f"{needed(need_gb)}, {amount(free_gb)} of disk are free"
    return None


def no_room_in_memory(need_gb: float) -> str | None:
    """Why a cache of that size cannot lie in memory; None if it can."""
    if not SHARED_MEMORY.is_dir():
        return "memory that processes share is a Linux folder, /dev/shm, which is not here"
    free_gb = min(shutil.disk_usage(SHARED_MEMORY).free / 1e9, free_memory_gb() / 2)
    if need_gb + SPARE_GB > free_gb:
        return f"{needed(need_gb)}, {amount(free_gb)} of memory can be had"
    return None


def needed(gb: float) -> str:
    return f"about {amount(gb)} are needed and {SPARE_GB:g} GB is left to others"


def make_room(folder: Path, name: str, need_gb: float, limit_gb: float) -> None:
    """Remove the caches used longest ago until the new one fits; users keep what they opened."""
    others = sorted((file for file in caches_in(folder) if file.name != name), key=used_at)
    free_gb = shutil.disk_usage(folder).free / 1e9 + taken_gb(folder / name)
    room_gb = min(limit_gb - sum(map(taken_gb, others)), free_gb - SPARE_GB)
    for file in others:
        if need_gb <= room_gb:
            return
        room_gb += taken_gb(file)
        print(f"cache: an older one of {taken_gb(file):.2g} GB is removed")
        file.unlink(missing_ok=True)


def caches_in(folder: Path) -> list[Path]:
    """Files that have the names we give, and no others: the folder may be a user's own."""
    found = (file for file in folder.glob("photos-*") if OURS.fullmatch(file.name))
    return [file for file in found if file.is_file() and not file.is_symlink()]


def used_at(file: Path) -> float:
    """When a run last began with this cache; another run may have removed it meanwhile."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def taken_gb(file: Path) -> float:
    """Disk that a file takes; its holes take none."""
    try:
        return file.stat().st_blocks * 512 / 1e9
    except FileNotFoundError:
        return 0.0
