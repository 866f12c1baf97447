"""Pictures for people: training curves and confusion matrix, from plain rows and arrays."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pandas as pd
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


def class_counts(labels, splits) -> Figure:
    """Photos of each class, split by split."""
    figure, axes = one_panel(6.5, 3)
    sns.countplot(x=np.asarray(labels), hue=np.asarray(splits), palette="colorblind", ax=axes)
    axes.set(xlabel="", ylabel="photos")
    axes.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def accuracy_against_cost(table: pd.DataFrame, score: str, title: str) -> Figure:
    """Score against latency and against parameters; no system of the marked line is beaten.

    `table` has a row a system: system, latency_ms, parameters and, in [0, 1], the score. A
    system without a score stands as a cross below the axis: its cost is known all the same.
    """
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 5), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
    scored, blank = table[table[score].notna()], table[table[score].isna()]
    floor = scored[score].min() - 0.06 if len(scored) else 0
    for axes, cost, label in zip(
        panels, ("latency_ms", "parameters"), ("latency of one image, ms", "parameters")
    ):
        axes.set_xscale("log")
        best = scored[pareto_front(scored[cost], scored[score])].sort_values(cost)
        axes.plot(best[cost], best[score], color=VALID, lw=1.5, zorder=1, label="Pareto front")
        axes.scatter(scored[cost], scored[score], color=TRAIN, zorder=2)
        axes.scatter(blank[cost], [floor] * len(blank), color="0.5", marker="x", label="no score")
        for _, row in table.iterrows():
            low = np.isnan(row[score])
            axes.annotate(
                row["system"].replace("EfficientNet", "EffNet").replace("_", " "),
                (row[cost], floor if low else row[score]),
                xytext=(0, 6),
                textcoords="offset points",
                rotation=60 if low else 20,
                fontsize=8,
            )
        axes.set(xlabel=label)
        axes.margins(x=0.15, y=0.25)
    panels[0].set(ylabel=score.replace("_", " "))
    panels[0].legend(loc="upper left")
    figure.suptitle(title)
    return figure


def pareto_front(cost, score) -> np.ndarray:
    """Which points no other beats, bool (n,): none costs less or the same and scores higher, or
    costs less and scores the same."""
    cost, score = np.asarray(cost, float), np.asarray(score, float)
    no_dearer, no_worse = cost[None] <= cost[:, None], score[None] >= score[:, None]
    better = (cost[None] < cost[:, None]) | (score[None] > score[:, None])
    return ~(no_dearer & no_worse & better).any(axis=1)


def speeds(table: pd.DataFrame, title: str) -> Figure:
    """Latency of one image and throughput of a batch, a bar for each setup of a system."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 0.42 * table["system"].nunique() + 1.5), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
    for axes, column, label in zip(
        panels,
        ("latency_ms", "images_per_s"),
        ("latency of one image, ms (less is better)", "images/s in batches (more is better)"),
    ):
        sns.barplot(
            table, y="system", x=column, hue="setup", palette="colorblind", ax=axes, orient="h"
        )
        axes.set(xlabel=label, ylabel="", xscale="log")
        axes.legend(title="", fontsize=8)
    panels[1].get_legend().remove()
    figure.suptitle(title)
    return figure


def leaderboard(table: pd.DataFrame, title: str) -> Figure:
    """Macro-F1 and accuracy of each preset that finished; the seconds behind its name."""
    done = table[table["valid_macro_f1"].notna()]
    names = [f"{row.preset}  ({row.seconds:.0f} s)" for row in done.itertuples()]
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(8, 0.5 * len(done) + 1.5), layout="constrained")
        axes = figure.subplots()
    place = np.arange(len(done))
    for shift, column, color in ((-0.2, "valid_macro_f1", VALID), (0.2, "valid_accuracy", TRAIN)):
        bars = axes.barh(
            place + shift, done[column], 0.38, color=color, label=column.replace("_", " ")
        )
        axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axes.set(yticks=place, yticklabels=names, xlim=(0, 1.08), xlabel="score", title=title)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def one_panel(width: float, height: float) -> tuple[Figure, object]:
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


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
