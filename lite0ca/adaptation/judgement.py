"""Is an adapted model better where its photos are from? Asked of photos that it was not given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lite0ca.data import split
from lite0ca.evaluation.metrics import drawn_matrices, macro_f1

FOLDS = 3
DRAWS = 2000


def folds_of(numbers: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each labelled photo, photos of one leaf together; -1 for a class of one leaf,
    which cannot be asked of a model that did not see it.
    """
    fold = np.full(len(numbers), -1)
    leaves = {one: len(np.unique(groups[numbers == one])) for one in np.unique(numbers)}
    asked = np.flatnonzero(np.array([leaves[one] for one in numbers]) > 1)
    if not len(asked):
        return fold
    rows = pd.DataFrame({"label": numbers[asked], "group": groups[asked]})
    fold[asked] = split.folds_of(rows, seed, FOLDS)
    # A fold may still hold all leaves of a class: then none of them is left to learn it from.
    for place in range(fold.max() + 1):
        for one in np.unique(numbers[fold == place]):
            if not (numbers[fold != place] == one).any():
                fold[(fold == place) & (numbers == one)] = -1
    return fold


def judged(
    truth: np.ndarray, before: np.ndarray, after: np.ndarray, groups: np.ndarray, classes: list[str]
) -> dict:
    """What photos were answered rightly before and after: (N,) class numbers; as plain data."""
    matrices = drawn_matrices(truth, [before, after], groups, DRAWS, seed=0)
    shares = np.einsum("drii->dr", matrices) / matrices.sum((2, 3))  # draws 2
    bounds = lambda values: [float(x) for x in np.percentile(values, [2.5, 97.5])]  # noqa: E731
    gain = bounds(shares[:, 1] - shares[:, 0])
    found = {
        "images": len(truth),
        "groups": len(np.unique(groups)),
        "gain_interval_95": gain,
        "classes": {
            classes[one]: {
                "images": int((truth == one).sum()),
                "right_before": int(((before == one) & (truth == one)).sum()),
                "right_after": int(((after == one) & (truth == one)).sum()),
            }
            for one in np.unique(truth)
        },
    }
    for name, answers, column in (("before", before, 0), ("after", after, 1)):
        found[f"accuracy_{name}"] = float((answers == truth).mean())
        found[f"accuracy_{name}_interval_95"] = bounds(shares[:, column])
        found[f"macro_f1_{name}"] = macro_f1(truth, answers)
    return found


def verdict(found: dict) -> str:
    low, high = found["gain_interval_95"]
    if low > 0:
        return "use the adapted model here"
    if high < 0:
        return "do not use the adapted model: it answers worse here"
    return "no difference shown: label more photos, or keep the model that you have"


def as_text(found: dict, called: dict[str, str]) -> str:
    """A table of the classes, and "of 10 such photos 4 right before, 8 now"."""
    names = {label: called.get(label, label) for label in found["classes"]}
    width = max(map(len, [*names.values(), "class"]))
    lines = [f"{'class':{width}}  photos  right before  right now"]
    for label, row in found["classes"].items():
        lines.append(
            f"{names[label]:{width}}  {row['images']:6}  {row['right_before']:12}  "
            f"{row['right_after']:9}"
        )
    before, after = (of_ten(found, name) for name in ("before", "after"))
    lines += [
        f"of 10 such photos {before} right before, {after} now",
        f"asked of {found['images']} photos of {found['groups']} leaves, each by a model that did "
        "not learn from its leaf",
        verdict(found),
    ]
    return "\n".join(lines)


def of_ten(found: dict, name: str) -> str:
    share, (low, high) = found[f"accuracy_{name}"], found[f"accuracy_{name}_interval_95"]
    return f"{10 * share:.0f} (95 % interval {10 * low:.1f} to {10 * high:.1f})"
