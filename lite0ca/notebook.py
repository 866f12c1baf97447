"""What a notebook needs beside the package: strict parameters, a settings table, pictures.

papermill only warns of a parameter that a notebook does not have, and runs the defaults; here
such a run stops.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import io
import itertools
import os
import shutil
import warnings
from pathlib import Path

import pandas as pd
from IPython import get_ipython
from IPython.display import Image, Markdown
from matplotlib.figure import Figure

from lite0ca.data.competition import Competition, competition_of
from lite0ca.data.dataset import SAMPLE
from lite0ca.data.sample import drawn_competition, drawn_sample
from lite0ca.errors import InputError, Stopped, TrainingDiverged
from lite0ca.files.whole_folder import whole_folder
from lite0ca.machine.environment import kaggle_begun, kaggle_runs
from lite0ca.settings import command_lines
from lite0ca.settings.config import Config
from lite0ca.settings.fields import unknown
from lite0ca.settings.flags import as_typed, assignments
from lite0ca.settings.presets import PRESETS

INJECTED = "# Parameters"  # first line of the cell that papermill adds behind the notebook's own
# Parameters and settings that name files or folders.
PATHS = (*command_lines.PATHS, "resume", "run", "results", "study", "submission")


def settings(
    preset: str | None,
    overrides: dict | str,
    metadata: str | None = None,
    data_dir: str | None = None,
) -> Config:
    """The settings of a notebook's parameters cell; from here on it works in the repo's root.

    `overrides` is a dict, or text as in papermill's `-p overrides "epochs=1 train_limit=64"`.
    Relative paths are as for the script, from the root; those that papermill added, from where it
    was called. `metadata` "sample" asks for drawings, unless `data_dir` or `overrides` name the
    data. With `resume` in `overrides` the settings are that run's, and `preset` is not used.
    Raises `InputError` for a name or value that no setting has.
    """
    begin()
    if isinstance(overrides, str):
        overrides = assignments(overrides.split())
    added, typed = added_by_papermill(), dict(overrides)
    if "overrides" in added:
        typed = {name: from_the_start(name, value) for name, value in typed.items()}
    if "metadata" in added:
        metadata = from_the_start("metadata", metadata)
    if "data_dir" in added:
        data_dir = from_the_start("data_dir", data_dir)
    if data_dir is not None:
        typed.setdefault("data_dir", data_dir)
    named = typed.get("metadata") or typed.get("data_dir")
    if metadata is not None and not (metadata == SAMPLE and named):
        typed.setdefault("metadata", metadata)
    if folder := typed.pop("resume", None):
        return resumed(folder, typed)
    config = Config.of(preset, **typed)
    if config.metadata == SAMPLE:
        config = dataclasses.replace(config, metadata=str(drawn_sample()))
    elif preset == "sample":
        print(
            'preset "sample" is made for drawings: for photos take "robust", or "fast" in a hurry'
        )
    return config


def begin() -> None:
    """What every notebook does first; `InputError` for a parameter that it does not have."""
    one_line_for_mistakes()
    # tqdm's, where ipywidgets is missing: plain bars will do, and the text would be stored.
    warnings.filterwarnings("ignore", message="IProgress not found")
    refuse_unknown_parameters()
    start = started_in()
    if Path.cwd().name in ("notebooks", "lab") and Path("../lite0ca").is_dir():
        os.chdir("..")  # paths mean the same as for the script
        data = os.environ.get("LITE0CA_DATA")
        if data and os.path.exists(start / data):
            os.environ["LITE0CA_DATA"] = str(start / data)
    if shell := get_ipython():
        for name in added_by_papermill():
            shell.user_ns[name] = from_the_start(name, shell.user_ns.get(name))


@functools.cache  # and so not asked again after a change of folder
def started_in() -> Path:
    """The folder that the notebook was started in: where papermill was called, or its --cwd."""
    return Path.cwd()


def from_the_start(name: str, value):
    """A parameter that papermill added; a path as it was meant where the notebook was started."""
    if name not in PATHS or not isinstance(value, str) or value in ("", SAMPLE):
        return value
    return os.path.join(started_in(), os.path.expanduser(value))


def resumed(folder: str, typed: dict) -> Config:
    """The settings of a run to go on with; `InputError` if one is typed that cannot change."""
    run = Config.of_run(folder)
    if typed.get("metadata") == SAMPLE:  # the cell's default, and no wish for other data
        del typed["metadata"]
    changed = {name: value for name, value in typed.items() if getattr(run, name, None) != value}
    return Config.of_run(folder, **changed)


def refuse_unknown_parameters() -> None:
    """Raise `InputError` for a parameter that papermill added and the notebook does not have."""
    for own, added in parameter_cells():
        known = assigned(own)
        for name in assigned(added):
            if name not in known:
                raise InputError(f"parameter {unknown(name, known)}")


def added_by_papermill() -> set[str]:
    """The names of the parameters in papermill's cell."""
    return {name for _, added in parameter_cells() for name in assigned(added)}


def parameter_cells() -> list[tuple[str, str]]:
    """(the notebook's own parameters cell, the one that papermill added behind it), if it did."""
    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell else []
    return [pair for pair in itertools.pairwise(cells) if pair[1].startswith(INJECTED)]


def assigned(source: str) -> list[str]:
    """The names that a cell of plain assignments binds."""
    targets = [node.targets for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for names in targets for target in names if isinstance(target, ast.Name)]


def one_line_for_mistakes() -> None:
    """A user's mistake stops the notebook with its one line, not with a page of traceback."""

    def handler(shell, kind, error, _traceback, tb_offset=None):
        line = [f"{kind.__name__}: {error}"]
        shell._showtraceback(kind, error, line)
        return line

    if shell := get_ipython():
        shell.set_custom_exc((InputError, TrainingDiverged, Stopped), handler)


def table(config: Config, all: bool = False) -> pd.DataFrame:
    """The settings that differ from the defaults, and who set them; with `all` the others too."""
    changes = PRESETS[config.preset].changes if config.preset else {}
    rows = []
    for field in dataclasses.fields(Config):
        value, default = getattr(config, field.name), field.default
        if value is None or field.name == "preset" or (value == default and not all):
            continue
        source = f"preset {config.preset}" if value == changes.get(field.name) else "override"
        shown = "" if default is None else str(default)
        rows.append((field.name, str(value), shown, "" if value == default else source))
    columns = ["setting", "value", "default", "set by"]
    return pd.DataFrame(rows, columns=columns).set_index("setting")


def attached_run(
    overrides: dict | str, metadata: str | None = None, data_dir: str | None = None
) -> str | None:
    """A copy in results/ of the newest run that is attached on Kaggle; None if there is none.

    What is attached cannot be written to, and an export goes into the run's folder. Settings or
    data that somebody has typed ask for a run of their own: then it is None as well.
    """
    if not (runs := kaggle_runs()):
        return None
    if overrides or data_dir or metadata not in (None, SAMPLE):
        print(f"overrides or data are set, so the attached run {runs[-1]} is not taken")
        return None
    copy = Path("results", runs[-1].name)
    if not copy.exists():
        with whole_folder(copy) as scratch:
            shutil.copytree(runs[-1], scratch, dirs_exist_ok=True)
    print(f"attached run: {runs[-1]}, copied to {copy}")
    return str(copy)


def competition(
    preset: str | None,
    overrides: dict | str,
    metadata: str | None = None,
    data_dir: str | None = None,
) -> tuple[Config, Competition]:
    """As `settings`, of a competition: with what lies beside its training table.

    `metadata` "sample" is the drawn one laid out so. What was trained in an earlier session and is
    attached on Kaggle is copied to the output folder first. Raises `InputError`.
    """
    begin()
    typed = assignments(overrides.split()) if isinstance(overrides, str) else dict(overrides)
    for name in ("resume", "fold", "all", "calibration_run", "time_budget"):
        if name in typed:
            raise InputError(
                f"overrides: {name} is what this notebook decides itself; leave it out"
            )
    config = settings(preset, overrides, metadata, data_dir)
    if metadata == SAMPLE and not (data_dir or typed.get("metadata") or typed.get("data_dir")):
        config = dataclasses.replace(config, metadata=None, data_dir=str(drawn_competition()))
    found = competition_of(config)
    take_attached_runs(Path(config.output_dir))
    return config, found


def take_attached_runs(folder: Path) -> None:
    """Copy the runs of attached outputs into a folder, where they can go on; says which."""
    for run in kaggle_begun():
        if (folder / run.name).exists():
            continue
        with whole_folder(folder / run.name) as scratch:
            shutil.copytree(run, scratch, dirs_exist_ok=True)
        print(f"attached run: {run}, copied to {folder / run.name}")


def labelling(
    run: str,
    folder: str | list[str],
    count: int | None = None,
    output_dir: str | None = None,
    **typed,
):
    """The photos of a place that are worth a label, each with a button for each class.

    They are those of `lite0ca label RUN FOLDER`, and its table is written anew at each click. What
    was filled in earlier is taken up. Where ipywidgets is missing it is a picture of the photos,
    and the table has to be filled in by hand. Raises `InputError`.
    """
    from lite0ca.adaptation import label_sheet as sheets
    from lite0ca.plots.label_buttons import label_buttons
    from lite0ca.plots.photos import wall
    from lite0ca.plots.report_page import as_jpeg

    photos = [folder] if isinstance(folder, (str, os.PathLike)) else list(folder)
    photos = [os.fspath(photo) for photo in photos]
    sheet = sheets.taken_up(run, photos, output_dir, **typed)
    if sheet is None:
        sheet = sheets.choose(run, photos, count, output_dir, **typed)
        sheets.write(sheet)
    sheets.say_unread(sheet)
    captions = [f"{n}: {sheet.answer(n - 1)}" for n in range(1, len(sheet.paths) + 1)]

    def on_label(number: int, label: str) -> str:
        if number >= 0:
            sheet.labels[number] = label
            sheets.write_table(sheet, sheet.table)
        done = sum(map(bool, sheet.labels))
        return f"{done} of {len(sheet.paths)} labelled, in {sheet.table}"

    pictures = sheets.pictures_of(sheet)
    try:
        jpegs = [as_jpeg(photo) for photo in pictures]
        return label_buttons(jpegs, captions, sheet.labels, sheet.classes, sheet.names, on_label)
    except ImportError:
        print("ipywidgets is not installed, so there are no buttons: fill in the column label of")
        print(f"{sheet.table} with one of {', '.join(sheet.classes)}")
        return picture(wall(pictures, captions, columns=4), format="jpeg")


def study_folder(study: str) -> str:
    """The folder of a study; where it is not there, what came with the wheels on Kaggle."""
    packed = importlib.util.find_spec("lite0ca_study")
    if os.path.isdir(study) or packed is None:
        return study
    return packed.submodule_search_locations[0]


def presets() -> Markdown:
    """Every preset: the flags that say the same, and why it is there."""
    lines = ["| preset | the same as typing | why |", "| --- | --- | --- |"]
    for name, preset in PRESETS.items():
        lines.append(f"| `{name}` | `{as_typed(preset.changes)}` | {preset.reason} |")
    return Markdown("\n".join(lines))


def picture(figure: Figure, dpi: int = 80, format: str = "png") -> Image:
    """The figure on white, which reads well on a light page and on a dark one.

    Photos as "jpeg": a wall of them is a sixth of the size, and notebooks are committed.
    """
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=dpi, facecolor="white")
    return Image(file.getvalue(), format=format)
