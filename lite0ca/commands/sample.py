"""Draw the stand-in data set."""

from __future__ import annotations

import argparse

from lite0ca.errors import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="data", help="(default: data)")
    parser.add_argument("--seed", type=int, default=0)


def run(folder: str, seed: int) -> None:
    from lite0ca.data.sample import write_sample

    print(printable(f"drawn sample (no real leaves): {write_sample(folder, seed)}"))
