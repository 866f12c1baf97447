"""Scores: accuracy and macro-F1, class by class, with an interval that knows near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lite0ca.errors import printable

DRAWS = 2000  # of the bootstrap


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 of the classes that occur in `truth`."""
    from sklearn.metrics import f1_score  # a second, which training begins without

    return float(
        f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    )


def interval(truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> dict[str, list]:
    """95 % intervals of accuracy, macro-F1 and each class's F1: bootstrap over whole groups.

    Photos of one leaf are not independent; drawing images one by one would make the interval
    too narrow. `groups` are (N,) labels; without groups give each image its own. Of `f1` there is
    one for each number up to the largest in `truth` and `predicted`.
    """
    matrices = drawn_matrices(truth, [predicted], groups, DRAWS, seed=0)[:, 0]
    found = {
        "accuracy": np.einsum("dii->d", matrices) / matrices.sum((1, 2)),
        "macro_f1": macro_f1_of(matrices, np.unique(truth)),
        "f1": f1_of(matrices),
    }
    bounds = {name: np.percentile(values, [2.5, 97.5], axis=0) for name, values in found.items()}
    return {name: both.T.tolist() for name, both in bounds.items()}


def drawn_matrices(
    truth: np.ndarray, answers: list[np.ndarray], groups: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """(draws, runs, truth, predicted): confusion matrices over groups drawn with replacement.

    `answers` are the (N,) class numbers of each run; in one draw all runs meet the same groups.
    """
    names, group = np.unique(groups, return_inverse=True)
    size = int(max(truth.max(), *(one.max() for one in answers))) + 1
    cells = np.zeros((len(names), len(answers), size * size))
    for run, predicted in enumerate(answers):
        np.add.at(cells[:, run], (group, truth * size + predicted), 1)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    # One draw at a time: all at once would be 2,000 numbers for each of, say, 50,000 groups.
    flat = cells.reshape(len(names), -1)
    drawn = [rng.multinomial(len(names), even) @ flat for _ in range(draws)]
    return np.reshape(drawn, (draws, len(answers), size, size))


def drawn_shares(found: list[np.ndarray], groups: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, runs): shares of the (N,) booleans of each run over groups as `drawn_matrices`."""
    none, answers = np.zeros(len(groups), int), [one.astype(int) for one in found]
    of_two = [*answers, none + 1]  # so that there are two answers, whatever was found
    matrices = drawn_matrices(none, of_two, groups, draws, seed)[:, :-1]  # draws runs 2 2
    return matrices[..., 0, 1] / matrices.sum((2, 3))


def macro_f1_of(matrices: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(…,) mean F1 of `classes` of confusion matrices (…, truth, predicted)."""
    return f1_of(matrices)[..., classes].mean(axis=-1)


def f1_of(matrices: np.ndarray) -> np.ndarray:
    """(…, classes) F1 of each class of confusion matrices (…, truth, predicted)."""
    right = np.einsum("...ii->...i", matrices)
    return 2 * right / np.maximum(matrices.sum(-2) + matrices.sum(-1), 1)


def report(
    truth: np.ndarray, predicted: np.ndarray, classes: list[str], groups: np.ndarray | None
) -> dict:
    """All scores as plain data: overall with intervals, class by class, confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    numbers = range(len(classes))
    table = precision_recall_fscore_support(truth, predicted, labels=numbers, zero_division=0)
    own_group = np.arange(len(truth)) if groups is None else groups
    bounds = interval(truth, predicted, own_group)
    # A class beyond the largest number met has no photo and no answer: its F1 is 0.
    of_classes = [*bounds["f1"], *[[0.0, 0.0]] * len(classes)]
    return {
        "images": len(truth),
        "groups": None if groups is None else len(np.unique(groups)),
        "accuracy": float((truth == predicted).mean()),
        "accuracy_interval_95": bounds["accuracy"],
        "macro_f1": macro_f1(truth, predicted),
        "macro_f1_interval_95": bounds["macro_f1"],
        "classes": {
            name: dict(
                zip(("precision", "recall", "f1", "images"), map(float, column), strict=True),
                f1_interval_95=both,
            )
            for name, column, both in zip(classes, zip(*table), of_classes)
        },
        "confusion": confusion_matrix(truth, predicted, labels=numbers).tolist(),
    }


def as_text(scores: dict, called: Mapping[str, str] | None = None, of_classes: bool = False) -> str:
    """The report as a person reads it; `called` is what people call the classes. With `of_classes`
    each of them has its interval.
    """

    def with_interval(name):
        low, high = scores[f"{name}_interval_95"]
        return f"{scores[name]:.4f} (95 % interval {low:.3f} to {high:.3f})"

    groups = scores["groups"]
    drawn = "images" if groups is None else f"{groups:,} groups of near-duplicates"
    called = called or {}
    classes = {printable(called.get(name, name)): row for name, row in scores["classes"].items()}
    width = max(map(len, classes))
    lines = [
        f"accuracy  {with_interval('accuracy')}",
        f"macro-F1  {with_interval('macro_f1')}",
        f"{scores['images']:,} images; intervals by bootstrap over {drawn}",
        "",
        f"{'class':{width}}  precision  recall      F1  images"
        f"{'  95 % interval of F1' if of_classes else ''}",
    ]
    for name, row in classes.items():
        lines.append(
            f"{name:{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}"
            f"  {row['images']:6.0f}"
        )
        if of_classes:
            lines[-1] += "  {:.3f} to {:.3f}".format(*row["f1_interval_95"])
    absent = [name for name, row in classes.items() if not row["images"]]
    if absent:
        lines.append(f"macro-F1 is over the classes that occur; none of {', '.join(absent)} here")
    return "\n".join(lines)
