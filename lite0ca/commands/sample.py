"""Draw the stand-in data set."""

from __future__ import annotations

import argparse

from lite0ca.errors import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="data", help="(default: data)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--competition",
        action="store_true",
        help="laid out as a competition: train.csv, train_images, test_images, "
        "sample_submission.csv",
    )


def run(folder: str, seed: int, competition: bool) -> None:
    from lite0ca.data.sample import write_competition, write_sample

    write = write_competition if competition else write_sample
    print(printable(f"drawn sample (no real leaves): {write(folder, seed)}"))
