"""The documents' tables, from `Config`, the presets, the systems and the study's CSV files:
`python tools/readme_tables.py README.md docs/reference.md`.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

from __future__ import annotations

import csv
import dataclasses
import re
import sys
from pathlib import Path
from statistics import mean, stdev

from lite0ca.files.whole_file import whole
from lite0ca.settings.config import GROUPS, Config
from lite0ca.settings.fields import flag, value_type
from lite0ca.settings.flags import as_typed, default_text
from lite0ca.settings.presets import PRESETS
from lite0ca.settings.systems import SYSTEMS

COMMON = ("pretrained", "save_history")  # in every preset
STUDY = Path(__file__).resolve().parent.parent / "benchmarks/study"
# Arm of the study -> what was trained, in words.
SHOWN = {
    "six colour numbers": "six colour numbers and a random forest, no network",
    "none": "Lite0 without attention, 4 epochs, 160 pixels",
    "ca": "the same with Coordinate Attention",
    "basic": "`--preset basic`, of [the guide](#if-you-come-from-the-guide): 15 epochs, 224 pixels",
    "fast": "`--preset fast`: 3 epochs, up to 192 pixels",
    "robust of 0.5": "`--preset robust` as it was in 0.5: 14 epochs, up to 224 pixels",
    "robust": "`--preset robust`: half of its pictures from afar as well",
    "best": "`--preset best` as it was in 0.8: the same for 24 epochs, up to 256 pixels",
    "best, all": "`--preset best --all`: learns from the 231 valid photos as well",
}


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


def results() -> str:
    """Arms of the study on three sets of photos; the number of runs behind each score."""
    runs, answers = rows_of("runs.csv"), rows_of("answers_given.csv")
    plain = sum(row["ca 1 recoloured"] != "" for row in answers)  # others have no such background
    rows = []
    for arm, text in SHOWN.items():
        given = [row for row in runs if row["arm"] == arm and row["split"] == "given"]
        in_fields = (arm, f"{arm}, field")
        fields = [row for row in runs if row["arm"] in in_fields and row["split"] == "field"]
        scores = [spread(given, "test_f1"), spread(given, "background_recoloured_f1")]
        outside = [row for row in runs if row["arm"] == f"{arm}, outside"]
        scores += [spread(fields, "test_f1"), spread(outside, "test_f1")]
        rows.append([text, *scores, minutes(given)])
    head = ["macro-F1 (runs)", f"{len(answers)} test photos"]
    head.append(f"{plain} of them, background recoloured")
    head.append(f"trained without fields, {len(rows_of('answers_field.csv'))} photos in fields")
    head.append(f"{len(rows_of('answers_outside.csv'))} photos of another country's fields")
    return markdown([*head, "minutes of training"], rows)


def rows_of(file: str) -> list[dict[str, str]]:
    with open(STUDY / file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def spread(runs: list[dict[str, str]], column: str) -> str:
    """Mean, standard deviation over the seeds, and how many there are."""
    values = [float(row[column]) for row in runs if row[column]]
    if len(values) < 2:
        return "".join(f"{value:.3f}" for value in values)
    return f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)})"


def minutes(runs: list[dict[str, str]]) -> str:
    """The shortest and the longest training, as its own machine was busy or not."""
    taken = [float(row["train_seconds"]) / 60 for row in runs if row["train_seconds"]]
    if not taken:
        return ""
    least, most = f"{min(taken):.0f}", f"{max(taken):.0f}"
    return least if least == most else f"{least} to {most}"


def filled(text: str) -> str:
    """The text with every table between its marks made anew."""
    for table in (results, flags, presets, systems):
        mark = table.__name__
        pattern = f"<!-- {mark} -->.*?<!-- /{mark} -->"
        if re.search(pattern, text, flags=re.DOTALL):
            block = f"<!-- {mark} -->\n\n{table()}\n\n<!-- /{mark} -->"
            text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        text = filled(Path(name).read_text(encoding="utf-8"))
        with whole(name) as file:
            file.write(text)
