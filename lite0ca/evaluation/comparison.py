"""Is A better than B? Over several runs of each, on the same photos, with an interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lite0ca.evaluation.metrics import drawn_matrices, drawn_shares, macro_f1, macro_f1_of
from lite0ca.evaluation.missed_disease import interval_of_share
from lite0ca.settings.names import is_healthy

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
    means = [drawn_means(side, rng) for side in (scores[:, : len(one)], scores[:, len(one) :])]
    low, high = np.percentile(means[1] - means[0], [2.5, 97.5])
    first, second = (np.mean([macro_f1(truth, run) for run in side]) for side in (one, other))
    return {"difference": float(second - first), "low": float(low), "high": float(high)}


def drawn_means(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(draws,) means over runs, drawn with replacement in each draw, of scores (draws, runs)."""
    n = scores.shape[1]
    runs = rng.integers(n, size=scores.shape)
    drawn, centre = np.take_along_axis(scores, runs, axis=1).mean(axis=1), scores.mean(axis=1)
    return centre + (drawn - centre) * np.sqrt(n / max(1, n - 1))


def called_healthy(folder: str | Path, split: str) -> pd.DataFrame:
    """How many diseased test photos of a split are called healthy, from the kept answers alone.

    A row an arm: its runs, the diseased photos, the mean share of the runs, and the 95 % interval
    of that mean, over groups and runs as in `difference`. Empty where no class is healthy.
    """
    table = pd.read_csv(Path(folder) / ANSWERS.format(split))
    well = table["label"].map(is_healthy)
    healthy, ill = table["truth"][well].unique(), table[~well]
    groups, rows, runs = ill["group"].to_numpy(), [], runs_of(folder)
    for arm, of_arm in runs[runs["split"] == split].groupby("arm", sort=False):
        if not len(healthy) or ill.empty:
            break
        missed = [ill[f"{arm} {seed} test"].isin(healthy).to_numpy() for seed in of_arm["seed"]]
        if np.any(missed):
            drawn = drawn_means(
                drawn_shares(missed, groups, DRAWS, seed=0), np.random.default_rng(0)
            )
            low, high = np.percentile(drawn, [2.5, 97.5]).clip(0, 1)
        else:
            low, high = interval_of_share(missed[0], groups)
        row = {"arm": arm, "runs": len(missed), "diseased": len(ill)}
        rows.append(row | {"share": np.mean(missed), "low": low, "high": high})
    columns = ["arm", "runs", "diseased", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns).set_index("arm")


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
