"""What an executed notebook tells of its run: where it is, whether it is done, its scores."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

from lite0ca.errors import InputError, opening
from lite0ca.files.json_files import known_json, read_json
from lite0ca.files.whole_file import whole
from lite0ca.formats.metadata import is_number
from lite0ca.formats.run_files import LAST

DONE = "lite0ca_done"  # in the metadata of an executed notebook
RUN_LINE = re.compile(r"^run: (.+)$", re.MULTILINE)  # `fit` says where its files are


def beside_run(notebook: Path) -> Path:
    """Put an executed notebook into its run folder; it stays where it has none of its own."""
    run = run_of(notebook)
    if run is None or run.parent != notebook.parent:
        return notebook
    return notebook.replace(run / notebook.name)


def metrics_of(notebook: Path) -> dict:
    """The metrics that the notebook's run left; empty if it left none."""
    run = run_of(notebook)
    if run is None or not (run / "metrics.json").is_file():
        return {}
    file = run / "metrics.json"
    try:
        metrics = read_json(file)
        with opening(file, "is damaged"):
            refuse_odd(metrics)
    except InputError as error:  # the others' scores are still good
        print(f"  {error}; its scores are left out", file=sys.stderr)
        return {}
    return metrics


def refuse_odd(metrics: dict) -> None:
    """Raise `ValueError` unless what is read of a run's metrics is there and of the right kind."""
    for name in ("model_name", "data"):
        if type(metrics.get(name)) is not str:
            raise ValueError(f"its {name} is no text")
    for name in ("valid_acc", "valid_f1", "train_images_per_s"):
        if metrics.get(name) is not None and not is_number(metrics[name]):
            raise ValueError(f"its {name} is no number")
    if type(metrics.get("stopped") or "") is not str:
        raise ValueError("its stopped is no text")


def read_notebook(file: Path) -> dict:
    """The content of an executed notebook; empty if there is none, or it is damaged."""
    content = known_json(file)
    return content if is_notebook(content) else {}


def is_notebook(content: dict) -> bool:
    """Whether all that is asked of it below is of the right kind."""
    about, cells = content.get("metadata", {}), content.get("cells", [])
    if type(about) is not dict or type(cells) is not list:
        return False
    record = about.get("papermill", {})
    if type(record) is not dict or not is_number(record.get("duration") or 0):
        return False
    parameters = record.get("parameters") or {}
    if type(parameters) is not dict or type(parameters.get("overrides") or {}) is not dict:
        return False
    outputs = [cell.get("outputs", []) if type(cell) is dict else None for cell in cells]
    if not all(type(one) is list and all(type(part) is dict for part in one) for one in outputs):
        return False
    texts = [part.get("text", "") for one in outputs for part in one]
    lines = (text if type(text) is list else [text] for text in texts)
    return all(type(line) is str for line in itertools.chain.from_iterable(lines))


def is_executed(file: Path) -> bool:
    """Whether papermill wrote the notebook: a user's own has no such record."""
    about = read_notebook(file).get("metadata")
    return isinstance(about, dict) and "papermill" in about


def mark_done(file: Path) -> None:
    """Say so in the notebook: papermill calls the cell completed in which a kernel died."""
    content = read_notebook(file)
    content["metadata"][DONE] = True
    with whole(file) as target:
        json.dump(content, target, indent=1, ensure_ascii=False)


def earlier_run(file: Path, parameters: dict) -> str | None:
    """ "done", the run folder to go on with, or None if these parameters have not been run."""
    notebook = read_notebook(file)
    before = dict(notebook.get("metadata", {}).get("papermill", {}).get("parameters") or {})
    overrides = dict(before.get("overrides") or {})
    overrides.pop("resume", None)
    if before | {"overrides": overrides} != parameters:
        return None
    if notebook["metadata"].get(DONE):
        return "done"
    run = run_of(file)
    own = run is not None and file.parent in (run, run.parent)
    return str(run) if own and (run / LAST).is_file() else None


def run_of(file: Path) -> Path | None:
    """The run folder that an executed notebook printed."""
    for cell in read_notebook(file).get("cells", []):
        for output in cell.get("outputs", []):
            if found := RUN_LINE.search("".join(output.get("text", ""))):
                return Path(found[1])
    return None


def row_of(file: Path, status: str) -> dict:
    """What a preset came to: from the metrics that its run left, empty where it left none."""
    record = read_notebook(file).get("metadata", {}).get("papermill", {})
    run = run_of(file)
    row = {"status": status, "system": "", "valid_accuracy": None, "valid_macro_f1": None}
    row |= {"test_macro_f1": None}
    row |= {"seconds": record.get("duration"), "train_images_per_s": None}
    row |= {"data": "", "run": str(run or "")}
    found = metrics_of(file)
    if found and status != "failed":
        row |= {"system": found["model_name"], "data": found["data"]}
        row |= {"valid_accuracy": found.get("valid_acc"), "valid_macro_f1": found.get("valid_f1")}
        row |= {"test_macro_f1": found.get("test_f1")}
        row |= {"train_images_per_s": found.get("train_images_per_s")}
    return row | {"notebook": str(file)}
