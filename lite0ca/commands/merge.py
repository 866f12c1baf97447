"""One model of several runs of one network: the mean of their weights, if it is as good."""

from __future__ import annotations

import argparse
import sys

from lite0ca.errors import printable
from lite0ca.settings.command_lines import after
from lite0ca.settings.flags import add_run_flags

EPILOG = """\
It holds for runs that began from the same run: adapted ones, or trained with --weights
RUN/best_model.pt and another seed; of data without a split of its own also with one --fold K/N,
since each seed makes another split. The runs, and the mean, are scored on the valid split; a mean
that is worse than the worst of them is not written (exit code 1)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more, or a folder of runs")
    parser.add_argument(
        "--output-dir", metavar="DIR", help="(default: RUN_merged, of the first named)"
    )
    add_run_flags(parser, "metadata data_dir skip_bad_images batch_size device amp num_workers")


def run(runs: list[str], output_dir: str | None, **typed) -> int:
    """Print the scores of each run and of the mean; returns 1 if it was not worth writing."""
    from lite0ca.training.merging import merge

    merger = merge(runs, output_dir, **typed)
    rows = [
        *merger.members,
        *((f"merged, BatchNorm: {name}", *row) for name, *row in merger.merged),
    ]
    width = max(len(printable(name)) for name, *_ in rows)
    print(f"{merger.images:,} photos of the valid split, which the runs' trainings looked at")
    print(f"{'run':{width}}  macro-F1  accuracy")
    for name, f1, accuracy in rows:
        print(f"{printable(name):{width}}  {f1:8.4f}  {accuracy:8.4f}")
    if merger.folder is None:
        print(
            "not written: the mean is worse than the worst of the runs; those that did not begin "
            "from the same run have no good mean",
            file=sys.stderr,
        )
        return 1
    print(printable(str(merger.folder)))
    print("next:", *after(merger.folder), sep="\n  ")
    return 0
