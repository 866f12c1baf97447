"""Macro-F1 against wall time: recipes trained from scratch over seeds, taking turns.

    python benchmarks/time_to_score.py --metadata my/metadata.csv --seeds 1 2 3

Each run is the guide's script in a process of its own, timed from its start to its end; recipes
take turns within a seed, so that whatever else the machine does meets all of them. The photo cache
is filled once before. The test split is scored afterwards, outside the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).resolve().parent.parent
# Each row of the second block takes one idea out of `fast`.
RECIPES = {
    "basic": "--preset basic",
    "basic, 3 epochs": "--preset basic --epochs 3",
    "fast": "--preset fast",
    "fast, basic's learning rates": "--preset fast --base-lr 5e-5 --head-lr 5e-4",
    "fast, batch 96": "--preset fast --batch-size 96",
    "fast, up to 224 pixels": "--preset fast --image-size 224",
    "fast, 192 pixels throughout": "--preset fast --start-size 192",
    "fast, warm-up of an epoch": "--preset fast --warmup-epochs 1",
    "fast, no label smoothing": "--preset fast --label-smoothing 0",
    "fast, no attention": "--preset fast --attention none",
}


def lite0ca(*arguments) -> str:
    """Run a command of the package; returns what it printed."""
    command = [sys.executable, "-m", "lite0ca", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def trained(recipe: str, seed: int, data: list[str], folder: Path) -> dict:
    """One run: its wall seconds and its scores on valid and test."""
    began = time.monotonic()
    output = lite0ca(
        "train", *RECIPES[recipe].split(), "--seed", seed, *data, "--output-dir", folder
    )
    seconds = time.monotonic() - began
    run = next(line[5:] for line in output.splitlines() if line.startswith("run: "))
    lite0ca("evaluate", run)
    metrics = json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))
    (scores,) = (json.loads(file.read_text()) for file in Path(run).glob("scores_*.json"))
    row = {"recipe": recipe, "seed": seed, "seconds": seconds, "epochs": metrics["epochs"]}
    row |= {"valid_f1": metrics["valid_f1"], "valid_acc": metrics["valid_acc"]}
    return row | {"test_f1": scores["macro_f1"], "test_acc": scores["accuracy"]}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, and the time against the first recipe's."""
    groups = runs.groupby("recipe", sort=False)
    table = groups.agg(
        runs=("seed", "size"),
        seconds=("seconds", "median"),
        valid_f1=("valid_f1", "mean"),
        valid_f1_sd=("valid_f1", "std"),
        test_f1=("test_f1", "mean"),
        test_f1_sd=("test_f1", "std"),
    )
    first = runs[runs["recipe"] == runs["recipe"].iloc[0]].set_index("seed")["seconds"]
    ratio = runs.assign(share=runs["seconds"] / runs["seed"].map(first))
    table.insert(2, "share_of_time", ratio.groupby("recipe", sort=False)["share"].median())
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metadata", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--output-dir", help="keep the runs here")
    parser.add_argument("--csv", default="time_to_score.csv", help="every run, as it ends")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.output_dir or scratch).absolute()
        data = ["--metadata", str(Path(arguments.metadata).absolute())]
        for preset in ("fast", "basic"):  # each image size has a cache of its own
            lite0ca("train", "--preset", preset, "--epochs", 1, "--train-limit", 32,
                    "--valid-limit", 8, *data, "--output-dir", folder / "first")  # fmt: skip
        rows = []
        for seed in arguments.seeds:
            for recipe in arguments.recipes:
                rows.append(trained(recipe, seed, data, folder))
                print(rows[-1], flush=True)
                pd.DataFrame(rows).to_csv(arguments.csv, index=False)
    print(summary(pd.DataFrame(rows)).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
