"""Is A better than B? Over several runs of each, on the same photos, with an interval."""

from __future__ import annotations

import numpy as np

from lite0ca.evaluate import drawn_matrices, macro_f1, macro_f1_of

DRAWS = 4000


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
    the runs of each side are drawn with replacement too.
    """
    classes = np.unique(truth)
    matrices = drawn_matrices(truth, [*one, *other], groups, DRAWS, seed)
    scores = macro_f1_of(matrices, classes)  # draws runs
    rng = np.random.default_rng(seed)
    means = []
    for side in (scores[:, : len(one)], scores[:, len(one) :]):
        runs = rng.integers(side.shape[1], size=side.shape)
        means.append(np.take_along_axis(side, runs, axis=1).mean(axis=1))
    low, high = np.percentile(means[1] - means[0], [2.5, 97.5])
    first, second = (np.mean([macro_f1(truth, run) for run in side]) for side in (one, other))
    return {"difference": float(second - first), "low": float(low), "high": float(high)}
