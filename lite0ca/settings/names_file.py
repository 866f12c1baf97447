"""`names.json`: a file in which a user says what the classes are called, checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from lite0ca.errors import InputError, composed
from lite0ca.files.json_files import json_object
from lite0ca.files.reading import read_bytes
from lite0ca.settings.fields import unknown
from lite0ca.settings.names import LANGUAGES, display_name

NAMES = "names.json"
LONGEST = 60  # letters: what fits a phone and a plot
LOOKS_LIKE = '{"leaf_blast": {"en": "leaf blast", "vi": "đạo ôn"}, "rust": "gỉ sắt"}'


def read_names(
    file: Path, classes: Iterable[str], found: bool = False
) -> dict[str, dict[str, str]]:
    """Class -> its name by language, as the file says. Raises `InputError`, `OSError`.

    A file that was found beside data may be of several data sets, or another program's: what is
    like no class in it is passed over then.
    """
    content, classes = read_bytes(file), list(classes)
    if found and content.lstrip().startswith(b"["):
        return {}
    try:
        written = json_object(content.removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, {error.msg}"
        raise InputError(f"{file}: is no JSON ({where}); it must look like {LOOKS_LIKE}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no object, a class twice
        raise InputError(f"{file}: {error}; it must be JSON like {LOOKS_LIKE}") from None
    if found:
        like = partial(get_close_matches, possibilities=[composed(label) for label in classes])
        written = {typed: said for typed, said in written.items() if like(composed(typed))}
    try:
        names = names_in(written, classes)
        refuse_same(names, classes)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    return names


def names_in(written: Mapping, classes: Iterable[str]) -> dict[str, dict[str, str]]:
    """As `read_names`, of what was in the file. Raises `ValueError` with what is wrong."""
    spelled = {composed(label): label for label in classes}  # a run may keep a Mac's spelling
    names: dict[str, dict[str, str]] = {}
    for typed, said in written.items():
        if composed(typed) not in spelled:
            raise ValueError(f"class {unknown(composed(typed), sorted(spelled))}")
        label = spelled[composed(typed)]
        if label in names:
            raise ValueError(f"names {label!r} twice")
        if isinstance(said, str):
            said = dict.fromkeys(LANGUAGES, said)
        if not isinstance(said, Mapping) or not said:
            raise ValueError(f"the name of {label!r} must be a text, or a text for each language")
        if strange := [language for language in said if language not in LANGUAGES]:
            raise ValueError(f"{label!r}: language {unknown(strange[0], LANGUAGES)}")
        names[label] = {language: a_name(text, label) for language, text in said.items()}
    return names


def a_name(text: object, label: str) -> str:
    """The text in NFC, without blanks around it. Raises `ValueError` if it cannot be shown."""
    shown = composed(text).strip() if isinstance(text, str) else ""
    if not shown:
        raise ValueError(f"the name of {label!r} must be a text that is not blank")
    if len(shown) > LONGEST:
        raise ValueError(
            f"the name of {label!r} has {len(shown)} letters, and {LONGEST} are the most"
        )
    if not shown.isprintable():
        raise ValueError(f"the name of {label!r} has a letter that cannot be shown: {shown!a}")
    return shown


def refuse_same(names: Mapping[str, Mapping[str, str]], classes: Iterable[str]) -> None:
    """Raise `ValueError` if a name was given that another class has as well."""
    for language in LANGUAGES:
        seen: dict[str, str] = {}
        # Those that were given come last, so that built-in ones that are alike pass.
        for label in sorted(classes, key=lambda label: language in names.get(label, {})):
            name = display_name(label, names, language)
            other = seen.setdefault(name.casefold(), label)
            if other != label and language in names.get(label, {}):
                raise ValueError(f"{other!r} and {label!r} would both be {name!r} ({language})")


def are_names(stored: object, classes: Iterable[str]) -> bool:
    """Whether this is what `names_in` gives."""
    try:
        return isinstance(stored, dict) and names_in(stored, classes) == stored
    except (ValueError, TypeError):
        return False
