"""Tables as CSV, whatever is in their texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lite0ca.files.whole_file import whole

FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # how a spreadsheet's begins
BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows UTF-8


def write_table(path: str | Path, table, for_people: bool = False) -> None:
    """A pandas table as CSV, cells that are missing empty; `for_people` see `csv_line`."""
    cells = table.astype(object).where(table.notna(), "")
    with whole(path) as file:
        file.write(csv_line(table.columns, for_people))
        file.writelines(csv_line(row, for_people) for row in cells.itertuples(index=False))


def csv_line(cells: Iterable, for_people: bool = False) -> str:
    """One row, whatever is in its texts.

    `for_people`, who open it in a spreadsheet: a text that would be a formula there gets an
    apostrophe before it, which makes it a text.
    """
    texts = []
    for cell in cells:
        text = str(cell)
        if for_people and isinstance(cell, str) and text.startswith(FORMULA):
            text = f"'{text}"
        # Python's writer leaves a carriage return alone that readers take for the end of a row.
        if any(sign in text for sign in '",\r\n'):
            text = '"' + text.replace('"', '""') + '"'
        texts.append(text)
    return ",".join(texts) + "\n"
