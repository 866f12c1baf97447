"""The README's tables from `Config`, the presets, the systems and the study's CSV files:
`python tools/readme_tables.py FILE`.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pandas as pd

from lite0ca import compare
from lite0ca.config import GROUPS, Config, flag, value_type
from lite0ca.files import whole
from lite0ca.flags import as_typed, default_text
from lite0ca.presets import PRESETS
from lite0ca.systems import SYSTEMS

COMMON = ("pretrained", "save_history")  # in every preset
STUDY = Path(__file__).resolve().parent.parent / "benchmarks/study"


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
        own = {key: value for key, value in preset.changes.items() if key not in COMMON}
        rows.append([f"`{name}`", f"`{as_typed(own)}`" if own else "", preset.reason])
    return markdown(["preset", "beside `--pretrained --save-history`", "why"], rows)


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


def study() -> str:
    """Every arm of the study on the given split: scores, and what it is beside no attention."""
    scores = compare.summary(compare.runs_of(STUDY)).loc["given"]
    beside = compare.effects(STUDY, "none", [arm for arm in scores.index[1:] if arm != "none"])
    rows = []
    for arm, row in scores.iterrows():
        shown = [row["valid_f1"], row["test_f1"], row["background_recoloured_f1"]]
        shown += [row["background_removed_f1"], row["calibration_error"]]
        rows.append([arm, str(row["n"]), *shown, *effect_text(beside, arm)])
    head = ["arm", "runs", "valid macro-F1", "test", "test, background recoloured", "removed"]
    head += ["calibration error, test", "test minus `none` (95 % interval)", ""]
    return markdown(head, rows)


def field() -> str:
    """Trained on plain backgrounds, scored in fields."""
    return asked_elsewhere("field", "none")


def scenes() -> str:
    """Trained on plain backgrounds and healthy fields, scored in fields."""
    return asked_elsewhere("scenes", "ca")


def asked_elsewhere(split: str, baseline: str) -> str:
    """Every arm of one of the splits whose test photos are unlike those of training."""
    scores = compare.summary(compare.runs_of(STUDY)).loc[split]
    baseline, end = f"{baseline}, {split}", f", {split}"
    beside = compare.effects(STUDY, baseline, [a for a in scores.index[1:] if a != baseline])
    rows = []
    for arm, row in scores.iterrows():
        shown = [arm.removesuffix(end), str(row["n"]), row["valid_f1"], row["test_f1"]]
        rows.append([*shown, *effect_text(beside, arm)])
    head = ["arm", "runs", "valid macro-F1 (as in training)", "in fields"]
    head += [f"in fields minus `{baseline.removesuffix(end)}` (95 % interval)", ""]
    return markdown(head, rows)


def effect_text(effects: pd.DataFrame, arm: str) -> list[str]:
    if arm not in effects.index:
        return ["", ""]
    row = effects.loc[arm]
    numbers = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
    return [numbers, row["verdict"]]


def filled(text: str) -> str:
    """The text with every table between its marks made anew."""
    for table in (flags, presets, systems, study, field, scenes):
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
