"""What is typed for a run: the command that trains it, and those that take it up."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path

from lite0ca.settings.config import Config
from lite0ca.settings.flags import as_typed

SCRIPT = "python train_EfficientNet_Lite0_CA.py"
COMMAND = "python -m lite0ca"
PATHS = ("metadata", "data_dir", "label2id", "weights", "output_dir", "cache_dir")


def of_training(config: Config) -> str:
    """The command with these settings: the preset, and what differs from it."""
    preset = f" --preset {config.preset}" if config.preset else ""
    changes = changed(config, Config.of(config.preset))
    changes |= {name: from_here(changes[name]) for name in PATHS if name in changes}
    return f"{SCRIPT}{preset} {as_typed(changes)}".rstrip()


def changed(config: Config, other: Config) -> dict:
    """The settings that differ from another's, by name; what cannot be typed is left out."""
    names = (field.name for field in dataclasses.fields(Config) if field.name != "resume")
    values = {name: getattr(config, name) for name in names}
    return {n: v for n, v in values.items() if v is not None and v != getattr(other, n)}


def after(run: str | Path) -> list[str]:
    """The commands that come next: an answer, a score elsewhere, a page for phones."""
    name = shlex.quote(str(run))
    return [
        f"{COMMAND} predict {name} photo.jpg",
        f"{COMMAND} evaluate {name} --data-dir photos_from_elsewhere",
        f"{COMMAND} export {name} --web page",
    ]


def from_here(path: str) -> str:
    """A path as a person reads it: from this folder, where it lies below."""
    here, there = Path.cwd(), Path(os.path.abspath(path))
    return str(there.relative_to(here) if there.is_relative_to(here) else path)
