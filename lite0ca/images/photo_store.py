"""Photos decoded once: one file of uint8 pixels that every loader process and rank reads and fills.

The file holds an entry a photo (height, width, checksum), then a slot a photo. Whoever decodes a
photo first keeps it there: pixels before their entry, and an entry counts only with the right
checksum. So a kill, a full disk, a file cut short or two writers at once cost a second decoding,
never a wrong picture. The file is sparse: slots that are not filled take no space.

It is read with `preadv`, not mapped: what a map cannot get (of a file that was cut, of a full
/dev/shm) is no error but the end of the process.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lite0ca.images.reading import read_image, side_for

ENTRY = np.dtype([("height", "<u4"), ("width", "<u4"), ("checksum", "<u4")])
PAGE = 4096
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


def slot_bytes(side: int) -> int:
    """Room for a photo twice as long as wide. Longer ones are decoded each time."""
    return -(-2 * side * side * 3 // PAGE) * PAGE
