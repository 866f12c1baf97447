"""Any data set -> one table: path, file, label, and where it has them split and group."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from lite0ca.data.classes import classes_of, plain_name
from lite0ca.data.metadata_csv import refuse_other_than_text_files
from lite0ca.data.sources import Source, find
from lite0ca.errors import InputError, composed, printable
from lite0ca.images.reading import (
    bytes_of,
    problem_at_a_glance,
    problem_of,
    read_image,
)
from lite0ca.images.threads import in_threads
from lite0ca.machine import console
from lite0ca.settings.config import Config
from lite0ca.settings.fields import unknown
from lite0ca.settings.names_file import NAMES, read_names

# Arrow's strings, which pandas 3 takes where pyarrow is installed, hold no file name that is not
# UTF-8.
pd.options.mode.string_storage = "python"

SAMPLE = "sample"  # what notebooks and batches take for --metadata to ask for drawings
READ_UP_TO = 20_000  # images that are read before training begins; minutes for more
DRAWN = "drawn sample"  # in the sample's column `source`
CLASSES_SAID = 20


@dataclass(frozen=True)
class DataSet:
    """`rows`: path (as the source gives it), absolute_path, label, split, group, the rest.

    `split` and `group` are columns only if the source has them, or once they were made.
    `source` is the CSV file or the folder, `root` the folder that paths are relative to. `names`
    are what a names.json calls the classes, by language.
    """

    rows: pd.DataFrame
    label2id: dict[str, int]
    root: Path
    source: Path
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    def part(self, split: str) -> pd.DataFrame:
        return self.rows[self.rows["split"] == split]

    @property
    def classes(self) -> list[str]:
        return classes_of(self.label2id)

    @property
    def is_sample(self) -> bool:
        """Whether these are drawings: no figure of theirs may pass for one of leaves."""
        return "source" in self.rows and bool((self.rows["source"] == DRAWN).any())

    @property
    def fingerprint(self) -> str:
        """sha256 over paths, labels, splits and file sizes: equal data, equal fingerprint."""
        digest = hashlib.sha256(json.dumps(self.label2id, sort_keys=True).encode())
        columns = ["path", "label", "split", "absolute_path"]
        for path, label, split, absolute in self.rows[columns].to_numpy():
            line = f"{path}\t{label}\t{split}\t{bytes_of(absolute)}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def load(config: Config, label2id: dict[str, int] | None = None) -> DataSet:
    """The table that the settings name or, without any, that is found. Raises `InputError`.

    `label2id` of a trained model, which has names as well, takes the place of the data's own.
    """
    source = find(config)
    rows = source.rows()
    refuse_unwritable_names(rows["label"], source.path)
    unused = source.left_out(rows)
    rows = without_untrained(rows)
    file = names_file(config, source) if label2id is None else None
    if label2id is None:
        label2id = read_label2id(config, source.root, rows)
    spelled = {composed(label): label for label in label2id}  # a run may keep a Mac's spelling
    rows["label"] = [spelled.get(label, label) for label in rows["label"]]
    strange = sorted(set(rows["label"]) - set(label2id))
    if strange:
        raise InputError(f"{source.path}: label {unknown(strange[0], sorted(label2id))}")
    names = read_names(file, label2id, found=True) if file else {}
    data = DataSet(rows, label2id, source.root, source.path, names)
    print(
        f"data: {len(rows):,} {'drawings (the sample)' if data.is_sample else 'images'}, "
        f"{rows['label'].nunique()} classes in {printable(shown(source.path))} ({source.how})"
    )
    called = ", ".join(names) or "none of these classes"
    called = [printable(f"names in {shown(file)}: {called}")] if file else []
    for line in [*map(printable, source.notes), classes_said(rows), *called, *unused]:
        print(f"  {line}")
    warn_of_other_folders(rows)
    warn_of_divided_groups(rows)
    return data


def classes_said(rows: pd.DataFrame) -> str:
    """The classes with their numbers of photos, since folders may mean others than one thinks."""
    counts = rows["label"].value_counts().sort_index()
    shown = counts.head(CLASSES_SAID).items()
    told = ", ".join(f"{printable(str(label))} ({count:,})" for label, count in shown)
    more = f" and {len(counts) - CLASSES_SAID} more" if len(counts) > CLASSES_SAID else ""
    return f"classes: {told}{more}"


def without_untrained(rows: pd.DataFrame) -> pd.DataFrame:
    """Without test photos of classes that no train photo has: a network cannot answer those.

    `test/test`, as Keras wants it, and `test/unknown` are such. A class in valid alone is refused
    by `split.for_training`.
    """
    if "split" not in rows or not (rows["split"] == "train").any():
        return rows
    trained = set(rows["label"][rows["split"] == "train"])
    untrained = (rows["split"] == "test") & ~rows["label"].isin(trained)
    if untrained.any():
        counts = rows["label"][untrained].value_counts().sort_index()
        told = ", ".join(f"{printable(str(label))} {count:,}" for label, count in counts.items())
        print(f"left out: test photos of classes that are not in train: {told}")
    return rows[~untrained].reset_index(drop=True)


def warn_of_other_folders(rows: pd.DataFrame) -> None:
    """Say if a table gives photos another class than the folder that they lie in."""
    labels, others = set(rows["label"]), []
    for path, label in zip(rows["path"], rows["label"]):
        above = set(map(composed, Path(path).parts[:-1]))
        if above & labels and label not in above:
            others.append(f"{path} is {label!r}")
    if others:
        print(
            f"warning: {len(others):,} photos lie in the folder of another class than the table "
            f"gives them, such as {printable(others[0])}; the table is followed"
        )


def warn_of_divided_groups(rows: pd.DataFrame) -> None:
    """Say if one leaf's photos lie in several splits: scores there say little of new leaves."""
    if not {"split", "group"} <= set(rows):
        return
    splits = rows.groupby("group")["split"].nunique()
    if divided := int((splits > 1).sum()):
        photos = int(rows["group"].isin(splits.index[splits > 1]).sum())
        print(
            f"warning: {divided:,} of {len(splits):,} groups ({photos:,} photos) have photos in "
            "several splits, so scores will be better than on new leaves; without the column "
            "split, one that keeps groups together is made"
        )


def refuse_unwritable_names(labels: pd.Series, source: Path) -> None:
    """Raise `InputError` for a class whose name is no text: models and tables have to hold it."""
    for label in labels.unique():
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in label):
            raise InputError(
                f"{source}: class {label!a} has a line break, a control character or bytes "
                "that are no UTF-8 in its name: rename it"
            )


def shown(path: Path) -> str:
    """The path as people read it: from here where it lies below, so notebooks can be shared."""
    here, there = Path.cwd(), path.absolute()
    return str(there.relative_to(here) if there.is_relative_to(here) else path)


def refuse_look_alikes(labels: list[str], source: Path) -> None:
    """Raise `InputError` for two classes that a person would read as one."""
    seen = {}
    for label in labels:
        plain = plain_name(label)
        if plain in seen:
            raise InputError(
                f"{source}: classes {seen[plain]!r} and {label!r} look like one: write them alike, "
                "or list both in label2id.json"
            )
        seen[plain] = label


def read_label2id(config: Config, root: Path, rows: pd.DataFrame) -> dict[str, int]:
    """The class numbers: from --label2id, from label2id.json beside the data, else by name."""
    file = Path(config.label2id) if config.label2id else root / "label2id.json"
    if config.label2id and not os.path.exists(file):
        raise InputError(f"--label2id {file}: there is no such file")
    labels = sorted(rows["label"].unique())
    if os.path.lexists(file):
        refuse_other_than_text_files(file)
        try:
            text = file.read_text(encoding="utf-8-sig")
            pairs = json.loads(text, object_pairs_hook=tuple)  # not dict, which hides a repeat
            if type(pairs) is tuple:
                pairs = tuple((composed(label), number) for label, number in pairs)
            label2id = dict(pairs)
            numbers = sorted(number for _, number in pairs)
        except (ValueError, TypeError, RecursionError):
            pairs = numbers = ()
        if (
            type(pairs) is not tuple
            or not pairs
            or any(type(number) is not int for number in numbers)
        ):
            raise InputError(f'{file}: must be JSON like {{"healthy": 0, "blast": 1}}')
        if numbers != list(range(len(numbers))) or len(pairs) > len(label2id):
            raise InputError(f"{file}: must number the classes 0 to {len(numbers) - 1}, each once")
        refuse_unwritable_names(pd.Series(list(label2id)), file)
        if absent := sorted(set(label2id) - set(labels)):
            print(printable(f"{file}: no image of {', '.join(absent)} in this data"))
    else:
        refuse_look_alikes(labels, root)
        label2id = {label: number for number, label in enumerate(labels)}
    if len(labels) < 2:
        raise InputError(f"training needs 2 or more classes; all images are {labels[0]!r}")
    return label2id


def names_file(config: Config, source: Source) -> Path | None:
    """The names.json beside the data or the class numbers. Raises `InputError` if there are two."""
    folders = [*source.folders, *([Path(config.label2id).parent] if config.label2id else [])]
    found = {os.path.realpath(folder): folder / NAMES for folder in folders}
    there = [file for file in found.values() if os.path.lexists(file)]
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1]} both say what classes are called: keep one")
    return there[0] if there else None


def without_bad_images(data: DataSet, skip: bool, read: Callable = read_image) -> DataSet:
    """The data set without files that are missing or cannot be read; stops unless `skip`.

    Every image is read once, up to 20,000, or with `skip`. Of more only the first bytes are
    looked at: training then stops at the first file that turns out bad.
    """
    files = list(data.rows["absolute_path"])
    if len(files) > READ_UP_TO and not skip:
        look, what = problem_at_a_glance, "looking at every image's first bytes"
    else:
        look, what = lambda path: problem_of(path, read), "reading every image once"
    problems = in_threads(look, files, lambda steps, total: console.bar(steps, what, total))
    problems = pd.Series(problems, data.rows.index)
    bad = problems.notna()
    if not bad.any():
        return data
    shown = zip(data.rows["path"][bad].head(20), problems[bad])
    listed = [f"{printable(path)[:200]} ({problem})" for path, problem in shown]
    more = f" and {bad.sum() - 20:,} more" if bad.sum() > 20 else ""
    if not skip:
        raise InputError(
            f"{bad.sum():,} of {len(data.rows):,} images in {data.source} cannot be used: "
            f"{'; '.join(listed)}{more}. Mend them, or leave them out with --skip-bad-images"
        )
    print(f"bad images left out, {bad.sum():,} of {len(bad):,}: {'; '.join(listed)}{more}")
    if bad.all():
        raise InputError(f"{data.source}: no readable image remains")
    return replace(data, rows=data.rows[~bad].reset_index(drop=True))
