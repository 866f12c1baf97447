"""A notebook run headless for each preset and seed: here or on a cluster, again or going on."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lite0ca.data.dataset import SAMPLE
from lite0ca.data.sources import find
from lite0ca.errors import InputError, opening, printable
from lite0ca.files import cut, json_object, read_bytes, refuse_others
from lite0ca.folders import check_writable, make_folder
from lite0ca.headless import ray_cluster
from lite0ca.headless.executed_notebook import (
    beside_run,
    earlier_run,
    is_executed,
    mark_done,
    metrics_of,
    row_of,
)
from lite0ca.headless.execution import execute
from lite0ca.headless.leaderboard import refuse_other_leaderboards, write_leaderboard
from lite0ca.machine.signals import going_on
from lite0ca.settings.config import Config, unknown
from lite0ca.settings.flags import assignments
from lite0ca.settings.presets import PRESETS


@dataclass(frozen=True)
class Job:
    """One run of the notebook."""

    preset: str
    seed: int | None  # None: the preset's own
    source: Path
    folder: Path  # where run folders go
    parameters: dict  # what papermill injects

    @property
    def labels(self) -> dict:
        return {"preset": self.preset} | ({} if self.seed is None else {"seed": self.seed})

    @property
    def title(self) -> str:
        return self.preset if self.seed is None else f"{self.preset}, seed {self.seed}"

    @property
    def notebook(self) -> Path:
        """The executed notebook, until it moves into its run folder."""
        seed = "" if self.seed is None else f"_seed{self.seed}"
        return self.folder / f"{cut(self.source.stem)}_{self.preset}{seed}.ipynb"


def batch(
    presets: list[str],
    assigned: list[str] = (),
    metadata: str | None = None,
    data_dir: str | None = None,
    notebook: str = "03_train",
    output_dir: str = "results",
    resume: bool = False,
    seeds: list[int] = (),
    ray: str | None = None,
) -> int:
    """Run the notebook once a preset, or once a preset and seed; returns the exit code.

    That is 0, or 1 if any of them failed. `assigned` are settings like "epochs=1", the same for
    all. The executed notebook goes into the run folder; leaderboard.csv and leaderboard.png into
    `output_dir`, with `seeds` also seeds.csv. With `resume` what is done with the same parameters
    is not run again, and what was cut off goes on.
    `ray` is the address of a cluster to run on. Raises `InputError` before anything runs if a
    preset or setting is wrong, and `Stopped` after a signal.
    """
    source = notebook_file(notebook).absolute()
    folder = Path(output_dir).absolute()
    check_writable(folder)
    jobs = jobs_of(presets, seeds, assigned, metadata, data_dir, source, folder)
    refuse_other_leaderboards(folder)
    for job in jobs:
        refuse_others(job.notebook, is_executed(job.notebook))
    make_folder(folder)
    rows = []
    ended = on_cluster(jobs, resume, ray) if ray else one_by_one(jobs, resume)
    try:
        with going_on("the same command with --resume goes on"):
            for job, row in ended:
                rows.append(job.labels | row)
    finally:
        if rows:
            write_leaderboard(pd.DataFrame(rows), folder)
    failed = sum(row["status"] == "failed" for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} failed", file=sys.stderr)
    return int(failed > 0)


def jobs_of(presets, seeds, assigned, metadata, data_dir, source: Path, folder: Path) -> list[Job]:
    """Every preset with every seed, each once; raises `InputError` for a mistake in any of them."""
    if seeds and "seed" in assignments(list(assigned)):
        raise InputError("--set seed=...: --seeds says that already; give one of them")
    jobs = []
    for preset in dict.fromkeys(presets):
        if preset not in PRESETS:
            raise InputError(f"preset {unknown(preset, PRESETS)}")
        for seed in dict.fromkeys(seeds) or [None]:
            parameters = parameters_of(preset, seed, assigned, metadata, data_dir, folder)
            jobs.append(Job(preset, seed, source, folder, parameters))
    refuse_mistakes(jobs)
    return jobs


def one_by_one(jobs: list[Job], resume: bool) -> Iterator[tuple[Job, dict]]:
    """Run the jobs here; yields each with its leaderboard row."""
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.title}", flush=True)
        job, row = left_before(job) if resume else (job, None)
        if row is None:
            row, problem = run(job)
            complain(job, row, problem)
        yield job, row


def on_cluster(jobs: list[Job], resume: bool, address: str) -> Iterator[tuple[Job, dict]]:
    """Run the jobs on a Ray cluster; yields each with its leaderboard row, as they end."""
    waiting = []
    for job in jobs:
        job, row = left_before(job) if resume else (job, None)
        if row is None:
            waiting.append(job)
        else:
            yield job, row
    if not waiting:
        return
    if any(job.parameters["metadata"] == SAMPLE for job in waiting):
        from lite0ca.data.sample import drawn_sample  # needs IPython, as the notebooks do

        drawn_sample()  # once, before all of them try to at the same time
    gpu = waiting[0].parameters["overrides"].get("device", "auto") in ("auto", "cuda")
    ended = ray_cluster.run(run, [(job,) for job in waiting], address, gpu)
    print(f"{len(waiting)} of {len(jobs)} to run on the cluster", flush=True)
    for count, (number, outcome) in enumerate(ended, 1):
        job = waiting[number]
        if isinstance(outcome, Exception):  # the worker was killed, or has no lite0ca
            problem = f"{type(outcome).__name__}: {outcome}".strip().splitlines()[0]
            outcome = row_of(job.notebook, "failed"), problem
        row, problem = outcome
        said = f"{row['status']} in {row['seconds']:.0f} s" if row["seconds"] else row["status"]
        print(f"[{count}/{len(waiting)}] {job.title}: {said}", flush=True)
        complain(job, row, problem)
        yield job, row


def complain(job: Job, row: dict, problem: str | None) -> None:
    if problem:
        print(printable(f"  {job.title} failed: {problem}"), file=sys.stderr)
        print(printable(f"  see {row['notebook']}"), file=sys.stderr)


def refuse_mistakes(jobs: list[Job]) -> None:
    """Raise `InputError` now, not after a kernel has started for each preset."""
    configs = {}
    for job in jobs:
        given = job.parameters
        named = {name: given[name] for name in ("metadata", "data_dir") if given[name]}
        config = Config.of(job.preset, **{**named, **given["overrides"]})
        configs[config.metadata, config.data_dir] = config
    for config in configs.values():  # every file below a folder is looked at: once, not a job
        if config.metadata != SAMPLE:
            find(config)


def with_parameters(file: Path) -> Path:
    """The file, if it is a notebook that takes parameters; raises `InputError`."""
    content = read_bytes(file)
    with opening(f"--notebook {file}", "is not a notebook"):
        cells = json_object(content)["cells"]
        tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
    if "parameters" not in tags:
        raise InputError(f"--notebook {file}: has no cell tagged `parameters` to set")
    return file


def notebook_file(name: str) -> Path:
    """The notebook of a name like 03_train or of a path; raises `InputError`."""
    if Path(name).suffix == ".ipynb":
        if Path(name).is_file():
            return with_parameters(Path(name))
        raise InputError(f"--notebook {name}: there is no such file")
    folders = [Path("notebooks"), Path(__file__).resolve().parents[2] / "notebooks"]
    known = [file for folder in folders for file in sorted(folder.glob("*.ipynb"))]
    for file in known:
        if file.stem == name:
            return file
    if not known:
        raise InputError(f"--notebook {name}: no notebooks/ here; give the path of the .ipynb")
    raise InputError(f"--notebook: {unknown(name, [file.stem for file in known])}")


def parameters_of(preset, seed, assigned, metadata, data_dir, folder: Path) -> dict:
    """What papermill injects. Paths are absolute: the notebook may work elsewhere."""
    settings = assignments(list(assigned)) | ({} if seed is None else {"seed": seed})
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


def left_before(job: Job) -> tuple[Job, dict | None]:
    """The job as it goes on from what earlier commands left; with its row if it is done."""
    name = job.notebook.name
    newest_first = sorted(
        [*job.folder.glob(f"*/{name}"), *job.folder.glob(name)], key=os.path.getmtime, reverse=True
    )
    earlier = {file: earlier_run(file, job.parameters) for file in newest_first}
    for file, what in earlier.items():
        if what == "done":
            print(printable(f"  done before: {file}"))
            return job, row_of(file, "done before")
    if folder := next(filter(None, earlier.values()), None):
        print(printable(f"  goes on: {folder}"))
        overrides = job.parameters["overrides"] | {"resume": folder}
        job = dataclasses.replace(job, parameters=job.parameters | {"overrides": overrides})
    return job, None


def run(job: Job) -> tuple[dict, str | None]:
    """Run the notebook; returns its leaderboard row, and what went wrong."""
    began, problem = time.monotonic(), execute(job.source, job.notebook, job.parameters)
    place = beside_run(job.notebook)
    # A run stopped by --time-budget is not done: it can go on.
    out_of_time = "time budget" in (metrics_of(place).get("stopped") or "")
    if out_of_time:
        problem = None  # such as a plot of no epoch
    status = "failed" if problem else "stopped" if out_of_time else "done"
    if status == "done":
        mark_done(place)
    return row_of(place, status) | {"seconds": time.monotonic() - began}, problem
