"""Speed, size and score of the systems side by side."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.files.destination import check_writable
from lite0ca.files.names import cut, numbered
from lite0ca.files.ownership import is_picture, is_table
from lite0ca.files.tables import write_table
from lite0ca.files.whole_folder import whole_folder
from lite0ca.settings.fields import flag
from lite0ca.settings.flags import add_flags, from_flags

HEADER = "system,setup,"  # how the table begins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="(default: all of them)")
    number = {"metavar": "N", "type": int}
    parser.add_argument("--batch-size", default=32, help="for throughput (default: 32)", **number)
    parser.add_argument("--rounds", default=5, help="turns of each system (default: 5)", **number)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of each measurement a round (default: 0.5)"
    )
    parser.add_argument("--results", help="a folder with finished runs: their scores are added")
    parser.add_argument("--output-dir", default="results", help="(default: results)")
    parser.add_argument(
        "--forms", metavar="RUN/export", help="the exported files of a run instead, beside torch"
    )
    add_flags(parser, only=("image_size", "device", "amp"))


def run(
    systems: list[str], batch_size, rounds, seconds, results, output_dir, forms, **typed
) -> None:
    config = from_flags(typed)
    if forms:
        others = {"SYSTEM": systems, "--results": results, **{flag(k): v for k, v in typed.items()}}
        if given := [name for name, value in others.items() if value and name != "--device"]:
            raise InputError(f"--forms: the files are as they were exported; leave out {given[0]}")
        bench_exported_files(forms, config.device, batch_size, rounds, seconds)
    else:
        bench_systems(systems, config, batch_size, rounds, seconds, results, output_dir)


def bench_systems(systems, config, batch_size, rounds, seconds, results, output_dir) -> None:
    """Measure; writes the table as CSV, a plot, and with scores another, named by conditions."""
    from lite0ca.plots import style
    from lite0ca.plots.speed import accuracy_against_cost, speeds
    from lite0ca.speed.systems import SCORE, as_table, benchmark, fastest, file_name, title_of

    check_writable(output_dir)
    table = benchmark(systems, config, batch_size, rounds, seconds, results)
    folder, title = Path(output_dir), title_of(config, table)
    written = files_beside_others(folder, cut(file_name(config, batch_size, systems), 200))
    with whole_folder(folder) as made:
        write_table(made / written[0], table, for_people=True)
        style.save(speeds(table, title), made / written[1])
        if table[SCORE].notna().any():
            style.save(accuracy_against_cost(fastest(table), SCORE, title), made / written[2])
        else:
            written.pop()
    print(
        f"{title}\n{as_table(table).to_string(index=False)}\n"
        + "\n".join(printable(str(folder / file)) for file in written)
    )


def files_beside_others(folder: Path, stem: str) -> list[str]:
    """The files of a benchmark, with a number behind `stem` where one of that name is not ours."""
    for tried in numbered(stem):
        names = [f"{tried}{ending}" for ending in (".csv", "-speed.png", "-pareto.png")]
        table, *pictures = (folder / name for name in names)
        ours = [is_table(table, HEADER), *map(is_picture, pictures)]
        there = map(os.path.lexists, (table, *pictures))
        if all(own or not exists for own, exists in zip(ours, there)):
            return names


def bench_exported_files(folder: str, device: str, batch_size: int, rounds: int, seconds) -> None:
    """The exported files of a run side by side with torch: on the CPU, unless on cuda is asked."""
    if device == "mps":
        raise InputError("--device mps: no exported file runs there")
    import torch

    from lite0ca.machine.device import describe
    from lite0ca.machine.processor import cpu_name
    from lite0ca.speed.exported_files import benchmark_exported_files, benchmark_on_cuda

    on_cuda = device == "cuda"
    measure = benchmark_on_cuda if on_cuda else benchmark_exported_files
    table = measure(folder, batch_size, rounds, seconds)
    columns = ["form", "threads", "latency_ms", "latency_p95_ms", "times_torch", "images_per_s"]
    shown = table.filter([*columns, "gflops", "share_of_peak"])  # cuda's has fewer
    where = describe(torch.device("cuda")) if on_cuda else cpu_name()
    print(f"{where}, torch {torch.__version__}, batch {batch_size} for images/s")
    print(shown.to_string(index=False, float_format="{:.2f}".format))
