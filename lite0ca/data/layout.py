"""Where photos lie -> what they are: the split and the class that the names of folders say."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from lite0ca.errors import InputError
from lite0ca.settings.names import is_healthy

SPLITS = ("train", "valid", "test")
SPLIT_WORDS: dict[str, str] = dict.fromkeys(("train", "training", "trn"), "train")
SPLIT_WORDS |= dict.fromkeys(("valid", "val", "validation", "validate"), "valid")
SPLIT_WORDS |= dict.fromkeys(("dev", "development", "eval", "evaluation"), "valid")
SPLIT_WORDS |= dict.fromkeys(("test", "testing", "tst", "holdout"), "test")
# What else is in the names of splits, and says nothing: `train_images`, `Test Set`, `val-data`.
FILLERS = re.compile(
    "(sets?|data|datasets?|images?|imgs?|photos?|pictures?|pics?|files?|splits?|folders?|subset)+$"
)
# Versions of one data set beside each other, each with all classes: PlantVillage and its kind.
VERSIONS = {"original", "originals", "raw", "augmented", "augmentation", "aug", "processed"}
VERSIONS |= {"preprocessed", "resized", "cropped", "segmented", "color", "colour", "grayscale"}
VERSIONS |= {"greyscale", "gray", "grey", "rgb", "enhanced", "balanced", "unbalanced"}
FIRST_FOLDER = "the first folder is the class; those below it are of that class"
SHOWN = 5


@dataclass
class Layout:
    """`rows` are (photo, split or None, class); `guesses` say how folders were read.

    A photo that is in no row lies in no folder of a class. `splits` are the uppermost folders that
    are such.
    """

    rows: list[tuple[str, str | None, str]] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    splits: dict[str, str] = field(default_factory=dict)

    @property
    def is_data_set(self) -> bool:
        """Two classes or more, or splits, which may hold one each."""
        return bool(self.splits) or len({label for *_, label in self.rows}) > 1


def read_layout(photos: list[str]) -> Layout:
    """The layout of photos by their paths below a folder, with `/` between the parts.

    `class/…/photo`, `split/class/…/photo` or `class/split/…/photo`. Raises `InputError` where the
    names contradict each other, rather than drop a folder or take a split for a class.
    """
    paths = [(photo, photo.split("/")) for photo in photos]
    top = Counter(parts[0] for _, parts in paths if len(parts) > 1)
    if splits := splits_among(top):
        return splits_above(paths, splits)
    refuse_data_sets(paths, top)
    return classes_above(paths)


def splits_above(paths: list[tuple[str, list[str]]], splits: dict[str, str]) -> Layout:
    """Layout `split/class/…/photo`. Raises `InputError`."""
    layout = Layout(splits=splits)
    renamed = [f"{name} is {split}" for name, split in splits.items() if name.lower() != split]
    if renamed:
        layout.guesses.append(", ".join(sorted(renamed)))
    for split in splits:
        inside = [(photo, parts[1:]) for photo, parts in paths if parts[0] == split and parts[1:]]
        inside = [
            (photo, parts[1:] if len(parts) > 2 and repeats(parts[0], split) else parts)
            for photo, parts in inside
        ]
        refuse_data_sets(inside, Counter(parts[0] for _, parts in inside if len(parts) > 1))
        layout.rows += [(photo, splits[split], parts[0]) for photo, parts in inside if parts[1:]]
        deeper = {parts[1] for _, parts in inside if len(parts) > 2}
        if deeper:
            layout.guesses.append(f"in {split} {FIRST_FOLDER}: {named(deeper)}")
    if len(splits) > 1 and {split for _, split, _ in layout.rows} == {"train"}:
        layout.guesses.append("only those of train have a class, so a split of them is made")
        layout.rows = [(photo, None, label) for photo, _, label in layout.rows]
    return layout


def classes_above(paths: list[tuple[str, list[str]]]) -> Layout:
    """Layout `class/…/photo`, or `class/split/…/photo`. Raises `InputError`."""
    layout = Layout()
    second = {parts[1]: split_named(parts[1]) for _, parts in paths if len(parts) > 2}
    splits = {name for name, split in second.items() if split}
    beside = [photo for photo, parts in paths if len(parts) == 2] + sorted(set(second) - splits)
    in_splits = len({second[name] for name in splits}) > 1
    if splits and beside:
        raise InputError(
            f"below the classes lie {named(splits)}, which are splits, and {beside[0]}, which is "
            "in none"
        )
    if in_splits:
        layout.guesses.append(f"splits lie below the classes: {named(splits)}")
    elif second:
        layout.guesses.append(f"{FIRST_FOLDER}: {named(second)}")
    for photo, parts in paths:
        if len(parts) > 1:
            layout.rows.append((photo, second[parts[1]] if in_splits else None, parts[0]))
    return layout


def splits_among(top: Counter[str]) -> dict[str, str]:
    """The split that each folder is; nothing where these are folders of classes.

    Raises `InputError` for folders that would be dropped, and for two of one split.
    """
    found = {name: split for name in top if (split := split_named(name))}
    wide = {name: split for name in top if (split := split_within(name))}
    if "train" in wide.values() and len({*wide.values()}) > len({*found.values()}):
        found = wide
    if not found:
        return {}
    for split in SPLITS:
        if len(same := [name for name in found if found[name] == split]) > 1:
            raise InputError(
                f"{named(same)} all mean {split}: put them together, rename, or name one of them "
                "with --data-dir"
            )
    if others := {name: count for name, count in top.items() if name not in found}:
        shown = named(f"{name} ({count:,} photos)" for name, count in others.items())
        raise InputError(
            f"beside {named(found)} lies what is no split by its name: {shown}. Name it train, "
            "valid or test, put classes into a split, or list the photos in a CSV (--metadata)"
        )
    return found


def split_named(name: str) -> str | None:
    """`Val_Set`, `train_images`, `dev`, `hold-out` -> the split; None for any other name."""
    words = words_of(name)
    return SPLIT_WORDS.get(words[0]) if len(words) == 1 else None


def split_within(name: str) -> str | None:
    """As `split_named`, of names that say more: `seg_train`, `rice test 2`."""
    found = {SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def words_of(name: str) -> list[str]:
    """The words of a name but for those that say nothing: `Train_Images 2` -> `train`."""
    joined = re.sub(r"hold[\W_]+out", "holdout", name.lower())
    words = (FILLERS.sub("", word) for word in re.findall(r"[^\W\d_]+", joined))
    return [word for word in words if word]


def repeats(name: str, above: str) -> bool:
    """Whether a folder says nothing new: seg_train/seg_train, train/images."""
    return name == above or says_nothing(name)


def says_nothing(name: str) -> bool:
    """Whether a name is of letters and yet of no class: `images`, `data_set`."""
    return bool(re.search(r"[^\W\d_]", name)) and not words_of(name)


def refuse_data_sets(paths: list[tuple[str, list[str]]], top: Counter[str]) -> None:
    """Raise `InputError` for whole data sets beside each other, or images/ beside masks/."""
    if len(top) < 2:
        return
    if nameless := [name for name in top if says_nothing(name)]:
        raise InputError(
            f"{named(nameless)} is the name of no class (the folders are {named(top)}); name one "
            "of them with --data-dir, or list the photos in a CSV (--metadata)"
        )
    inside = {
        name: {parts[1] for _, parts in paths if parts[0] == name and len(parts) > 2}
        for name in top
    }
    several = {name for name, inner in inside.items() if len(inner) > 1}
    versions = all(VERSIONS & set(words_of(name)) for name in top)
    for name in sorted(several):
        inner = inside[name]
        has_class = any(map(is_healthy, inner))  # which is always a class: above it lies none
        in_splits = all(map(split_named, inner)) and all(
            len(parts) > 3 for _, parts in paths if parts[0] == name
        )
        if has_class or in_splits or versions:
            others = named(other for other in top if other != name)
            raise InputError(
                f"{name} holds {named(inner)}: it looks like a data set of its own, not like a "
                f"class, and beside it lies {others}; name one of them with --data-dir"
            )


def named(names) -> str:
    """Some names of folders, not endless."""
    names = sorted(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")
