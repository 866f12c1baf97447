"""Leaf masks found once, and kept in memory that the loader processes of a training share.

To tell a leaf from its background takes as long as all that is then done to the photo.
"""

from __future__ import annotations

import mmap
import zlib

import numpy as np

from lite0ca.images.background import leaf_mask

MOST_BYTES = 2**30  # of all masks; photos beyond it are looked at each time
ENTRY = np.dtype([("known", "u1"), ("plain", "u1"), ("checksum", "<u4")])


class LeafMasks:
    """`leaf_mask` of numbered photos, each found once; a bit a pixel.

    The memory is made before loader processes are forked, so what one of them finds all of them
    have. A mask counts with the right checksum only: two may write one at a time.
    """

    def __init__(self, photos: int, side: int):
        """`photos` are numbered from 0, `side` is about that of one, in pixels."""
        self.slot = 2 * side * side // 8  # a photo may be twice as long as wide
        self.photos = min(photos, MOST_BYTES // self.slot)
        self.make_room()

    def make_room(self) -> None:
        entries = self.photos * ENTRY.itemsize
        room = mmap.mmap(-1, max(1, entries + self.photos * self.slot))  # taken page by page
        self.entries = np.frombuffer(room, ENTRY, self.photos)
        self.bits = np.frombuffer(room, np.uint8, self.photos * self.slot, entries)
        self.bits = self.bits.reshape(self.photos, self.slot)

    def __getstate__(self) -> dict:
        """Loader processes that are not forked begin with none."""
        return {"slot": self.slot, "photos": self.photos}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.make_room()

    def of(self, index: int, photo: np.ndarray) -> np.ndarray | None:
        """What `leaf_mask` says of a photo, uint8 RGB (H, W, 3), that has this number."""
        pixels = photo.shape[0] * photo.shape[1]
        used = -(-pixels // 8)
        if index >= self.photos or used > self.slot:
            return leaf_mask(photo)
        entry, bits = self.entries[index], self.bits[index, :used]
        if entry["known"]:
            if not entry["plain"]:
                return None
            if zlib.crc32(bits.data) == entry["checksum"]:
                return np.unpackbits(bits, count=pixels).reshape(photo.shape[:2])
        mask = leaf_mask(photo)
        if mask is not None:
            bits[:] = np.packbits(mask)
        checksum = 0 if mask is None else zlib.crc32(bits.data)
        self.entries[index] = (1, mask is not None, checksum)
        return mask
