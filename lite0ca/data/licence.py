"""Under which licence photos lie, where their folder says so; nothing is guessed."""

from __future__ import annotations

import re
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.files.json_files import known_json
from lite0ca.files.reading import beginning

LICENCES = ("LICENSE*", "LICENCE*", "license*", "licence*")  # Linux knows small letters from large
READMES = ("README*", "readme*")
KAGGLES = "dataset-metadata.json"
MOST = 20_000  # bytes of a text that are looked at
SAID = re.compile(r"^[\s#>*|-]*licen[sc]ed?\b[\s*]*(?:[:|]|under\b)\s*(\S.*)$", re.IGNORECASE)
HEADING = re.compile(r"^#+\s*(.*\blicen[sc]e.*)$", re.IGNORECASE)


def licence_of(folder: str | Path) -> str | None:
    """What a data folder says of its licence, and in which file; None where it says nothing.

    The first line of a file LICENSE, the licence that Kaggle's `dataset-metadata.json` names, a
    line such as `License: CC BY 4.0` of a README, or there a heading that a person has to read on.
    """
    folder = Path(folder)
    for file in files_named(folder, LICENCES):
        for line in lines_of(file):
            return f"{line} ({printable(file.name)})"
    licences = known_json(folder / KAGGLES).get("licenses")
    named = (
        [one.get("name") for one in licences or [] if isinstance(one, dict)]
        if type(licences) is list
        else []
    )
    if texts := [printable(name) for name in named if type(name) is str and name]:
        return f"{', '.join(texts)} ({KAGGLES})"
    for file in files_named(folder, READMES):
        lines = lines_of(file)
        for line in lines:
            if found := SAID.match(line):
                return f"{found[1].strip(' |*')} ({printable(file.name)})"
        for line in lines:
            if found := HEADING.match(line):
                return f"see '{found[1].strip(' #')}' in {printable(file.name)}"
    return None


def files_named(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def lines_of(file: Path) -> list[str]:
    """The lines that hold something; none of what is no text."""
    text = (beginning(file, MOST) or b"").decode("utf-8", errors="replace")
    if "\0" in text:
        return []
    return [printable(line.strip())[:200] for line in text.splitlines() if line.strip()]
