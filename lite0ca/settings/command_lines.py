"""What is typed for a run: the command that trains it, and those that take it up."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path

from lite0ca.settings.config import Config
from lite0ca.settings.flags import as_typed

COMMAND = "lite0ca"
SCRIPT = f"{COMMAND} train"
PATHS = ("metadata", "data_dir", "label2id", "weights", "calibration_run")
PATHS += ("output_dir", "cache_dir")


def of_training(config: Config) -> str:
    """The command with these settings, for a page that is sent: paths tell nothing of the machine.

    It is the preset, and what differs from it.
    """
    preset = f" --preset {config.preset}" if config.preset else ""
    return f"{SCRIPT}{preset} {as_typed(changed(config, Config.of(config.preset)))}".rstrip()


def changed(config: Config, other: Config) -> dict:
    """The settings that differ from another's, by name, paths as others may read them.

    What cannot be typed is left out.
    """
    names = (field.name for field in dataclasses.fields(Config) if field.name != "resume")
    values = {name: getattr(config, name) for name in names}
    return {
        name: from_here(value) if name in PATHS else value
        for name, value in values.items()
        if value is not None and value != getattr(other, name)
    }


def after(run: str | Path) -> list[str]:
    """The commands that come next: an answer, a score elsewhere, a page for phones."""
    name = quoted(run)
    return [
        f"{COMMAND} predict {name} photo.jpg",
        f"{COMMAND} evaluate {name} --data-dir photos_from_elsewhere",
        f"{COMMAND} export {name} --web page",
    ]


def resuming(run: str | Path) -> list[str]:
    """The command that goes on with a run that has stopped early."""
    return [f"{SCRIPT} --resume {quoted(run)}"]


def quoted(path: str | Path) -> str:
    """As every shell takes it: of a Windows path the backslashes would need quotes."""
    return shlex.quote(Path(path).as_posix())


def from_here(path: str | Path) -> str:
    """A path as others may read it: from this folder where it lies below, else its last name."""
    here, there = Path.cwd(), Path(os.path.abspath(path))
    inside = there.is_relative_to(here)
    return there.relative_to(here).as_posix() if inside else f".../{there.name}"
