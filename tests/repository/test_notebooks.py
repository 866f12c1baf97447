"""The notebooks: pairs, parameters, budgets, and that they run; each check shown to fail."""

import ast
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest
from conftest import LITTLE, REPO, SLOW, TRIES
from notebook_pairs import differences

from lite0ca.errors import InputError
from lite0ca.settings.config import Config

new_markdown = nbformat.v4.new_markdown_cell

NAMES = ("01_data", "02_model", "03_train", "04_benchmark", "05_deploy", "06_explain", "07_study")
NAMES += ("08_competition",)
SCRIPTS = sorted((REPO / "notebooks").glob("*.py"))
CELLS, LINES, BYTES = 50, 18, 600_000  # the most of a notebook, of a code cell, of a file
MACHINE_PATH = re.compile(r"/(root|work|home|tmp|kaggle|Users)/\w")
TAGGED = "nbval-check-output"


def test_the_notebooks_are_found():
    assert tuple(path.stem for path in SCRIPTS) == NAMES


def problems_of(script: Path) -> list[str]:
    """What is wrong with a pair before it is run."""
    notebook = script.with_suffix(".ipynb")
    content = nbformat.read(notebook, as_version=4)
    found = differences(script, notebook)
    for file in (content, jupytext.read(script)):
        if file.metadata.get("kernelspec", {}).get("name") != "python3":
            found.append("no kernelspec python3")
    found += wrong_parameters(content)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    if len(content.cells) > CELLS:
        found.append(f"{len(content.cells)} cells")
    found += [f"{n} lines in a cell" for c in code if (n := c.source.count("\n") + 1) > LINES]
    if notebook.stat().st_size > BYTES:
        found.append(f"{notebook.stat().st_size:,} bytes")
    for cell in code:
        text = json.dumps([o for o in cell.outputs if "data" not in o or "image" not in str(o)])
        if MACHINE_PATH.search(text):
            found.append(f"machine path in an output: {MACHINE_PATH.search(text)[0]}")
        if any(o.output_type == "error" or o.get("name") == "stderr" for o in cell.outputs):
            found.append("an error or stderr is stored")
        if TAGGED in cell.metadata.get("tags", []) and not cell.outputs:
            found.append("a cell to be compared has no stored output")
    if not any(TAGGED in cell.metadata.get("tags", []) for cell in code):
        found.append("no cell is compared")
    return found


def wrong_parameters(content) -> list[str]:
    cells = [c for c in content.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        return [f"{len(cells)} parameters cells"]
    values = {}
    for node in ast.parse(cells[0].source).body:
        try:
            values[node.targets[0].id] = ast.literal_eval(node.value)
        except (ValueError, AttributeError):
            return [f"no literal: {ast.unparse(node)}"]
    if "study" in values:  # it reads what was trained, and trains nothing
        return []
    if missing := {"preset", "overrides", "metadata", "data_dir"} - set(values):
        return [f"no parameter {missing}"]
    try:
        Config.of(values["preset"], **values["overrides"])
    except InputError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_whole(name):
    assert problems_of(REPO / f"notebooks/{name}.py") == []


def test_the_install_cell_is_the_same_everywhere():
    first = {jupytext.read(script).cells[1].source for script in SCRIPTS}
    assert len(first) == 1 and "--no-index" in first.pop()


def test_the_install_cell_takes_a_clone_beside_the_notebook(tmp_path, monkeypatch):
    """To Python the clone's folder looks like a package; to pip its name like one of PyPI."""
    (tmp_path / "lite0ca/lite0ca").mkdir(parents=True)
    (tmp_path / "lite0ca/lite0ca/__main__.py").touch()
    monkeypatch.chdir(tmp_path)
    folder = importlib.machinery.ModuleSpec("lite0ca", None, is_package=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: folder)
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    exec(jupytext.read(SCRIPTS[0]).cells[1].source, {})
    assert commands == [[sys.executable, "-m", "pip", "install", "-q", "./lite0ca"]]


def add_parameters(content):
    content.cells.append(nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}))


def parameters(content):
    return next(c for c in content.cells if "parameters" in c.metadata.get("tags", []))


def last_code(content):
    return [cell for cell in content.cells if cell.cell_type == "code"][-1]


def tagged(content):
    return next(c for c in content.cells if TAGGED in c.metadata.get("tags", []))


def print_in(content, text, name="stdout"):
    last_code(content).outputs = [nbformat.v4.new_output("stream", name=name, text=text)]


BREAKS = {
    "source differs": lambda nb: nb.cells[3].update(source=nb.cells[3].source + "\nx = 1"),
    "cells in": lambda nb: nb.cells.pop(),
    "cell_type differs": lambda nb: nb.cells[0].update(cell_type="raw"),
    "tags differ": lambda nb: nb.cells[4].metadata.update(tags=["nbval-skip"]),
    "jupyter differ": lambda nb: nb.cells[1].metadata.pop("jupyter"),
    "2 parameters cells": add_parameters,
    "0 parameters cells": lambda nb: parameters(nb).metadata.update(tags=[]),
    "no literal": lambda nb: parameters(nb).update(source="preset = str(1)"),
    "no parameter": lambda nb: parameters(nb).update(source='preset = "kaggle"'),
    "'kagle' is unknown": lambda nb: parameters(nb).update(
        source=parameters(nb).source.replace('"sample"', '"kagle"', 1)
    ),
    "no kernelspec": lambda nb: nb.metadata.pop("kernelspec"),
    "51 cells": lambda nb: nb.cells.extend(new_markdown() for _ in range(51 - len(nb.cells))),
    "19 lines in a cell": lambda nb: last_code(nb).update(source="\n" * 18),
    "bytes": lambda nb: print_in(nb, "x" * BYTES),
    "machine path": lambda nb: print_in(nb, "saved to /" + "home/ann/results"),
    "stderr is stored": lambda nb: print_in(nb, "warning", "stderr"),
    "has no stored output": lambda nb: tagged(nb).update(outputs=[]),
}


@pytest.mark.parametrize("problem", BREAKS)
def test_a_broken_copy_is_caught(problem, tmp_path):
    for suffix in (".py", ".ipynb"):
        shutil.copy(REPO / f"notebooks/03_train{suffix}", tmp_path)
    notebook = tmp_path / "03_train.ipynb"
    if problem == "has no stored output":  # 03_train compares few cells
        shutil.copy(REPO / "notebooks/01_data.ipynb", notebook)
    content = nbformat.read(notebook, as_version=4)
    BREAKS[problem](content)
    notebook.write_text(json.dumps(content), encoding="utf-8")
    assert any(problem in found for found in problems_of(tmp_path / "03_train.py"))


def stale(stored: Path, executed: Path) -> list[str]:
    """Cells tagged to be compared whose stored output is not what the cell gives now."""
    one, other = (
        [c for c in nbformat.read(p, as_version=4).cells if TAGGED in c.metadata.get("tags", [])]
        for p in (stored, executed)
    )
    pairs = zip(one, other, strict=True)
    return [a.source for a, b in pairs if plain(a.outputs) != plain(b.outputs)]


def plain(outputs) -> list:
    shown = (output for output in outputs if output.get("name") != "stderr")
    return [output.get("text") or output.data.get("text/plain") for output in shown]


@pytest.fixture(scope="session")
def workplace(sample, tiny_run, little_run, tmp_path_factory) -> Path:
    """A folder to run notebooks in, with the sample drawn and runs, one of which is exported."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(tiny_run, folder / "given" / tiny_run.name)
    shutil.copytree(little_run, folder / "little_run")
    shutil.copytree(sample.parent, folder / "build/drawn_sample")
    shutil.copytree(REPO / "benchmarks/study", folder / "benchmarks/study")
    return folder


def run_papermill(source: Path, target: Path, *arguments, cwd: Path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(source), str(target)]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )


def run_nbval(notebook: Path):
    """nbval, lax, in a pytest of its own without this repository's settings."""
    (notebook.parent / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env"]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", str(notebook)],
        cwd=notebook.parent,
        env=environment,
        capture_output=True,
        text=True,
    )


# What would take minutes: few photos, three of the systems, one of the formats.
SHORTER = {
    "03_train": {"overrides": {"epochs": 2, "train_limit": 32, "image_size": 64}},
    "04_benchmark": {"systems": ["EfficientNet_Lite0_CA", "EfficientNet_Lite0", "ResNet18"]},
    "05_deploy": {"formats": "onnx", "int8": False},
    "08_competition": {"overrides": {"epochs": 1, "image_size": 32, **LITTLE, "pretrained": False}},
}
# Notebooks that train where they are given no run: 03_train shows that, `make trust` all of them.
TAKES = {"02_model": "run", "04_benchmark": "results", "05_deploy": "run", "06_explain": "run"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_its_stored_outputs_hold(name, workplace, tiny_run):
    """By nbval, which compares; in `make trust` by papermill as well, and with nothing given."""
    stored, executed = REPO / f"notebooks/{name}.ipynb", workplace / f"{name}.ipynb"
    parameters, once = SHORTER.get(name, {}), TRIES < 10
    if once and name in TAKES:
        results = workplace / "given"
        run = workplace / "little_run" if name == "05_deploy" else results / tiny_run.name
        given = {"run": str(run), "results": str(results)}[TAKES[name]]
        parameters = parameters | {TAKES[name]: given}
    if once:
        papermill.execute_notebook(stored, executed, parameters, prepare_only=True)
    else:
        ran = run_papermill(stored, executed, "-y", json.dumps(parameters), cwd=workplace)
        assert ran.returncode == 0, ran.stderr[-2000:]
        assert stale(stored, executed) == []
    checked = run_nbval(executed)
    assert checked.returncode == 0, checked.stdout[-2000:]
    assert " passed" in checked.stdout


def with_wrong_number(source: Path, target: Path) -> None:
    content = nbformat.read(source, as_version=4)
    output = tagged(content).outputs[0]
    if "text" in output:
        output["text"] = output["text"].replace("42", "43")
    else:
        output.data = {kind: text.replace("60", "61") for kind, text in output.data.items()}
    nbformat.write(content, target)


def test_a_wrong_stored_number_is_caught(tmp_path):
    right, wrong = REPO / "notebooks/01_data.ipynb", tmp_path / "wrong.ipynb"
    assert stale(right, right) == []
    with_wrong_number(right, wrong)
    assert len(stale(wrong, right)) == 1


def test_nbval_catches_a_wrong_stored_number(tmp_path):
    answer = nbformat.v4.new_code_cell("print(6 * 7)", metadata={"tags": [TAGGED]})
    answer.execution_count = 1
    answer.outputs = [nbformat.v4.new_output("stream", name="stdout", text="42\n")]
    content = nbformat.v4.new_notebook(cells=[answer])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(content, tmp_path / "right.ipynb")
    with_wrong_number(tmp_path / "right.ipynb", tmp_path / "wrong.ipynb")
    assert run_nbval(tmp_path / "right.ipynb").returncode == 0
    assert run_nbval(tmp_path / "wrong.ipynb").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "presett", "kaggle"], "parameter 'presett' is unknown; did you mean 'preset'?"),
        pytest.param(
            ["-y", "overrides: {epoch: 1}"],
            "setting 'epoch' is unknown; did you mean 'epochs'?",
            marks=SLOW,  # `make test` asks the cell's function
        ),
        (["-p", "metadata", "none.csv"], "none.csv: does not exist"),
    ],
)
def test_a_misspelt_parameter_stops_at_once(arguments, message, workplace):
    ran = run_papermill(
        REPO / "notebooks/03_train.ipynb", workplace / "out.ipynb", *arguments, cwd=workplace
    )
    assert ran.returncode == 1
    assert message in ran.stderr
    content = nbformat.read(workplace / "out.ipynb", as_version=4)
    errors = [o for c in content.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert [len(error.traceback) for error in errors] == [1], "one line, no traceback"
