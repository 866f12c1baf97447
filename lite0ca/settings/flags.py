"""A command-line flag for each field of `Config`."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from lite0ca.errors import InputError
from lite0ca.settings.config import GROUPS, Config
from lite0ca.settings.fields import flag, unknown, value_type
from lite0ca.settings.presets import PRESETS


def default_text(field: dataclasses.Field) -> str:
    """The default as `--help` and docs/reference.md show it; empty where the help tells it."""
    if field.default is None or field.default is False:
        return "" if field.default is None else "off"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def add_flags(
    parser: argparse.ArgumentParser, only: tuple[str, ...] = (), whose: str | None = None
) -> None:
    """A flag for each field of `Config`; only the flags that are typed come out of parsing.

    `only` names the fields that a command has a use for; all by default. `whose` setting it is
    that holds where a flag is not typed; by default the field's own.
    """
    groups = {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    for field in dataclasses.fields(Config):
        if only and field.name not in only:
            continue
        kind, group = value_type(field), groups[field.metadata["group"]]
        default = whose or default_text(field)
        text = field.metadata["help"] + (f" (default: {default})" if default else "")
        options = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": kind, "metavar": field.name.split("_")[-1].upper()}
        if choices := PRESETS if field.name == "preset" else field.metadata["choices"]:
            options["metavar"] = "{" + ",".join(choices) + "}"
        group.add_argument(flag(field.name), **options)


def add_run(parser: argparse.ArgumentParser, others: str = ", or an exported file") -> None:
    """The argument RUN of the commands that take a trained model up again."""
    parser.add_argument("run", metavar="RUN", help=f"a run folder, a best_model.pt{others}")


def add_split(parser: argparse.ArgumentParser) -> None:
    """--split of the commands that score."""
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test", "all"),
        help="which part is scored (default: test, or valid where there is no test; all where the "
        "data has no split)",
    )


def add_looks(parser: argparse.ArgumentParser) -> None:
    """--looks of the commands that ask a model about photos."""
    parser.add_argument(
        "--looks",
        type=int,
        default=1,
        metavar="N",
        help="look at each photo so many times (1 to 16), for N times the time: whole, its "
        "middle (0.7 of its sides), those mirrored, 0.85 of its sides, turned, its corners; the "
        "answer is the mean. On rice 2 looks brought +0.03 of macro-F1 in fields elsewhere, and "
        "-0.005 on photos like the training photos (default: 1)",
    )


def add_run_flags(parser: argparse.ArgumentParser, names: str) -> None:
    """Flags that go over the run's own settings; `names` with spaces between them."""
    add_flags(parser, only=tuple(names.split()), whose="the run's")


def from_flags(typed: Mapping[str, Any]) -> Config:
    """The settings of the flags that were typed, over their preset or the run they resume."""
    typed = dict(typed)
    if (folder := typed.pop("resume", None)) is not None:
        return Config.of_run(folder, **typed)
    return Config.of(**typed)


def assignments(texts: list[str]) -> dict[str, object]:
    """`["epochs=1", "ema=on"]` -> `{"epochs": 1, "ema": True}`; raises `InputError`."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals:
            raise InputError(f"setting {text!r}: write it as name=value")
        if name not in fields:
            raise InputError(f"setting {unknown(name, fields)}")
        values[name] = read_value(fields[name], value.strip())
    return values


def read_value(field: dataclasses.Field, text: str):
    """The text as the field's type; `none` clears a setting that may be empty."""
    kind = value_type(field)
    words = {"true": True, "on": True, "false": False, "off": False}
    if text.lower() == "none" and field.default is None:
        return None
    try:
        return words[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        wanted = "on or off" if kind is bool else kind.__name__
        raise InputError(f"setting {field.name}={text}: takes {wanted}") from None


def as_typed(changes: dict) -> str:
    """Settings as the flags that say the same: {"ema": True, "epochs": 3} -> "--ema --epochs 3"."""
    words = []
    for name, value in changes.items():
        words.append(flag(f"no_{name}" if value is False else name))
        if not isinstance(value, bool):
            words.append(shlex.quote(value) if isinstance(value, str) else f"{value:g}")
    return " ".join(words)
