"""The report of an export: which files it left, what each is worth, and how to know them again."""

from __future__ import annotations

from pathlib import Path

from lite0ca.errors import InputError, opening
from lite0ca.files.json_files import json_object, json_text
from lite0ca.files.reading import read_bytes
from lite0ca.files.whole_file import whole
from lite0ca.formats import seal
from lite0ca.formats.run_files import sha256

INSTEAD = "export again, or predict with the run's best_model.pt"


def write_report(path: Path, report: dict) -> None:
    text = json_text(report | {seal.NAME: seal.EMPTY})
    with whole(path, "wb") as file:
        file.write(seal.sealed(text.encode()))


def read_report(path: Path) -> dict | None:
    """The report; None of a version that kept no checksums. Raises `InputError` for damage."""
    content = read_bytes(path)
    with opening(path, f"is damaged; {INSTEAD}"):
        is_sealed = seal.is_sealed(content)
        report = json_object(content)
        if seal.NAME in report and not is_sealed:
            raise ValueError("its checksum is not where it was")
    return report if is_sealed else None


def rows_of_files(rows: object) -> list[dict]:
    """Of the rows of a report, which may be damaged, those that name a file."""
    known = rows if isinstance(rows, (list, tuple)) else ()
    return [row for row in known if isinstance(row, dict) and type(row.get("file")) is str]


def refuse_replaced(folder: Path, row: dict) -> None:
    """Raise `InputError` unless the files of a row are those that were proved."""
    for name, digest in row["sha256"].items():
        file = folder / Path(name).name
        if not file.is_file() or sha256(file) != digest:
            raise InputError(f"{file}: is damaged, or was replaced since the export; {INSTEAD}")
