"""The leaderboard of a batch: printed, as CSV and as a plot; over seeds and folds as well."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lite0ca.data.dataset import DRAWN
from lite0ca.errors import printable
from lite0ca.files.ownership import is_picture, is_table, refuse_others
from lite0ca.files.tables import write_table
from lite0ca.machine.processor import cpu_name
from lite0ca.plots import style
from lite0ca.plots.runs import leaderboard

TABLE, PICTURE = "leaderboard.csv", "leaderboard.png"
SEEDS, FOLDS = "seeds.csv", "folds.csv"
SCORES = ("valid_accuracy", "valid_macro_f1")
DONE_STATUS = ("done", "done before")  # of a row
FORMAT = "{:.3f}".format


def refuse_other_leaderboards(folder: Path) -> None:
    """Raise `InputError` for files of these names that lite0ca did not make."""
    kinds = ("", "seed,", "fold,", "seed,fold,")
    ours = is_table(folder / TABLE, *(f"preset,{kind}status,system," for kind in kinds))
    refuse_others(folder / TABLE, ours)
    refuse_others(folder / PICTURE, is_picture(folder / PICTURE))
    refuse_others(folder / SEEDS, is_table(folder / SEEDS, "preset,n,seeds,"))
    ours = is_table(folder / FOLDS, "preset,n,folds,", "preset,seed,n,folds,")
    refuse_others(folder / FOLDS, ours)


def write_leaderboard(table: pd.DataFrame, folder: Path) -> None:
    """Best macro-F1 first: printed, leaderboard.csv and, if anything was scored, the plot.

    Where rows have a seed, seeds.csv as well; where they have a fold, folds.csv. A seed's score is
    then the mean over its folds, and a seed that lacks one has none.
    """
    table = table.sort_values("valid_macro_f1", ascending=False, kind="stable")
    labels = [name for name in ("seed", "fold") if name in table]
    shown = ["preset", *labels, "status", "valid_accuracy", "valid_macro_f1", "test_macro_f1"]
    shown += ["seconds", "train_images_per_s"]
    write_shown(table, folder / TABLE, shown)
    of_seeds = table
    if "fold" in labels:
        spread = over(table, ["preset", *labels[:-1]], "fold")
        write_shown(spread, folder / FOLDS, list(spread))
        of_seeds = seeds_of(table) if "seed" in labels else table
    if "seed" in labels:
        spread = over(of_seeds, ["preset"], "seed")
        write_shown(spread, folder / SEEDS, list(spread))
    if labels:
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


def over(table: pd.DataFrame, of: list[str], runs: str) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) of each preset over the `runs` ("seed") that are done."""
    rows = []
    for name, runs_of in table.groupby(of, sort=False):
        done = runs_of[runs_of["status"].isin(DONE_STATUS)]
        row = dict(zip(of, name)) | {"n": len(done)}
        row[f"{runs}s"] = " ".join(map(str, sorted(done[runs])))
        for score in SCORES:
            values = pd.to_numeric(done[score])
            row |= {f"{score}_mean": values.mean(), f"{score}_std": values.std()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("valid_macro_f1_mean", ascending=False, kind="stable")


def seeds_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row a preset and seed: the mean of its folds, done if all of them are."""
    rows = []
    for (preset, seed), folds in table.groupby(["preset", "seed"], sort=False):
        done = folds["status"].isin(DONE_STATUS).all()
        means = {score: pd.to_numeric(folds[score]).mean() for score in SCORES}
        status = DONE_STATUS[0] if done else "lacks folds"
        rows.append({"preset": preset, "seed": seed, "status": status, **means})
    return pd.DataFrame(rows)
