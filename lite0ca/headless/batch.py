"""A notebook run headless for each preset, seed and fold: here or on a cluster, again or not."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lite0ca.data.dataset import SAMPLE
from lite0ca.errors import printable
from lite0ca.evaluation import out_of_fold
from lite0ca.files.destination import check_writable
from lite0ca.files.folders import make_folder
from lite0ca.files.ownership import refuse_others
from lite0ca.formats.ending import is_out_of_time
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
from lite0ca.headless.jobs import Job, jobs_of, notebook_file
from lite0ca.headless.leaderboard import (
    DONE_STATUS,
    refuse_other_leaderboards,
    write_leaderboard,
)
from lite0ca.machine.signals import going_on


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
    folds: int | None = None,
) -> int:
    """Run the notebook once a preset, or once a preset, seed and fold; returns the exit code.

    That is 0, or 1 if any of them failed. `assigned` are settings like "epochs=1", the same for
    all. The executed notebook goes into the run folder; leaderboard.csv and leaderboard.png into
    `output_dir`, with `seeds` also seeds.csv. With `resume` what is done with the same parameters
    is not run again, and what was cut off goes on.
    With `folds` each photo is answered by the run that did not train on it, once all of them are
    done (`out_of_folds`). `ray` is the address of a cluster to run on. Raises `InputError` before
    anything runs if a preset or setting is wrong, and `Stopped` after a signal.
    """
    source = notebook_file(notebook).absolute()
    folder = Path(output_dir).absolute()
    check_writable(folder)
    jobs = jobs_of(presets, seeds, assigned, metadata, data_dir, source, folder, folds)
    refuse_other_leaderboards(folder)
    for name in {job.name for job in jobs if folds}:
        out_of_fold.refuse_other_files(folder, name)
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
    if folds:
        out_of_folds(jobs, rows, folder)
    failed = sum(row["status"] == "failed" for row in rows)
    if failed:
        print(f"{failed} of {len(rows)} failed", file=sys.stderr)
    return int(failed > 0)


def one_by_one(jobs: list[Job], resume: bool) -> Iterator[tuple[Job, dict]]:
    """Run the jobs here; yields each with its leaderboard row."""
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.title}", flush=True)
        job, row = left_before(job) if resume else (job, None)
        if row is None:
            row, problem = run(job)
            complain(job, row, problem)
        yield job, row


def out_of_folds(jobs: list[Job], rows: list[dict], folder: Path) -> None:
    """For each preset and seed the scores of all its folds, pooled, and every answer.

    Where a fold is not done it says which, and writes nothing of that preset and seed.
    """
    for name in dict.fromkeys(job.name for job in jobs):
        own = [job.labels for job in jobs if job.name == name]
        done = {
            row["fold"]: row["run"]
            for row in rows
            if row["status"] in DONE_STATUS and any(one.items() <= row.items() for one in own)
        }
        if missing := [one["fold"] for one in own if one["fold"] not in done]:
            said = f"{name}: fold {', '.join(missing)} is not done: no scores out of fold"
            print(f"{said}; --resume goes on", file=sys.stderr)
            continue
        given = jobs[0].parameters["overrides"]
        machine = {key: given[key] for key in ("device", "amp", "num_workers") if key in given}
        found = out_of_fold.out_of_fold(list(done.values()), **machine)
        print(f"\n{name}, out of fold: {out_of_fold.WORTH}\n{found.as_text()}")
        for file in out_of_fold.write(found, folder, name):
            print(printable(str(file)))


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
    out_of_time = is_out_of_time(metrics_of(place).get("stopped") or "")
    if out_of_time:
        problem = None  # such as a plot of no epoch
    status = "failed" if problem else "stopped" if out_of_time else "done"
    if status == "done":
        mark_done(place)
    return row_of(place, status) | {"seconds": time.monotonic() - began}, problem
