"""Figures of scores: confusion, calibration, differences, backgrounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lite0ca.plots.style import TRAIN, VALID, one_panel, plain


def confusion(matrix, classes: list[str], title: str) -> Figure:
    """Counts, coloured by the share of each true class (row)."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.7 * len(classes)
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    names = [plain(name.replace("_", " ")) for name in classes]
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
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(plain(title), fontsize="medium")
    axes.tick_params(axis="x", rotation=30)
    axes.tick_params(axis="y", rotation=0)
    for label in axes.get_xticklabels():
        label.set_ha("right")
    return figure


def reliability(bins: list[dict], title: str) -> Figure:
    """Accuracy against confidence, and how many photos lie where: rows of `calibration.bins_of`."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(4.5, 5), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidence, accuracy, images = (
        [row[name] for row in bins] for name in ("confidence", "accuracy", "images")
    )
    upper.plot([0, 1], [0, 1], color="0.6", ls="--", label="exact")
    upper.plot(confidence, accuracy, color=VALID, marker="o", label="this model")
    upper.set(ylabel="accuracy", ylim=(0, 1.02))
    upper.set_title(plain(title), fontsize="medium")
    upper.legend(loc="upper left")
    lower.bar(confidence, images, width=0.05, color=TRAIN)
    lower.set(xlabel="confidence", ylabel="photos", xlim=(0, 1.02))
    return figure


def differences(table: pd.DataFrame, title: str, label: str) -> Figure:
    """A point an arm beside zero, with its interval: rows of `comparison.differences_of_arms`."""
    figure, axes = one_panel(8, 1.4 + 0.34 * len(table))
    places = range(len(table))
    reach = [table["difference"] - table["low"], table["high"] - table["difference"]]
    axes.axvline(0, color="0.4", lw=1)
    axes.errorbar(table["difference"], places, xerr=reach, fmt="o", color=TRAIN, capsize=3)
    axes.set(yticks=places, yticklabels=table.index, xlabel=label, title=title)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return figure


def by_background(table: pd.DataFrame, title: str) -> Figure:
    """Macro-F1 of each arm (rows, the baseline first) on each kind of background (columns)."""
    figure, axes = one_panel(8, 4)
    for arm, row in table.iterrows():
        baseline = arm == table.index[0]
        axes.plot(
            row.index, row, marker="o", label=arm, color="0.5" if baseline else None,
            ls="--" if baseline else "-",
        )  # fmt: skip
    axes.set(ylabel="macro-F1", ylim=(0, 1), title=title)
    axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left")
    return figure


def by_labelled_photos(table: pd.DataFrame, title: str) -> Figure:
    """Macro-F1 over the labelled photos of a class, a line a way with its standard errors.

    `table` has a row a fitted model: way, photos, f1.
    """
    figure, axes = one_panel(7, 3.6)
    for way, rows in table.groupby("way", sort=False):
        found = rows.groupby("photos")["f1"].agg(["mean", "sem"])
        axes.errorbar(found.index, found["mean"], found["sem"], label=way, marker="o", capsize=3)
    axes.set(xlabel="labelled photos of each class", ylabel="macro-F1", title=title)
    axes.set_xticks(sorted(table["photos"].unique()))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
