"""Every file below a folder, once: the photos, and a count with its reason of all that is none."""

from __future__ import annotations

import heapq
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lite0ca.errors import InputError, composed, printable
from lite0ca.images.reading import why_no_photo

# What macOS, Windows, NAS systems and viewers put among photos, beside what begins with a dot.
SYSTEM_STARTS = (".", "@", "#", "$", "~", "__")
SYSTEM_NAMES = {"lost+found", "system volume information", "network trash folder", "recycler"}
SYSTEM_NAMES |= {"temporary items", "thumbnails", "thumbs", "thumb", "_thumb", "_thumbs"}
NAMED = 6  # kinds that are named beside a count
USED = "links to photos used already"


def on_disk(folder: str | Path, name: str) -> str:
    """`name` below `folder` as the disk spells it, NFC or NFD; as it is where nothing fits."""
    if name.isascii() or os.path.lexists(os.path.join(folder, name)):
        return name
    for form in ("NFC", "NFD"):
        if os.path.lexists(os.path.join(folder, other := unicodedata.normalize(form, name))):
            return other
    found = ""
    for part in Path(name).parts:  # each of them may be in another form
        above = os.path.join(folder, found)
        if not os.path.lexists(os.path.join(above, part)) and os.path.isdir(above):
            alike = (each for each in os.listdir(above) if composed(each) == composed(part))
            part = next(alike, part)
        found = os.path.join(found, part)
    return found


class PassedOver(dict[str, Counter]):
    """Reason -> how many files of which kind are not used."""

    def add(self, reason: str, kind: str, count: int = 1) -> None:
        self.setdefault(reason, Counter())[kind] += count

    def take_back(self, reason: str, kind: str) -> None:
        """One file less."""
        self[reason] = self.get(reason, Counter()) - Counter([kind])
        if not self[reason]:
            del self[reason]

    def has(self, kind: str) -> bool:
        return any(kind in kinds for kinds in self.values())

    def __str__(self) -> str:
        """`no photos: 3 (2 .txt, 1 .xml); hidden: 2 (.DS_Store)`"""
        told = [f"{why}: {kinds.total():,}{listed(kinds)}" for why, kinds in sorted(self.items())]
        return "; ".join(told)


def listed(kinds: Counter) -> str:
    """` (2 .txt, 1 .xml)`, the most frequent first; nothing where the reason says it all."""
    kinds = Counter({printable(kind): count for kind, count in kinds.items() if kind})
    most = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))[:NAMED]
    shown = [f"{count:,} {kind}" for kind, count in most]
    if len(kinds) == 1:
        shown = list(kinds)
    more = [f"{len(kinds) - NAMED} other kinds"] if len(kinds) > NAMED else []
    return f" ({', '.join(shown + more)})" if shown else ""


@dataclass
class Below:
    """What lies below `folder`: `photos` by their paths below it, and what is no photo.

    `tables` are CSV files there. `inodes` says which photos are one file: those with links.
    `bare` are folders in which, and below which, there is no photo.
    """

    folder: Path
    photos: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    inodes: dict[str, tuple[int, int]] = field(default_factory=dict)
    passed_over: PassedOver = field(default_factory=PassedOver)

    @property
    def bare_folders(self) -> str:
        """`no photo in notes, old/empty`"""
        return printable(f"no photo in {', '.join(self.bare[:5])}{', …' if self.bare[5:] else ''}")

    def pass_over(self, photos: Iterable[str], reason: str, kind: str = "") -> None:
        """Leave out some of the photos."""
        gone = set(photos)
        if gone:
            self.passed_over.add(reason, kind, len(gone))
            self.photos = [photo for photo in self.photos if photo not in gone]

    def same_files(self) -> list[list[str]]:
        """The photos that are one file by links, in groups of two or more."""
        names: dict[tuple[int, int], list[str]] = {}
        for photo in self.photos:
            if photo in self.inodes:
                names.setdefault(self.inodes[photo], []).append(photo)
        return [same for same in names.values() if len(same) > 1]

    def without_links(self) -> None:
        """A link to a photo that is here by its own name, or by another link, is left out.

        Two names of one file that are no links (copies, to who made them) both stay.
        """
        again = []
        for same in self.same_files():
            links = [name for name in same if os.path.islink(os.path.join(self.folder, name))]
            again += links if len(links) < len(same) else links[1:]
        self.pass_over(again, USED)


def walk(folder: str | Path) -> Below:
    """All that lies below a folder, links followed, each folder once.

    Raises `InputError` for a folder that cannot be read: nothing is left out without a word.
    """
    try:
        return Walk(Path(folder)).result()
    except OSError as error:
        where = error.filename or folder
        raise InputError(
            f"{where}: cannot be read ({error.strerror or error}); mend its permissions, or move "
            "it away"
        ) from None


class Walk:
    """Real folders first, links after them: a photo is known by its own folder, not by a link."""

    def __init__(self, folder: Path):
        self.below, self.read, self.links, self.folders = Below(folder), set(), [], []

    def path(self, name: str) -> str:
        return os.path.join(self.below.folder, name)

    def result(self) -> Below:
        below, waiting = self.below, [""]
        while waiting or self.links:
            name = waiting.pop() if waiting else heapq.heappop(self.links)[1]
            if os.path.islink(self.path(name)) and name and not os.path.isdir(self.path(name)):
                self.linked_file(name)
            elif not self.is_known(name):
                waiting += self.inside(name)
        self.find_links_outside_in()
        below.photos.sort(key=composed)
        with_photos = {above for photo in below.photos for above in folders_above(photo)}
        empty = {name for name in self.folders if name and name not in with_photos}
        below.bare = sorted(name for name in empty if os.path.dirname(name) not in empty)
        return below

    def is_known(self, name: str) -> bool:
        """Whether a folder has been read already, by another name."""
        status = os.stat(self.path(name))
        number = (status.st_dev, status.st_ino)
        if status.st_ino and number in self.read:  # 0 where the system has no such numbers
            self.below.passed_over.add("links to folders read already", name)
            return True
        self.read.add(number)
        return False

    def inside(self, name: str) -> list[str]:
        """Take the files of a folder; returns the folders in it."""
        self.folders.append(name)
        found = []
        with os.scandir(self.path(name)) as entries:
            for entry in entries:
                inner = os.path.join(name, entry.name)
                if is_of_the_system(entry.name) and entry.is_dir():
                    self.system_folder(inner, entry.name)
                elif entry.is_symlink():
                    heapq.heappush(self.links, (composed(inner), inner))
                elif entry.is_dir():
                    found.append(inner)
                else:
                    self.file(inner, entry.stat(follow_symlinks=False))
        return sorted(found, key=composed, reverse=True)

    def file(self, name: str, status: os.stat_result | None) -> None:
        if why := why_no_photo(self.path(name)):
            self.below.passed_over.add(*why)
            if name.lower().endswith(".csv"):
                self.below.tables.append(name)
            return
        self.below.photos.append(name)
        if status and status.st_ino and (status.st_nlink > 1 or os.path.islink(self.path(name))):
            self.below.inodes[name] = (status.st_dev, status.st_ino)

    def linked_file(self, name: str) -> None:
        try:
            self.file(name, os.stat(self.path(name)))
        except OSError:  # it leads nowhere, or to itself
            self.file(name, None)

    def system_folder(self, name: str, kind: str) -> None:
        """Count what is in it; it may be any size, or not ours to read, and is no photo's place."""
        if os.path.islink(self.path(name)):
            self.below.passed_over.add("links to folders of systems", kind)
            return
        waiting, files = [self.path(name)], 0
        while waiting:  # not a recursion: it may be deep
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        else:
                            files += 1
            except OSError as error:
                reason = f"folders of systems that cannot be read ({error.strerror or error})"
                self.below.passed_over.add(reason, kind)
        if files:
            self.below.passed_over.add("in folders of systems and thumbnails", kind, files)

    def find_links_outside_in(self) -> None:
        """A link's target may be one of the photos that have no second name of their own."""
        targets = set(self.below.inodes.values())
        for photo in self.below.photos if targets else ():
            path = self.path(photo)
            if photo not in self.below.inodes and not os.path.islink(path):
                status = os.stat(path)
                if (status.st_dev, status.st_ino) in targets:
                    self.below.inodes[photo] = (status.st_dev, status.st_ino)


def folders_above(name: str) -> list[str]:
    """`a/b/c.jpg` -> `a/b`, `a`"""
    return [str(above) for above in Path(name).parents][:-1]


def is_of_the_system(name: str) -> bool:
    return name.startswith(SYSTEM_STARTS) or name.lower() in SYSTEM_NAMES
