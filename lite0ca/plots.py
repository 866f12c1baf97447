"""Pictures for people: training curves and confusion matrix, from plain rows and arrays."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from lite0ca.files import whole

TRAIN, VALID = sns.color_palette("colorblind")[:2]


def training_curves(history: dict[str, list], best: int, title: str) -> Figure:
    """Loss on the left, accuracy and macro-F1 on the right, the best epoch (from 1) marked."""
    epochs = np.arange(1, len(history["valid_f1"]) + 1)
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
    for axes, curves in (
        (left, (("train_loss", TRAIN, "train"), ("valid_loss", VALID, "valid"))),
        (right, (("train_acc", TRAIN, "train accuracy"), ("valid_acc", VALID, "valid accuracy"))),
    ):
        for name, color, label in curves:
            sns.lineplot(x=epochs, y=history[name], color=color, label=label, marker="o", ax=axes)
    sns.lineplot(
        x=epochs, y=history["valid_f1"], color=VALID, label="valid macro-F1", ls="--", ax=right
    )
    left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="score", ylim=(0, 1))
    for axes in (left, right):
        axes.axvline(best, color="0.6", lw=1, zorder=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
    score = history["valid_f1"][best - 1]
    note = f"best: {score:.3f} in epoch {best}"
    side = 1 if best <= (1 + len(epochs)) / 2 else -1  # where there is room for it
    right.annotate(
        note,
        (best, 0.02),
        xytext=(5 * side, 0),
        textcoords="offset points",
        ha="left" if side == 1 else "right",
        color="0.35",
    )
    right.legend(loc="lower right", bbox_to_anchor=(1, 0.08))
    figure.suptitle(title)
    return figure


def confusion(matrix, classes: list[str], title: str) -> Figure:
    """Counts, coloured by the share of each true class (row)."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.7 * len(classes)
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    names = [name.replace("_", " ") for name in classes]
    sns.heatmap(
        share,
        annot=matrix if len(classes) <= 20 else None,
        fmt="d",
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        xticklabels=names,
        yticklabels=names,
        cbar_kws={"label": "share of the true class"},
        ax=axes,
    )
    axes.set(xlabel="predicted", ylabel="true", title=title)
    axes.tick_params(axis="x", rotation=30)
    for label in axes.get_xticklabels():
        label.set_ha("right")
    return figure


def save(figure: Figure, path) -> None:
    with whole(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120, facecolor="white")


def show(figure: Figure) -> bool:
    """The figure in a window or notebook; False where there is neither."""
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() == "agg":
        return False
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, facecolor="white")
    picture.seek(0)
    pyplot.figure(figsize=figure.get_size_inches())
    pyplot.imshow(pyplot.imread(picture))
    pyplot.axis("off")
    pyplot.show()
    return True
