"""JSON objects, read strictly and written whole."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from lite0ca.errors import InputError, opening
from lite0ca.files.reading import beginning, read_bytes
from lite0ca.files.whole_file import whole


def read_json(path: str | Path) -> dict:
    """The JSON object in a file; raises `InputError` if it holds none, `OSError` if not there."""
    content = read_bytes(path)
    with opening(path, "is damaged"):
        return json_object(content)


def json_object(content: bytes) -> dict:
    """The names and values that JSON holds, each name once; raises `ValueError`."""
    found = json.loads(content.decode("utf-8"), object_pairs_hook=each_once)
    if not isinstance(found, dict):
        raise ValueError("holds no names with values")
    return found


def each_once(pairs: list[tuple[str, object]]) -> dict:
    found = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"names {name!r} twice")
        found[name] = value
    return found


def json_text(content) -> str:
    """JSON for people: indented, in any letters. Raises `ValueError` for NaN, which JSON lacks."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, content) -> None:
    """Write a file whole; raises what `json_text` and `whole` raise."""
    text = json_text(content)
    with whole(path) as file:
        file.write(text)


def known_json(path: str | Path) -> dict:
    """What a file of JSON names, to see whose it is; nothing of what is none."""
    if beginning(path, 1):
        with contextlib.suppress(InputError, OSError):
            return read_json(path)
    return {}
