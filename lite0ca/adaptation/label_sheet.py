"""Photos of a place for a person to label: which, a table to fill in, and a page of them."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import softmax

from lite0ca.adaptation.choosing import telling
from lite0ca.data.classes import classes_of
from lite0ca.data.metadata_csv import TO_FILL_IN
from lite0ca.data.near_duplicates import find_groups
from lite0ca.errors import InputError, composed, printable
from lite0ca.evaluation.inference import Network
from lite0ca.files.destination import check_writable, refuse_among_photos
from lite0ca.files.names import cut
from lite0ca.files.ownership import is_table, refuse_others
from lite0ca.files.reading import beginning, read_bytes
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.files.tables import BYTE_ORDER_MARK, csv_line
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.names import names_of
from lite0ca.images.photo_batches import photo_batches, photo_paths, reading_threads
from lite0ca.images.reading import read_image
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.settings import command_lines
from lite0ca.settings.names import display_names, language
from lite0ca.settings.trained import settings_of

TABLE, PAGE = "labels.csv", "labelling.html"
A_CLASS, MOST = 10, 100  # photos for each class that the run knows, and in all
PICTURE = 320  # pixels of a picture's longer side: spots have to be seen
BATCH_SIZE = 32


@dataclass(frozen=True)
class Sheet:
    """Photos to label, those that say most first, and what the run answers to each.

    `paths` are absolute; `probabilities` (photos, classes) in the order of `classes`, of which
    `names` are what people say; `labels` are empty until somebody fills them in.
    """

    run: str
    folder: Path
    classes: list[str]
    names: list[str]
    paths: list[str]
    probabilities: np.ndarray
    labels: list[str]
    looked_at: int = 0
    unread: list[str] = field(default_factory=list)  # what is wrong with each such file

    @property
    def table(self) -> Path:
        return self.folder / TABLE

    @property
    def page(self) -> Path:
        return self.folder / PAGE

    @property
    def next_command(self) -> str:
        run, table = (command_lines.quoted(path) for path in (self.run, self.table))
        return f"{command_lines.COMMAND} adapt {run} --metadata {table}"

    def answer(self, number: int) -> str:
        """The likeliest class, and the second where it comes to a tenth: `blast 62 %, rust 30 %`"""
        odds = self.probabilities[number]
        likely = np.argsort(-odds, kind="stable")[:2]
        shown = [place for place in likely if place == likely[0] or odds[place] >= 0.1]
        return ", ".join(f"{self.names[place]} {100 * odds[place]:.0f} %" for place in shown)


class Asked:
    """A run that is asked for features beside answers; an exported file has only the latter."""

    def __init__(self, run: str, typed: dict):
        checkpoint = load_best(run)
        self.run, self.config = run, settings_of(checkpoint, {"batch_size": BATCH_SIZE, **typed})
        self.classes = classes_of(checkpoint["label2id"])
        self.names = display_names(self.classes, names_of(run, checkpoint), language())
        self.temperature = checkpoint.get("temperature", 1.0)
        keep_freed_memory()
        precision = Precision.of(device_of(self.config.device), self.config.amp)
        self.network = Network(model_of(checkpoint, typed.get("image_size")), precision)

    def about(self, paths: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
        """(photos that could be read, features (N, C), probabilities (N, classes), problems).

        No more than a few batches of photos are in memory at a time.
        """
        size, config = self.config.batch_size, self.config
        batches = [paths[start : start + size] for start in range(0, len(paths), size)]
        threads = reading_threads(config.num_workers)
        read, problems, features, logits = [], [], [], []
        stream = photo_batches(batches, config.image_size, threads)
        for photos, files in bar(stream, "looking at the photos", len(batches)):
            read += [path for path, problem in files if not problem]
            problems += [problem for _, problem in files if problem]
            if photos is not None:
                found, answers = self.network.features_and_logits(photos)
                features.append(found)
                logits.append(answers)
        if not read:
            raise InputError(f"none of the {len(paths):,} photos can be read: {problems[0]}")
        probabilities = softmax(np.concatenate(logits) / self.temperature, axis=1)
        return read, np.concatenate(features), probabilities, problems


def choose(
    run: str, photos: list[str], count: int | None, output_dir: str | None, **typed
) -> Sheet:
    """The `count` photos, of files and folders, that say most; nothing is written.

    By default `A_CLASS` for each class of the run, at most `MOST`. No two chosen ones are
    near-duplicates, so fewer may come. Raises `InputError`, before any work if the files cannot
    be written.
    """
    if count is not None and count < 1:
        raise InputError(f"--count must be at least 1, not {count}")
    folder = folder_for(photos, output_dir)
    refuse_what_is_there(folder)
    paths = [os.path.abspath(path) for path in photo_paths(photos)]
    with own_temporary_folder():
        asked = Asked(run, typed)
        read, features, probabilities, problems = asked.about(paths)
    count = count or min(MOST, A_CLASS * len(asked.classes))
    chosen = telling(features, count, lambda some: find_groups([read[number] for number in some]))
    return Sheet(
        run,
        folder,
        asked.classes,
        asked.names,
        [read[number] for number in chosen],
        probabilities[chosen],
        [""] * len(chosen),
        len(read),
        problems,
    )


def taken_up(run: str, photos: list[str], output_dir: str | None, **typed) -> Sheet | None:
    """The sheet of an earlier call, with what was filled in; None if there is none."""
    folder = folder_for(photos, output_dir)
    rows = filled(folder / TABLE)
    if not rows:
        return None
    asked = Asked(run, typed)
    labels = dict(rows)
    read, _, probabilities, problems = asked.about(list(labels))
    kept = [labels[path] for path in read]
    return Sheet(
        run, folder, asked.classes, asked.names, read, probabilities, kept, len(read), problems
    )


def folder_for(photos: list[str], output_dir: str | None) -> Path:
    """Where the files go: by default here, named after the photos. Raises `InputError`."""
    name = Path(os.path.abspath(photos[0]))
    name = name.name if name.is_dir() else name.parent.name
    folder = Path(output_dir or f"{cut(name) or 'photos'}_to_label")
    check_writable(folder)
    for place in map(Path, photos):
        refuse_among_photos(folder, place)
    return folder


def refuse_what_is_there(folder: Path) -> None:
    """Raise `InputError` for files of somebody else, and for labels that somebody has filled in."""
    from lite0ca.plots.report_page import GENERATOR

    table, page = folder / TABLE, folder / PAGE
    header = ",".join(TO_FILL_IN)
    refuse_others(table, is_table(table, header, f"{BYTE_ORDER_MARK}{header}"))
    done = sum(bool(label) for _, label in filled(table))
    if done:
        raise InputError(
            f"{table}: has {done:,} labels filled in, which stay; name another --output-dir"
        )
    refuse_others(page, GENERATOR.encode() in (beginning(page, 500) or b""))


def filled(table: Path) -> list[tuple[str, str]]:
    """(path, label) of each row of a table of ours; nothing of what is none.

    Raises `InputError` for one that was saved as no CSV in UTF-8.
    """
    if not os.path.lexists(table) or not beginning(table, 1):
        return []
    try:
        lines = io.StringIO(read_bytes(table).decode("utf-8-sig"), newline="")
        rows = list(csv.DictReader(lines, strict=True))
    except (UnicodeError, csv.Error) as error:
        raise InputError(f"{table}: is not a CSV file in UTF-8: {error}") from None
    return [
        (row["path"], composed((row.get("label") or "").strip())) for row in rows if row.get("path")
    ]


def write(sheet: Sheet) -> list[Path]:
    """The page and the table, both or none; returns them. Raises `InputError` as `choose`."""
    refuse_what_is_there(sheet.folder)  # now: looking at the photos may have taken minutes
    with whole_folder(sheet.folder) as made:
        write_page(sheet, made / PAGE)
        write_table(sheet, made / TABLE)
    return [sheet.page, sheet.table]


def write_table(sheet: Sheet, place: Path) -> None:
    """The photos' paths with their labels, as `--metadata` takes it once it is filled in."""
    with whole(place) as file:
        if not all(map(str.isascii, [*sheet.paths, *sheet.labels])):
            file.write(BYTE_ORDER_MARK)
        file.write(csv_line(TO_FILL_IN))
        for number, row in enumerate(zip(sheet.paths, sheet.labels), 1):
            file.write(csv_line([number, *row]))


def write_page(sheet: Sheet, place: Path) -> None:
    """Every photo with its number, its path and what the run says of it, on one page."""
    from lite0ca.plots.report_page import as_data, page

    photos = [
        {
            "picture": as_data(picture),
            "height": picture.shape[0],
            "width": picture.shape[1],
            "path": path,
            "address": Path(path).as_uri(),
            "said": sheet.answer(number),
        }
        for number, (path, picture) in enumerate(zip(sheet.paths, pictures_of(sheet)))
    ]
    content = page(
        "labelling.html",
        run=Path(sheet.run).resolve().name,
        looked_at=sheet.looked_at,
        photos=photos,
        table=sheet.table.name,
        classes=list(zip(sheet.classes, sheet.names)),
        next=sheet.next_command,
    )
    with whole(place) as file:
        file.write(content)


def pictures_of(sheet: Sheet) -> list[np.ndarray]:
    """The whole photos, small: uint8 RGB, the longer side at most `PICTURE`.

    Raises `InputError` for one that is gone since it was looked at.
    """
    from lite0ca.plots.photos import fitted

    try:
        return [fitted(read_image(path, PICTURE), PICTURE) for path in sheet.paths]
    except OSError as error:
        raise InputError(str(error)) from None


def say_unread(sheet: Sheet) -> None:
    for problem in sheet.unread:
        print(f"left out: {printable(problem)}", file=sys.stderr)
