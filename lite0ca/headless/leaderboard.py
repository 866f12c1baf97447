"""The leaderboard of a batch: printed, as CSV and as a plot; over seeds, means and spreads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lite0ca.data.dataset import DRAWN
from lite0ca.errors import printable
from lite0ca.files import is_picture, is_table, refuse_others, write_table
from lite0ca.machine.processor import cpu_name
from lite0ca.plots import style
from lite0ca.plots.runs import leaderboard

TABLE, PICTURE, SEEDS = "leaderboard.csv", "leaderboard.png", "seeds.csv"
DONE_STATUS = ("done", "done before")  # of a row
FORMAT = "{:.3f}".format


def refuse_other_leaderboards(folder: Path) -> None:
    """Raise `InputError` for files of these names that lite0ca did not make."""
    ours = is_table(folder / TABLE, "preset,status,system,", "preset,seed,status,system,")
    refuse_others(folder / TABLE, ours)
    refuse_others(folder / PICTURE, is_picture(folder / PICTURE))
    refuse_others(folder / SEEDS, is_table(folder / SEEDS, "preset,n,seeds,"))


def write_leaderboard(table: pd.DataFrame, folder: Path) -> None:
    """Best macro-F1 first: printed, leaderboard.csv and, if anything was scored, the plot.

    Where rows have a seed, seeds.csv as well.
    """
    table = table.sort_values("valid_macro_f1", ascending=False, kind="stable")
    seeded = ["seed"] if "seed" in table else []
    shown = ["preset", *seeded, "status", "valid_accuracy", "valid_macro_f1", "test_macro_f1"]
    shown += ["seconds", "train_images_per_s"]
    write_shown(table, folder / TABLE, shown)
    if seeded:
        spread = over_seeds(table)
        write_shown(spread, folder / SEEDS, list(spread))
        table = table[table["status"].isin(DONE_STATUS)]
    if table["valid_macro_f1"].notna().any():
        drawn = " (drawn sample)" if (table["data"] == DRAWN).any() else ""
        figure = leaderboard(table, f"presets on {cpu_name()}{drawn}")
        style.save(figure, folder / PICTURE)
        print(printable(str(folder / PICTURE)))


def write_shown(table: pd.DataFrame, path: Path, shown: list[str]) -> None:
    write_table(path, table, for_people=True)
    print(f"\n{table[shown].to_string(index=False, float_format=FORMAT, na_rep='')}")
    print(printable(str(path)))


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) of each preset over the seeds that are done."""
    rows = []
    for preset, runs_of in table.groupby("preset", sort=False):
        done = runs_of[runs_of["status"].isin(DONE_STATUS)]
        row = {"preset": preset, "n": len(done)}
        row["seeds"] = " ".join(map(str, sorted(done["seed"])))
        for score in ("valid_accuracy", "valid_macro_f1"):
            values = pd.to_numeric(done[score])
            row |= {f"{score}_mean": values.mean(), f"{score}_std": values.std()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("valid_macro_f1_mean", ascending=False, kind="stable")
