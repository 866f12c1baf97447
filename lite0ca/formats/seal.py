"""A file that holds the sha256 of itself: damage anywhere is seen before anything is believed.

The digest stands in the file's metadata, as text behind `MARK`. It is of the file with zeros in
that place, and of the files that belong to it. Whoever changes a file on purpose can seal it again:
this is no signature.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from lite0ca.files.reading import beginning

NAME = "seal"  # of the metadata that holds it
MARK, ZEROS = b"lite0ca-sha256:", b"0" * 64
EMPTY = (MARK + ZEROS).decode()  # what a writer puts there


def sealed(content: bytes, *others: bytes) -> bytes:
    """The same file with its digest where `EMPTY` was; raises `ValueError` without one place."""
    start, end = place_of(content)
    if content[start:end] != ZEROS:
        raise ValueError("has been sealed before")
    return content[:start] + digest(content, start, end, others) + content[end:]


def is_sealed(content: bytes, *others: bytes) -> bool:
    """Whether the file has a seal (0.2 wrote none); raises `ValueError` if it is broken."""
    if MARK not in content:
        return False
    start, end = place_of(content)
    if content[start:end] != digest(content, start, end, others):
        raise ValueError("its checksum is wrong")
    return True


def has_seal(path: str | Path) -> bool:
    """Whether a file on the disk has a seal, right or broken: then lite0ca wrote it."""
    if not beginning(path, 1):
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(MARK) >= 0


def place_of(content: bytes) -> tuple[int, int]:
    """(first byte of the digest, byte behind it); raises `ValueError` unless there is one."""
    if content.count(MARK) != 1:
        raise ValueError(f"has {content.count(MARK)} checksums of itself, not one")
    start = content.index(MARK) + len(MARK)
    return start, start + len(ZEROS)


def digest(content: bytes, start: int, end: int, others: tuple[bytes, ...]) -> bytes:
    view = memoryview(content)
    found = hashlib.sha256(view[:start])
    found.update(ZEROS)
    found.update(view[end:])
    for other in others:
        found.update(other)
    return found.hexdigest().encode()
