"""The photo that an id of a table means: by any end of its path, with its ending or without."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from lite0ca.data.column_names import IDS, plain_name_of
from lite0ca.errors import composed


class Places:
    """Photos below a folder, by every name that an id may have; `files` are their paths there.

    The surest way is the whole name, then the name without its ending. Only an id that finds
    nothing so is looked up with `.jpg` for `.JPG`, and 7 for 007.
    """

    def __init__(self, files: Sequence[str], folder: str | os.PathLike = ""):
        self.folder = folder
        self.ways: tuple[dict[str, list[str]], ...] = ({}, {}, {})
        for file in files:
            name = composed(os.path.basename(file))
            stem = os.path.splitext(name)[0]
            for way, keys in zip(self.ways, [{name}, {stem}, {loose(name), loose(stem)}]):
                for key in keys:
                    way.setdefault(key, []).append(file)

    def way_of(self, name: str) -> int | None:
        """By which of the ways an id finds a photo, its folders aside; None if by none."""
        last = last_of(name)
        keys = enumerate([last, last, loose(last)])
        return next((number for number, key in keys if key in self.ways[number]), None)

    def of(self, name: str, by_path: bool = True) -> list[str]:
        """The photos that an id may mean; its folders count if it is to be found `by_path`."""
        if (way := self.way_of(name)) is None:
            return []
        whole, last = plain(name), last_of(name)
        folders = whole.rpartition("/")[0]
        found = self.ways[way][loose(last) if way == 2 else last]
        if not folders or not by_path:
            return found
        exactly = [file for file in found if composed(file).replace(os.sep, "/") == whole]
        inside = [file for file in found if f"{self.above(file)}/".endswith(f"/{folders}/")]
        return exactly or inside

    def of_all(self, names: Sequence[str]) -> list[list[str]]:
        """`of` each. The folders in ids say nothing where the photos lie in others altogether."""
        found = [self.of(name) for name in names]
        inside = [photos for name, photos in zip(names, found) if "/" in plain(name)]
        return found if any(inside) else [self.of(name, by_path=False) for name in names]

    def above(self, file: str) -> str:
        folder = os.path.dirname(os.path.abspath(os.path.join(self.folder, file)))
        return composed(folder).replace(os.sep, "/")

    def column_of_ids(self, columns: Mapping[str, Sequence[str]]) -> str | None:
        """The column of which the cells name photos; None if there is none.

        One of row numbers may do so as well: of those that name half as many as the best, or more,
        it is the one that does so in the surest way, then the one with the more usual name.
        """
        ways = {
            name: Counter(way for cell in {*cells} if (way := self.way_of(cell)) is not None)
            for name, cells in columns.items()
        }
        most = max((counts.total() for counts in ways.values()), default=0)
        likely = [name for name, counts in ways.items() if most and 2 * counts.total() >= most]

        def rank(name: str) -> tuple[int, int, int]:
            (way, _), *_ = ways[name].most_common(1)
            called = plain_name_of(name)
            usual = IDS.index(called) if called in IDS else len(IDS)
            return way, usual, -ways[name].total()

        return min(likely, key=rank, default=None)


def plain(name: str) -> str:
    return composed(name.strip().replace("\\", "/")).removeprefix("./")


def last_of(name: str) -> str:
    return plain(name).rpartition("/")[2]


def loose(name: str) -> str:
    """`007.JPG` -> `7.jpg`"""
    stem, ending = os.path.splitext(name)
    return (stem.lstrip("0") or "0" if stem.isdecimal() else stem) + ending.lower()
