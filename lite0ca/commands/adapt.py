"""Fit a run to photos of another place, without labels."""

from __future__ import annotations

import argparse
import sys

from lite0ca.errors import printable
from lite0ca.settings.flags import add_run, add_run_flags

NEVER_SURE = "it is never sure of an answer: how often it is right there, only labels can say"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, others="")
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="image files or folders of the place: 32 photos or more, healthy leaves and sick ones",
    )
    parser.add_argument("--output-dir", metavar="DIR", help="(default: RUN_adapted)")
    add_run_flags(parser, "skip_bad_images batch_size device amp num_workers")


def run(run: str, photos: list[str], output_dir: str | None, **typed) -> None:
    from lite0ca.evaluation.adaptation import adapt_run

    folder = adapt_run(run, photos, output_dir, **typed)
    print(NEVER_SURE, file=sys.stderr)
    print(printable(str(folder)))
