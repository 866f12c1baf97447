"""Where data is looked for, however it is named, and how what lies there becomes a table."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lite0ca.data.label_tables import read_labels, table_beside, why_not
from lite0ca.data.layout import Layout, read_layout
from lite0ca.data.metadata_csv import columns_of, is_listing, read_csv, without_repeats
from lite0ca.errors import InputError, composed, printable
from lite0ca.images import tar_shards
from lite0ca.images.folder_walk import USED, Below, PassedOver, on_disk, walk
from lite0ca.images.tar_shards import expanded, place_of, refuse_changed, rows_in, table_of
from lite0ca.machine.environment import kaggle_folders
from lite0ca.settings.config import Config
from lite0ca.settings.names_file import NAMES


@dataclass
class Source:
    """A CSV file, a folder of classes or tars; `how` it was found.

    `below` is all that lies in the folder that was named, where one was. `notes` say what reading
    it had to guess.
    """

    path: Path
    how: str
    below: Below | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The folder that paths of the table are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def folders(self) -> list[Path]:
        """Where what belongs to the data may lie: its root, and the folder that was named."""
        return [self.root, *([self.below.folder] if self.below else [])]

    def rows(self) -> pd.DataFrame:
        """Columns path, absolute_path, label, perhaps split and group, and others of a table.

        Raises `InputError`.
        """
        if tar_shards.named(self.path):
            files = expanded(str(self.path))
            rows = rows_in(files, read_csv(table_of(files)))
        elif self.path.is_dir():
            rows = self.rows_of_folders()
        else:
            rows = self.rows_of_table()
        above = os.path.abspath(self.root)
        files = (os.path.join(above, on_disk(above, path)) for path in rows["path"])
        rows["absolute_path"] = [os.path.normpath(file) for file in files]
        paths = rows["path"].map(composed)
        rows["path"] = paths if not paths.duplicated().any() else rows["path"]
        # In a folder the walk has seen to it that each file is there once.
        return rows if self.path.is_dir() else without_repeats(rows, self.path)

    def rows_of_table(self) -> pd.DataFrame:
        columns = columns_of(self.path)
        if not columns or is_listing(columns):
            rows = read_csv(self.path)
            if rows["path"].map(place_of).any():
                refuse_changed(self.path.parent)
                return rows
            if not self.names_alone(rows["path"]):
                return rows
        self.below = self.below or walk(self.path.parent)
        rows, note = read_labels(self.path, self.below)
        self.notes.append(note)
        return rows

    def names_alone(self, paths: pd.Series) -> bool:
        """Whether a column path has names of photos that all lie elsewhere, as ids do."""
        return not any(
            "/" in path or os.path.lexists(os.path.join(self.root, on_disk(self.root, path)))
            for path in paths
        )

    def rows_of_folders(self) -> pd.DataFrame:
        below = self.below or walk(self.path)
        inside = os.path.relpath(self.path, below.folder)
        start = "" if inside == "." else f"{inside}{os.sep}"
        layout = layout_in(below, start)
        self.notes += layout.guesses
        tables = tables_not_read(below, start)
        self.notes += tables
        if not layout.rows:
            folders = sorted({name.split(os.sep)[0] for name in [*below.photos, *below.bare]})[:5]
            raise InputError(
                f"{self.path}: expected a sub-folder with images for each class, or train/valid/"
                f"test above them; found {printable(', '.join(folders)) or 'nothing'}"
                + (f" ({below.passed_over})" if below.passed_over else "")
                + "".join(f"; {table}" for table in tables)
                + ("; unpack the .zip first" if below.passed_over.has(".zip") else "")
            )
        again = repeats_by_links(below, start, layout.rows)
        rows = [row for row in layout.rows if start + row[0] not in again]
        named = [(photo, composed(label), split) for photo, split, label in rows]
        table = pd.DataFrame(named, columns=["path", "label", "split"])
        return table.drop(columns="split") if table["split"].isna().all() else table

    def left_out(self, rows: pd.DataFrame) -> list[str]:
        """What lies in the named folder and is not used, each kind in a few words."""
        below = self.below
        if below is None:
            return []
        used = set(rows["absolute_path"])
        above = os.path.abspath(below.folder)
        unused = [
            photo
            for photo in below.photos
            if os.path.normpath(os.path.join(above, photo)) not in used
        ]
        links = {name for same in below.same_files() for name in same}
        reason = "photos in no folder of a class"
        if not self.path.is_dir():
            reason = f"photos not in {printable(self.path.name)}"
        passed_over = PassedOver({why: kinds.copy() for why, kinds in below.passed_over.items()})
        read = {os.path.abspath(folder / NAMES) for folder in self.folders}
        read |= {os.path.abspath(self.root / name) for name in (self.path.name, "label2id.json")}
        for file in filter(os.path.isfile, read):  # though no photos
            passed_over.take_back("no photos", Path(file).suffix)
        for photo in unused:
            why = USED if photo in links else reason
            passed_over.add(why, os.path.dirname(photo) or ".")
        said = [f"left out: {passed_over}"] if passed_over else []
        if below.bare:
            said.append(below.bare_folders)
        return said


def layout_in(below: Below, start: str) -> Layout:
    """`read_layout` of the photos whose paths begin with `start`. Raises `InputError`."""
    inside = [p.removeprefix(start) for p in below.photos if p.startswith(start)]
    try:
        return read_layout([name.replace(os.sep, "/") for name in inside])
    except InputError as error:
        tables = "".join(f"; {table}" for table in tables_not_read(below, start))
        raise InputError(f"{below.folder / start}: {error}{tables}") from None


def tables_not_read(below: Below, start: str) -> list[str]:
    """Why the tables of a folder give no labels; a few of them."""
    beside = [table for table in below.tables if os.path.dirname(table) == start.rstrip(os.sep)]
    return [f"{table} is not read: {why_not(below, table)}" for table in beside[:3]]


def repeats_by_links(below: Below, start: str, rows: list[tuple]) -> set[str]:
    """Photos that are used already by another name; `InputError` if that is of another class."""
    place, again = {start + photo: (split, label) for photo, split, label in rows}, set()
    for same in below.same_files():
        first, *others = [name for name in same if name in place] or [""]
        for name in others:
            if place[name] != place[first]:
                raise InputError(
                    f"{below.folder}: {first} and {name} are one file, by a link, in two classes "
                    "or splits: remove one"
                )
        again.update(others)
    return again


def find(config: Config) -> Source:
    """The data that the settings name or, without any, that is found. Raises `InputError`."""
    if config.metadata:
        return Source(existing(config.metadata, "--metadata", is_folder=False), "--metadata")
    if config.data_dir:
        return named_source(config.data_dir, "--data-dir", is_folder=True)
    if os.path.isfile("data/metadata.csv"):
        return Source(Path("data/metadata.csv"), "found without flags")
    if named := os.environ.get("LITE0CA_DATA"):
        return named_source(named, "$LITE0CA_DATA")
    attached = [place_in(walk(folder), "attached on Kaggle") for folder in kaggle_folders()]
    attached = [place for place in attached if place]
    if len(attached) > 1:
        listed = ", ".join(str(place.path) for place in attached)
        raise InputError(f"several data sets are attached: {listed}; name one with --data-dir")
    if attached:
        return attached[0]
    raise InputError(
        "no data: give --metadata FILE.csv or --data-dir FOLDER, put it at data/metadata.csv, "
        "or try the drawn sample: lite0ca sample"
    )


def named_source(name: str, flag: str, is_folder: bool | None = None) -> Source:
    """Tars, a folder or a CSV. Raises `InputError` that names the flag if it is not there."""
    if tar_shards.named(name):
        return Source(Path(name), flag)
    found = existing(name, flag, is_folder)
    return in_folder(found, flag) if found.is_dir() else Source(found, flag)


def existing(path: str, flag: str, is_folder: bool | None = None) -> Path:
    """The file or folder. Raises `InputError` that names the flag if it is not there."""
    try:
        path = on_disk("", path)
        found = Path(path)
        there = os.path.exists(path)  # where Path.exists would raise for a name too long
    except ValueError:  # a NUL
        there = False
    if not there:
        shown = path if len(path) <= 200 else f"{path[:200]}…"
        raise InputError(f"{flag} {shown}: does not exist")
    if is_folder is not None and found.is_dir() != is_folder:
        raise InputError(f"{flag} {path}: must be a {'folder' if is_folder else 'CSV file'}")
    return found


def in_folder(folder: Path, how: str) -> Source:
    """The data in a folder, or in the only one below it; the folder itself where it has none."""
    below = walk(folder)
    return place_in(below, how) or Source(folder, how, below)


def place_in(below: Below, how: str, deepest: int = 4) -> Source | None:
    """A table that labels photos, classes, or splits; in the folder, or in the only one in it."""
    start = ""
    for _ in range(deepest + 1):
        table, others = table_beside(below, start.rstrip(os.sep))
        if table:
            read = os.path.basename(table)
            notes = [f"{other} labels photos too and is not read, {read} is" for other in others]
            return Source(below.folder / table, how, below, notes)
        if layout_in(below, start).is_data_set:
            return Source(below.folder / start, how, below)
        inside = (photo.removeprefix(start) for photo in below.photos if photo.startswith(start))
        top = {name.split(os.sep)[0] for name in inside if os.sep in name}
        if len(top) != 1:
            return None
        start += f"{top.pop()}{os.sep}"
    return None
