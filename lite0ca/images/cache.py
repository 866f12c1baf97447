"""Photos decoded once: one file of uint8 pixels that every loader process and rank reads and fills.

The file holds an entry a photo (height, width, checksum), then a slot a photo. Whoever decodes a
photo first keeps it there: pixels before their entry, and an entry counts only with the right
checksum. So a kill, a full disk, a file cut short or two writers at once cost a second decoding,
never a wrong picture. The file is sparse: slots that are not filled take no space.

It is read with `preadv`, not mapped: what a map cannot get (of a file that was cut, of a full
/dev/shm) is no error but the end of the process.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL

from lite0ca.errors import InputError, printable
from lite0ca.files.folders import make_folder
from lite0ca.images.reading import read_image, side_for, size_of, stamp_of
from lite0ca.machine import distributed
from lite0ca.machine.environment import cache_folder
from lite0ca.machine.memory import free_memory_gb
from lite0ca.settings.config import Config

# Of the file and of what `read_image` gives; another number, or another version of what decodes
# and shrinks (a new libjpeg may round otherwise), is another file.
LAYOUT = f"2 {PIL.__version__} {cv2.__version__}"
ENTRY = np.dtype([("height", "<u4"), ("width", "<u4"), ("checksum", "<u4")])
OURS = re.compile("photos-[0-9a-f]{20}")  # the names of the files
PAGE = 4096
MEASURED = 64  # photos whose sizes stand for all when a place is chosen
SPARE_GB = 1.0  # of the disk or memory, left to others
SHARED_MEMORY = Path("/dev/shm")
# Not through a symlink, which another user may have put there, and not waiting for a pipe's reader.
NAMED = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
NAMELESS = os.O_RDWR | getattr(os, "O_TMPFILE", 0)  # freed with its last descriptor


class PhotoReader:
    """Reads photos as training at `image_size` needs them: from the cache, or from their files.

    Both give the same pixels, since the cache keeps what the file gave.
    """

    def __init__(self, image_size: int, store: Store | None = None):
        self.side, self.store = side_for(image_size), store

    def slots_of(self, paths: Iterable[str]) -> np.ndarray:
        """The slot of each file, (files,) int64; -1 for those that have none."""
        known = self.store.slots if self.store else {}
        return np.array([known.get(path, -1) for path in paths], np.int64)

    def read(self, path: str, slot: int) -> np.ndarray:
        """uint8 (H, W, 3); raises `OSError` for a file that cannot be read."""
        store = self.store if slot >= 0 else None
        if store and (kept := store.get(slot)) is not None:
            return kept
        photo = read_image(path, self.side)
        if store:
            store.put(slot, photo)
        return photo

    def __call__(self, path: str) -> np.ndarray:
        return self.read(path, self.store.slots.get(path, -1) if self.store else -1)


class Store:
    """The cache file. Several processes may read and fill it at once.

    With the flags `NAMELESS` the file is the folder that it lies in. Raises `OSError`.
    """

    def __init__(self, file: Path, paths: Sequence[str], side: int, flags: int = NAMED):
        self.file, self.flags = file, flags
        self.slots = {path: number for number, path in enumerate(paths)}
        self.slot_bytes = slot_bytes(side)
        self.first_slot = -(-len(paths) * ENTRY.itemsize // PAGE) * PAGE
        self.writable = True
        self.open()

    def open(self) -> None:
        try:
            self.descriptor = os.open(self.file, self.flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                error.strerror = "is a symlink; remove it"
            raise
        weakref.finalize(self, os.close, self.descriptor)
        if self.flags == NAMED:
            refuse_shared(self.descriptor, self.file)
        os.truncate(self.descriptor, self.first_slot + len(self.slots) * self.slot_bytes)

    def __getstate__(self) -> dict:
        """For loader processes that are started anew: they open the file themselves."""
        return {name: value for name, value in vars(self).items() if name != "descriptor"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.open()

    def get(self, slot: int) -> np.ndarray | None:
        """The photo (H, W, 3) in a slot, or None if none is there."""
        entry = np.empty((), ENTRY)
        if not self.read(entry, slot * ENTRY.itemsize):
            return None
        height, width, checksum = (int(number) for number in entry.item())
        if not 0 < height * width * 3 <= self.slot_bytes:
            return None
        photo = np.empty((height, width, 3), np.uint8)
        if not self.read(photo, self.first_slot + slot * self.slot_bytes):
            return None
        return photo if checksum_of(photo) == checksum else None

    def read(self, array: np.ndarray, offset: int) -> bool:
        """Fill an array; False if the file does not hold as much, or its disk fails."""
        try:
            return os.preadv(self.descriptor, [bytes_in(array)], offset) == array.nbytes
        except OSError:
            return False

    def put(self, slot: int, photo: np.ndarray) -> None:
        """Keep a photo, if it fits its slot and the disk; pwrite, since a full disk kills mmap."""
        if photo.nbytes > self.slot_bytes or not self.writable:
            return
        entry = np.array((*photo.shape[:2], checksum_of(photo)), ENTRY)
        try:
            self.write(photo, self.first_slot + slot * self.slot_bytes)
            self.write(entry, slot * ENTRY.itemsize)
        except OSError as error:
            self.writable = False
            print(f"cache: {error.strerror}; photos not kept are read from their files", flush=True)

    def write(self, array: np.ndarray, offset: int) -> None:
        """All bytes of an array; a disk that fills up takes the first part without an error."""
        rest = bytes_in(array)
        while rest:
            written = os.pwrite(self.descriptor, rest, offset)
            rest, offset = rest[written:], offset + written


def bytes_in(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def checksum_of(photo: np.ndarray) -> int:
    """Of the pixels and the shape."""
    return zlib.crc32(photo.data, zlib.crc32(str(photo.shape).encode()))


def refuse_shared(descriptor: int, file: Path) -> None:
    """Raise `OSError` for what is no file, or one that another user or name has a hand in."""
    status, owner = os.fstat(descriptor), os.geteuid()
    if stat.S_ISREG(status.st_mode) and status.st_uid != owner:
        with tempfile.TemporaryFile(dir=file.parent) as new:  # some file systems have one owner
            owner = os.fstat(new.fileno()).st_uid
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner or status.st_nlink > 1:
        raise OSError(errno.EPERM, "is no file, another user's, or has a second name; remove it")


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


def slot_bytes(side: int) -> int:
    """Room for a photo twice as long as wide. Longer ones are decoded each time."""
    return -(-2 * side * side * 3 // PAGE) * PAGE


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
