"""A competition's submission: the sample's very columns, order and ids, with a model's answers."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lite0ca.data.classes import plain_name
from lite0ca.data.column_names import LABELS, plain_names
from lite0ca.data.sample_submission import Sample, listed, read_sample, read_table
from lite0ca.errors import InputError, composed, printable
from lite0ca.files.destination import check_length, check_writable
from lite0ca.files.ownership import refuse_others
from lite0ca.files.streams import is_stream
from lite0ca.files.tables import csv_line
from lite0ca.files.whole_file import whole
from lite0ca.images.reading import IMAGE_SUFFIXES, identity_of
from lite0ca.machine import console
from lite0ca.prediction import Model

SUBMISSION = "submission.csv"
FLOAT = re.compile(r"(\d+)\.0+")


def write_submission(
    model: Model,
    sample: str | os.PathLike,
    photos: str | os.PathLike | Sequence[str | os.PathLike],
    path: str | os.PathLike = SUBMISSION,
) -> Path:
    """Answer the photos of a sample_submission.csv and write them as it wants them; returns `path`.

    `sample` has a column of ids and either one of labels or one a class, of probabilities; the
    names of the columns may be any. `photos` are the folder of the test photos, or several. What
    was written is read again and checked. A photo that cannot be read is named on stderr, and gets
    the class that was answered most, or equal probabilities. Raises `InputError`, before any
    photo is read, for a sample that cannot be used, ids without a photo, and a file in the way.
    """
    wanted = read_sample(sample, photos)
    check_place(path, wanted)
    return write(model, wanted, path)


def check_place(path: str | os.PathLike, wanted: Sample) -> None:
    """Raise `InputError` where the submission cannot be written, or would replace what is none.

    Only an earlier submission for this sample is replaced: the same columns and ids.
    """
    path = os.fspath(path)
    if not path or os.path.basename(path) in ("", ".", "..") or os.path.isdir(path):
        raise InputError(f"--csv {path}: name a file for the submission")
    check_length(path)
    if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        raise InputError(f"--csv {path}: has the name of a photo; name a .csv file")
    if is_stream(path):
        return
    check_writable(Path(os.path.realpath(path)).parent)
    if os.path.exists(path) and identity_of(path) in map(
        identity_of, [wanted.path, *wanted.photos]
    ):
        raise InputError(f"--csv {path}: is the sample or a photo; name another file")
    refuse_others(path, is_submission_for(path, wanted), "--csv")


def is_submission_for(path: str, wanted: Sample) -> bool:
    """Whether a file is empty, or has the columns and ids of the sample."""
    if os.path.isfile(path) and not os.path.getsize(path):
        return True
    try:
        header, rows = read_table(path)
    except (InputError, OSError):
        return False
    ids = [row[wanted.ids] for row in rows] if header == wanted.header else None
    return ids == [row[wanted.ids] for row in wanted.rows]


def write(model: Model, wanted: Sample, path: str | os.PathLike) -> Path:
    """Answer all photos, in constant memory, write the file whole, and check it."""
    path = Path(path)
    columns = columns_to_fill(model, wanted)
    label = next((number for number, name in columns.items() if name is None), None)
    spelled = {} if label is None else spelling(model, wanted, label)
    rows, unread, counts = [], [], Counter()
    answers = model.answers(wanted.photos)
    for number, (file, answer, problem) in enumerate(
        console.bar(answers, "answering", len(wanted.photos))
    ):
        row = list(wanted.rows[number])
        rows.append(row)
        if answer is None:
            unread.append(number)
            print(f"cannot be read: {printable(problem or file)}", file=sys.stderr)
            continue
        counts[answer.label] += 1
        for column, cell in cells_of(answer.label, answer.probabilities, columns, spelled):
            row[column] = cell
    if not counts:
        raise InputError(f"{wanted.path}: none of its {len(rows):,} photos can be read")
    most = max(model.classes, key=lambda label: counts[label])
    equal = dict.fromkeys(model.classes, 1 / len(model.classes))
    for number in unread:
        for column, cell in cells_of(most, equal, columns, spelled):
            rows[number][column] = cell
    text = "".join(map(csv_line, [wanted.header, *rows]))
    with whole(path) as file:
        file.write(text)
    kept = [name for number, name in enumerate(wanted.header) if number not in columns]
    labels = None if label is None else [spelled.get(name, name) for name in model.classes]
    if not is_stream(path):
        check_submission(path, wanted.path, labels, kept)
    said(wanted, model, counts, unread, None if label is None else most, kept)
    return path


def cells_of(label: str, probabilities: dict, columns: dict[int, str | None], spelled: dict):
    """(number of the column, text) of each cell to fill in a row."""
    for column, name in columns.items():
        yield column, spelled.get(label, label) if name is None else f"{probabilities[name]:.9g}"


def said(
    wanted: Sample, model: Model, counts: Counter, unread: list, most: str | None, kept: list[str]
) -> None:
    """What was answered, in one line; on stderr what stands for photos that cannot be read."""
    total = ", ".join(f"{count:,} {printable(name)}" for name, count in counts.most_common())
    others = f"; {wanted.others:,} photos that the sample does not name" if wanted.others else ""
    print(f"{len(wanted.rows):,} photos: {total}{others}")
    if rest := [name for name in kept if name != wanted.header[wanted.ids]]:
        print(printable(f"columns that stay as the sample has them: {listed(rest)}"))
    if unread:
        instead = printable(most) if most else f"1/{len(model.classes)} for each class"
        print(
            f"{len(unread):,} of {len(wanted.rows):,} photos cannot be read: their rows say "
            f"{instead}",
            file=sys.stderr,
        )


def columns_to_fill(model: Model, wanted: Sample) -> dict[int, str | None]:
    """The class of each column of probabilities, by its number; None for that of the label.

    The header tells: columns that are called as the classes are, or the one other than the ids.
    Of several others it is the one with a usual name, or without a cell. Raises `InputError`.
    """
    asked = wanted.asked
    names = [wanted.header[number] for number in asked]
    exactly = {composed(label): label for label in model.classes}
    alike = {plain_name(label): label for label in model.classes}
    if len(alike) < len(exactly):
        alike = {}
    found = [exactly.get(composed(n.strip())) or alike.get(plain_name(n.strip())) for n in names]
    known = [label for label in found if label]
    if not known and (label := label_column(wanted)) is not None:
        return {label: asked_probability(model, wanted, label)}
    strange = [name for name, label in zip(names, found) if not label]
    missing = [label for label in model.classes if label not in known]
    repeated = [label for label, count in Counter(known).items() if count > 1]
    only_one = len(model.classes) == 2 and len(asked) == 1  # a probability of one of two
    if strange or repeated or (missing and not only_one):
        problem = (
            f"its columns {listed(strange)} are none of the model's classes"
            if strange
            else f"it has two columns for {repeated[0]!r}"
            if repeated
            else f"it has no column for the model's classes {listed(missing)}"
        )
        raise InputError(
            f"{wanted.path}: {problem}; beside {wanted.header[wanted.ids]!r} it needs one column "
            f"of labels, or one of probabilities for each of {listed(model.classes)}"
        )
    return dict(zip(asked, known))


def label_column(wanted: Sample) -> int | None:
    """The number of the column for the label; None where several may be it."""
    asked = wanted.asked
    usual = [number for number in asked if plain_names([wanted.header[number]]).keys() & LABELS]
    empty = [number for number in asked if not any(row[number].strip() for row in wanted.rows)]
    return next((found[0] for found in (asked, usual, empty) if len(found) == 1), None)


def asked_probability(model: Model, wanted: Sample, column: int) -> str | None:
    """Of labels 0 and 1: the latter, where the sample has fractions such as 0.5, and says so."""
    by_number = {whole_number(label): label for label in model.classes}
    cells = {row[column].strip() for row in wanted.rows}
    if set(by_number) != {"0", "1"} or not all(is_answer(cell, None) for cell in cells):
        return None
    if all(float(cell).is_integer() for cell in cells):
        return None
    name = printable(wanted.header[column])
    print(f"{name}: the probability of {by_number['1']}, since the sample has fractions there")
    return by_number["1"]


def whole_number(label: str) -> str:
    """`1.0`, as pandas writes numbers beside an empty cell, is `1`."""
    label = composed(label.strip())
    return found[1] if (found := FLOAT.fullmatch(label)) else label


def spelling(model: Model, wanted: Sample, column: int) -> dict[str, str]:
    """How the sample spells labels of the model; the model spells them as its training data does.

    What the sample says in that column is a placeholder, the same in all rows or empty; says so
    on stderr where it is no class. Where it has `0.0` for 0, the others are written so as well.
    Raises `InputError` where several labels there are none.
    """
    said = {cell for row in wanted.rows if (cell := row[column]).strip()}
    numbers = {whole_number(label): label for label in model.classes}
    exactly = {composed(label): label for label in model.classes}
    if len(numbers) < len(exactly):
        numbers = {}
    found = {
        cell: exactly.get(composed(cell.strip())) or numbers.get(whole_number(cell))
        for cell in said
    }
    strange = sorted(cell for cell, label in found.items() if label is None)
    if strange and len(said) > 1:
        raise InputError(
            f"{wanted.path}: its {wanted.header[column]!r} says {listed(strange)}, which the model "
            f"does not know; it answers {listed(model.classes)}: train on the competition's labels"
        )
    if strange:
        print(
            printable(
                f"{wanted.path}: {wanted.header[column]!r} is {strange[0]!r} in every row, no "
                f"class of the model; its own labels are written: {listed(model.classes)}"
            ),
            file=sys.stderr,
        )
    if found and all(map(FLOAT.fullmatch, said)) and all(map(str.isdecimal, numbers)):
        return {label: f"{number}.0" for number, label in numbers.items()}
    return {label: cell.strip() for cell, label in found.items() if label}


def check_submission(
    path: str | os.PathLike,
    sample: str | os.PathLike,
    labels: Sequence[str] | None = None,
    kept: Sequence[str] = (),
) -> None:
    """Read a submission and hold it against its sample: columns, rows, ids in order, every cell.

    With `labels` each answer has to be one of them, without them a probability. `kept` are the
    columns that are as in the sample; by default the first that is so and has no cell twice.
    Raises `InputError` that says what differs.
    """
    path, sample = os.fspath(path), os.fspath(sample)
    (header, rows), (expected, wanted) = read_table(path), read_table(sample)
    if header != expected:
        raise InputError(f"{path}: has the columns {listed(header)}, not {listed(expected)}")
    if len(rows) != len(wanted):
        raise InputError(f"{path}: has {len(rows):,} rows, its sample has {len(wanted):,}")
    same = [number for number in range(len(header)) if is_kept(number, rows, wanted)]
    ids = next((number for number in same if len({row[number] for row in rows}) == len(rows)), None)
    stay = [header.index(name) for name in kept] or ([] if ids is None else [ids])
    if not stay or set(stay) - set(same):
        raise InputError(f"{path}: its ids are not those of {sample}, or in another order")
    for number in (number for number in range(len(header)) if number not in stay):
        for row, cells in enumerate(rows, 1):
            if not cells[number]:
                raise InputError(f"{path}: row {row} has no {header[number]!r}")
            if not is_answer(cells[number], labels):
                what = "no probability" if labels is None else "no label of the model"
                raise InputError(
                    f"{path}: row {row}: {header[number]!r} is {cells[number]!r}, {what}"
                )


def is_kept(number: int, rows: list[list[str]], wanted: list[list[str]]) -> bool:
    """Whether a column is as the sample has it."""
    return [row[number] for row in wanted] == [row[number] for row in rows]


def is_answer(cell: str, labels: Sequence[str] | None) -> bool:
    if labels is not None:
        return cell in labels
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False
