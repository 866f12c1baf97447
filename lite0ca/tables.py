"""The README's tables from `Config`, the presets and the systems: `python -m lite0ca.tables FILE`.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from lite0ca.config import GROUPS, Config, flag, value_type
from lite0ca.files import whole
from lite0ca.flags import default_text
from lite0ca.presets import PRESETS
from lite0ca.systems import SYSTEMS


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def flags() -> str:
    """Every flag in the order of `--help`."""
    rows = []
    for group, title in GROUPS.items():
        for field in dataclasses.fields(Config):
            if field.metadata["group"] != group:
                continue
            name = flag(field.name)
            shown = f"`{name}`" + (f" / `--no-{name[2:]}`" if value_type(field) is bool else "")
            rows.append([title, shown, default_text(field), field.metadata["help"]])
            title = ""
    return markdown(["", "flag", "default", "meaning"], rows)


def presets() -> str:
    """Every preset: what it changes and why; what all have in common stands once."""
    rows = []
    for name, preset in PRESETS.items():
        changes = " ".join(
            flag(key) if value is True else f"{flag(key)} {plainly(value)}"
            for key, value in preset.changes.items()
            if key not in ("pretrained", "save_history")
        )
        rows.append([f"`{name}`", f"`{changes}`" if changes else "", preset.reason])
    return markdown(["preset", "beside `--pretrained --save-history`", "why"], rows)


def plainly(value) -> str:
    """0.0001 as it is typed, words as they are."""
    return value if isinstance(value, str) else f"{value:g}"


def systems() -> str:
    """Every system: its backbone, attention, reduction."""
    rows = [
        [
            f"`{s.name}`",
            s.backbone,
            s.attention,
            str(s.reduction) if s.attention.startswith("ca") else "",
        ]
        for s in SYSTEMS.values()
    ]
    return markdown(["`--model-name`", "timm backbone", "attention", "reduction"], rows)


def filled(text: str) -> str:
    """The text with every table between its marks made anew."""
    for table in (flags, presets, systems):
        mark = table.__name__
        block = f"<!-- {mark} -->\n\n{table()}\n\n<!-- /{mark} -->"
        pattern = f"<!-- {mark} -->.*?<!-- /{mark} -->"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    path = Path(sys.argv[1])
    text = filled(path.read_text(encoding="utf-8"))
    with whole(path) as file:
        file.write(text)
