"""Names to try, and names cut to fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator


def numbered(stem: str) -> Iterator[str]:
    """`stem`, `stem_2`, `stem_3` …: names to try where the first ones are taken."""
    yield stem
    for number in itertools.count(2):
        yield f"{stem}_{number}"


def cut(name: str, most: int = 80) -> str:
    """A name of at most so many bytes: of several in a file's name, which has room for 255."""
    content = name.encode(errors="surrogateescape")
    return name if len(content) <= most else content[:most].decode(errors="ignore")
