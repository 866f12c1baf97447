"""Text of strangers in Markdown: names of classes and folders that are shown, and break nothing."""

from __future__ import annotations

import json
import re
import shlex

from lite0ca.errors import printable

SIGNS = re.compile(r"([\\`*_\[\]|~$@]|:(?=//)|(?<=www)\.)")  # of those that count within a line
PLAIN = re.compile(r"[\w .,:/+=()-]+")  # needs nothing, between backticks


def text(value: object) -> str:
    """As it is read, within a line: no sign of it is Markdown's or HTML's, and no link is made."""
    said = SIGNS.sub(r"\\\1", printable(str(value)))
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: object) -> str:
    """A label or a file between backticks, where its signs allow that; else as `text`."""
    shown = printable(str(value))
    return f"`{shown}`" if PLAIN.fullmatch(shown) and shown == shown.strip() else text(value)


def quoted(value: object) -> str:
    """A string of YAML: JSON's are."""
    return json.dumps(printable(str(value)), ensure_ascii=False)


def shell(value: object) -> str:
    """A name in a command that is shown."""
    return shlex.quote(printable(str(value)))
