"""Which photos of a place are worth a label? The choice of `lite0ca label` against others.

    python benchmarks/choosing.py RUN... --data-dir my_field

Of the labelled photos of a place two thirds of the leaves (groups of near-duplicates) are what one
may choose from; the rest are scored by a logistic regression on a run's features, fitted to the
chosen ones alone. Macro-F1 over draws of the leaves and over the runs, and how many of the classes
are among the chosen. The difference to random ones is paired, with its standard error.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from lite0ca.adaptation.choosing import directions_of, middles, telling
from lite0ca.adaptation.label_sheet import Asked
from lite0ca.data import dataset
from lite0ca.data.near_duplicates import find_groups
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.settings.config import Config

CHOSEN_FROM = 0.65  # of the leaves


def farthest(points: np.ndarray, count: int) -> list[int]:
    """From the middle of all on, each time the photo that is farthest from those chosen."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())]
    away = np.full(len(points), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return chosen


def scaled(features: np.ndarray) -> np.ndarray:
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1)


WAYS = {
    "random": lambda x, p, g, n, rng: rng.choice(len(x), n, replace=False),
    "least sure": lambda x, p, g, n, rng: np.argsort(p.max(axis=1))[:n],
    "farthest first": lambda x, p, g, n, rng: farthest(directions_of(x), n),
    "k-means": lambda x, p, g, n, rng: list(middles(scaled(x), n)),
    "k-means of unit length": lambda x, p, g, n, rng: list(middles(directions_of(x), n)),
    "and no group twice": lambda x, p, g, n, rng: telling(x, n, lambda some: g[some]),
}


def draw(features, odds, labels, groups, counts, rng) -> list[dict]:
    """A row a way and count, of one division of the leaves; none if a class is in one part only."""
    leaves = rng.permutation(np.unique(groups))
    pool = np.isin(groups, leaves[: round(CHOSEN_FROM * len(leaves))])
    classes = set(labels)
    if set(labels[pool]) != classes or set(labels[~pool]) != classes:
        return []
    place = scaled(features) / np.sqrt(features.shape[1])
    rows = []
    for count in counts:
        for name, way in WAYS.items():
            chosen = np.asarray(way(features[pool], odds[pool], groups[pool], count, rng))
            known = labels[pool][chosen]
            answers = np.full((~pool).sum(), known[0])
            if len(set(known)) > 1:
                fitted = LogisticRegression(C=10, max_iter=300, class_weight="balanced")
                answers = fitted.fit(place[pool][chosen], known).predict(place[~pool])
            row = {"way": name, "count": count, "f1": macro_f1(labels[~pool], answers)}
            row["classes"] = len(set(known)) / len(classes)
            rows.append(row | {"leaves": len(set(groups[pool][chosen])) / count})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--data-dir", help="labelled photos of a place")
    named.add_argument("--metadata", help="or a CSV of them")
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 20, 40])
    parser.add_argument("--draws", type=int, default=20)
    typed = parser.parse_args()
    config, found = Config(data_dir=typed.data_dir, metadata=typed.metadata), []
    for run in typed.runs:
        asked = Asked(run, {})
        label2id = {label: number for number, label in enumerate(asked.classes)}
        rows = dataset.load(config, label2id).rows
        rows["group"] = (
            rows["group"] if "group" in rows else find_groups(rows["absolute_path"].tolist())
        )
        rows = rows.set_index("absolute_path")
        read, features, odds, _ = asked.about(rows.index.tolist())
        labels, groups = (rows.loc[read, name].to_numpy() for name in ("label", "group"))
        for number in range(typed.draws):
            rng = np.random.default_rng(number)
            drawn = draw(features, odds, labels, groups, typed.counts, rng)
            found += [row | {"run": run, "draw": number} for row in drawn]
    table = pd.DataFrame(found)
    scores = table.pivot(index=["run", "draw", "count"], columns="way", values="f1")
    more = scores.sub(scores["random"], axis=0).groupby("count")
    of_way = table.groupby(["way", "count"], sort=False)[["f1", "classes", "leaves"]].mean()
    of_way["more than random"] = more.mean().unstack()
    of_way["standard error"] = more.sem().unstack()
    print(of_way.round(3).to_string())


if __name__ == "__main__":
    main()
