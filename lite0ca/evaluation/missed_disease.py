"""The worst mistake: a diseased leaf that is called healthy, which nobody then looks at again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lite0ca.evaluation.metrics import DRAWS, drawn_shares


def missed_disease(
    truth: np.ndarray,
    answers: np.ndarray,
    healthy: Iterable,
    groups: np.ndarray | None = None,
    sure: np.ndarray | None = None,
) -> dict | None:
    """How many diseased photos are called healthy, and how many of these surely, as plain data.

    `truth` and `answers` are the (N,) classes of the photos, as numbers or labels; `healthy` those
    that mean no disease; `groups` (N,) near-duplicates; `sure` (N,) whether the answer is sure.
    None where no class is healthy or no photo is diseased. `interval_95` of the share is as that
    of the scores, a bootstrap over groups. Where none is missed, or all are, no draw differs: then
    it is Wilson's, of as many photos as there are groups.
    """
    healthy = list(healthy)
    diseased = ~np.isin(truth, healthy)
    if not healthy or not diseased.any():
        return None
    missed = np.isin(answers, healthy)[diseased]
    own_group = np.arange(len(truth)) if groups is None else groups
    found = {
        "diseased": int(diseased.sum()),
        "called_healthy": int(missed.sum()),
        "share": float(missed.mean()),
        "interval_95": interval_of_share(missed, own_group[diseased]),
    }
    return found if sure is None else found | {"surely": int((missed & sure[diseased]).sum())}


def interval_of_share(found: np.ndarray, groups: np.ndarray) -> list[float]:
    """95 % interval of the share of (N,) booleans that are true, by group."""
    if found.all() or not found.any():
        from scipy.stats import binomtest  # half a second, for a share of none or all

        n = len(np.unique(groups))
        bounds = binomtest(n if found.all() else 0, n).proportion_ci(method="wilson")
        return [float(bounds.low), float(bounds.high)]
    shares = drawn_shares([found], groups, DRAWS, seed=0)
    return [float(bound) for bound in np.percentile(shares, [2.5, 97.5])]


def missed_as_text(found: dict) -> str:
    """One line below the scores."""
    low, high = (100 * bound for bound in found["interval_95"])
    surely = f", {found['surely']:,} of them surely" if "surely" in found else ""
    return (
        f"diseased, called healthy: {found['called_healthy']:,} of {found['diseased']:,} "
        f"({100 * found['share']:.1f} %, {low:.1f} to {high:.1f} %){surely}"
    )
