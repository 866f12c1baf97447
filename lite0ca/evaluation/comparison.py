"""Is A better than B? Over several runs of each, on the same photos, with an interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lite0ca.evaluation.metrics import drawn_matrices, macro_f1, macro_f1_of

DRAWS = 4000
RUNS_FOR_A_CLAIM = 3  # of each side
# What benchmarks/study.py leaves: a row a run; for each split a row a photo, a column a run.
RUNS, ANSWERS = "runs.csv", "answers_{}.csv"


def difference(
    truth: np.ndarray,
    one: list[np.ndarray],
    other: list[np.ndarray],
    groups: np.ndarray,
    seed: int = 0,
) -> dict:
    """Mean macro-F1 of the runs of `other` minus that of `one`, with a 95 % interval.

    Each run is the (N,) class numbers that it answered. The interval covers both what the photos
    and what the seeds might have been: a paired bootstrap over groups of near-duplicates, in which
    the runs of each side are drawn with replacement too. A drawn mean of n runs spreads
    sqrt((n - 1) / n) times as much as means of n runs do, which is made up for.
    """
    classes = np.unique(truth)
    matrices = drawn_matrices(truth, [*one, *other], groups, DRAWS, seed)
    scores = macro_f1_of(matrices, classes)  # draws runs
    rng = np.random.default_rng(seed)
    means = []
    for side in (scores[:, : len(one)], scores[:, len(one) :]):
        runs = rng.integers(side.shape[1], size=side.shape)
        drawn, centre = np.take_along_axis(side, runs, axis=1).mean(axis=1), side.mean(axis=1)
        n = side.shape[1]
        means.append(centre + (drawn - centre) * np.sqrt(n / max(1, n - 1)))
    low, high = np.percentile(means[1] - means[0], [2.5, 97.5])
    first, second = (np.mean([macro_f1(truth, run) for run in side]) for side in (one, other))
    return {"difference": float(second - first), "low": float(low), "high": float(high)}


def runs_of(folder: str | Path) -> pd.DataFrame:
    """The finished runs of a study: arm, seed, split, settings, scores."""
    file = Path(folder) / RUNS
    return pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["arm", "seed", "split"])


def difference_of_arms(folder: str | Path, one: str, other: str, kind: str = "test") -> dict:
    """`difference` of two arms of a study that share a split, from the kept answers alone.

    `runs` is how many of each there are at least.
    `kind` is "test", or one of `background.KINDS`: photos without a plain background do not count.
    """
    runs = runs_of(folder)
    (split,) = runs[runs["arm"].isin([one, other])]["split"].unique()
    table = pd.read_csv(Path(folder) / ANSWERS.format(split))
    seeds = {arm: runs[runs["arm"] == arm]["seed"] for arm in (one, other)}
    columns = [[f"{arm} {seed} {kind}" for seed in seeds[arm]] for arm in (one, other)]
    table = table.dropna(subset=[*columns[0], *columns[1]])
    sides = [[table[name].to_numpy(int) for name in names] for names in columns]
    found = difference(table["truth"].to_numpy(), *sides, table["group"].to_numpy())
    return found | {"runs": min(len(side) for side in sides)}


def differences_of_arms(
    folder: str | Path, one: str, others: list[str], kind: str = "test"
) -> pd.DataFrame:
    """`difference_of_arms` of several arms against `one`: a row an arm, its verdict in words."""
    rows = [{"arm": other, **difference_of_arms(folder, one, other, kind)} for other in others]
    columns = ["arm", "difference", "low", "high", "runs", "verdict"]
    table = pd.DataFrame([row | {"verdict": verdict(row)} for row in rows], columns=columns)
    return table.set_index("arm")


def verdict(row: dict) -> str:
    if row["runs"] < RUNS_FOR_A_CLAIM:  # the interval then knows little of what seeds do
        return f"{row['runs']} of {RUNS_FOR_A_CLAIM} runs: no claim yet"
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "no difference shown"


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of each arm, as text, with n."""
    columns = [name for name in runs if name.endswith(("_f1", "_accuracy", "_error"))]
    groups = runs.groupby(["split", "arm"], sort=False)
    table = groups[columns].agg(as_mean_and_deviation)
    table.insert(0, "n", groups.size())
    return table


def as_mean_and_deviation(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return ""
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")
