"""A notebook run headless for each preset, and the leaderboard of what came out."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pandas as pd

from lite0ca import data as datasets
from lite0ca import machine, plots, runs
from lite0ca.config import Config, unknown
from lite0ca.data import DRAWN, SAMPLE
from lite0ca.errors import InputError
from lite0ca.files import whole
from lite0ca.flags import assignments
from lite0ca.presets import PRESETS

DONE = "lite0ca_done"  # in the metadata of an executed notebook
RUN_LINE = re.compile(r"^run: (.+)$", re.MULTILINE)  # `fit` says where its files are


def batch(
    presets: list[str],
    assigned: list[str] = (),
    metadata: str | None = None,
    data_dir: str | None = None,
    notebook: str = "03_train",
    output_dir: str = "results",
    resume: bool = False,
) -> int:
    """Run the notebook once a preset; returns 0, or 1 if any of them failed.

    `assigned` are settings like "epochs=1", the same for all. The executed notebook goes into
    the run folder; leaderboard.csv and leaderboard.png into `output_dir`. With `resume` a preset
    that is done with the same parameters is not run again, and one that was cut off goes on.
    Raises `InputError` before anything runs if a preset or setting is wrong.
    """
    source = notebook_file(notebook)
    folder = Path(output_dir).absolute()
    runs.check_writable(folder)
    jobs = {}
    for preset in presets:
        if preset not in PRESETS:
            raise InputError(f"preset {unknown(preset, PRESETS)}")
        parameters = parameters_of(preset, assigned, metadata, data_dir, folder)
        refuse_mistakes(preset, parameters)
        jobs[preset] = parameters
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TQDM_DISABLE"] = "1"  # bars would be stored in the notebooks
    rows = []
    try:
        for number, (preset, parameters) in enumerate(jobs.items(), 1):
            print(f"[{number}/{len(jobs)}] {preset}", flush=True)
            rows.append({"preset": preset, **one(source, preset, parameters, folder, resume)})
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on", file=sys.stderr)
        return 130
    finally:
        if rows:
            write_leaderboard(pd.DataFrame(rows), folder)
    failed = sum(row["status"] == "failed" for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} failed", file=sys.stderr)
    return int(failed > 0)


def refuse_mistakes(preset: str, parameters: dict) -> None:
    """Raise `InputError` now, not after a kernel has started for each preset."""
    named = {name: parameters[name] for name in ("metadata", "data_dir") if parameters[name]}
    config = Config.of(preset, **{**named, **parameters["overrides"]})
    if config.metadata != SAMPLE:
        datasets.find(config)


def notebook_file(name: str) -> Path:
    """The notebook of a name like 03_train or of a path; raises `InputError`."""
    if Path(name).suffix == ".ipynb":
        if Path(name).is_file():
            return Path(name)
        raise InputError(f"--notebook {name}: there is no such file")
    folders = [Path("notebooks"), Path(__file__).resolve().parent.parent / "notebooks"]
    known = [file for folder in folders for file in sorted(folder.glob("*.ipynb"))]
    for file in known:
        if file.stem == name:
            return file
    if not known:
        raise InputError(f"--notebook {name}: no notebooks/ here; give the path of the .ipynb")
    raise InputError(f"--notebook: {unknown(name, [file.stem for file in known])}")


def parameters_of(preset, assigned, metadata, data_dir, folder: Path) -> dict:
    """What papermill injects. Paths are absolute: the notebook may work elsewhere."""
    settings = assignments(list(assigned))
    for name in ("output_dir", "resume", "preset"):
        if name in settings:
            raise InputError(f"--set {name}=...: batch has a way of its own to say that")
    named = {name: absolute(path) if path else None for name, path in
             (("metadata", metadata), ("data_dir", data_dir))}  # fmt: skip
    return {
        "preset": preset,
        "overrides": {"output_dir": str(folder), **settings},
        **named,
    }


def absolute(path: str) -> str:
    return path if path == SAMPLE else str(Path(path).absolute())


def one(source: Path, preset: str, parameters: dict, folder: Path, resume: bool) -> dict:
    """Run one preset, or with `resume` read what it left; returns its leaderboard row."""
    name = f"{source.stem}_{preset}.ipynb"
    if resume:
        newest_first = sorted(
            [*folder.glob(f"*/{name}"), *folder.glob(name)], key=os.path.getmtime, reverse=True
        )
        earlier = {file: earlier_run(file, parameters) for file in newest_first}
        for file, what in earlier.items():
            if what == "done":
                print(f"  done before: {file}")
                return row_of(file, "done before")
        if run := next(filter(None, earlier.values()), None):
            print(f"  goes on: {run}")
            overrides = parameters["overrides"] | {"resume": run}
            parameters = parameters | {"overrides": overrides}
    began, problem = time.monotonic(), execute(source, folder / name, parameters)
    place = beside_run(folder / name)
    # A run stopped by --time-budget is not done: it can go on.
    out_of_time = "time budget" in (metrics_of(place).get("stopped") or "")
    status = "failed" if problem else "stopped" if out_of_time else "done"
    if problem:
        print(f"  {preset} failed: {problem}\n  see {place}", file=sys.stderr)
    elif status == "done":
        mark_done(place)
    return row_of(place, status) | {"seconds": time.monotonic() - began}


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
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def execute(source: Path, target: Path, parameters: dict) -> str | None:
    """Run the notebook; returns None, or what went wrong in one line."""
    try:
        import papermill
    except ImportError:
        raise InputError("batch needs papermill: pip install 'lite0ca[notebooks]'") from None
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters,
            kernel_name="python3",  # of this environment, whatever the notebook was written with
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
        )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}".splitlines()[0]
    except Exception as error:  # a kernel that died or never came: the other presets still run
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def read_notebook(file: Path) -> dict:
    """The content of an executed notebook; empty if there is none, or it was cut off."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


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
    return str(run) if own and (run / runs.LAST).is_file() else None


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
    row |= {"seconds": record.get("duration"), "train_images_per_s": None}
    row |= {"data": "", "run": str(run or "")}
    found = metrics_of(file)
    if found and status != "failed":
        row |= {"system": found["model_name"], "data": found["data"]}
        row |= {"valid_accuracy": found.get("valid_acc"), "valid_macro_f1": found.get("valid_f1")}
        row |= {"train_images_per_s": found.get("train_images_per_s")}
    return row | {"notebook": str(file)}


def write_leaderboard(table: pd.DataFrame, folder: Path) -> None:
    """Best macro-F1 first: printed, leaderboard.csv and, if anything was scored, the plot."""
    table = table.sort_values("valid_macro_f1", ascending=False, kind="stable")
    with whole(folder / "leaderboard.csv") as file:
        table.to_csv(file, index=False)
    shown = ["preset", "status", "valid_accuracy", "valid_macro_f1", "seconds"]
    shown += ["train_images_per_s"]
    print(f"\n{table[shown].to_string(index=False, float_format=FORMAT, na_rep='')}")
    print(folder / "leaderboard.csv")
    if table["valid_macro_f1"].notna().any():
        drawn = " (drawn sample)" if (table["data"] == DRAWN).any() else ""
        figure = plots.leaderboard(table, f"presets on {machine.cpu_name()}{drawn}")
        plots.save(figure, folder / "leaderboard.png")
        print(folder / "leaderboard.png")


FORMAT = "{:.3f}".format
