"""Figures of trainings: one run's curves, and several runs side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lite0ca.plots.style import TRAIN, VALID, plain


def training_curves(history: dict[str, list], best: int, title: str) -> Figure:
    """Loss on the left, accuracy and macro-F1 on the right, the kept epoch (from 1) marked.

    Of a run that kept no photos back (--all) there are the curves of train alone.
    """
    epochs, has_valid = np.arange(1, len(history["train_loss"]) + 1), "valid_f1" in history
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
    for axes, curves in (
        (left, (("train_loss", TRAIN, "train"), ("valid_loss", VALID, "valid"))),
        (right, (("train_acc", TRAIN, "train accuracy"), ("valid_acc", VALID, "valid accuracy"))),
    ):
        for name, color, label in curves if has_valid else curves[:1]:
            sns.lineplot(x=epochs, y=history[name], color=color, label=label, marker="o", ax=axes)
    left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="score", ylim=(0, 1))
    figure.suptitle(plain(title))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if not has_valid:
        return figure
    sns.lineplot(
        x=epochs, y=history["valid_f1"], color=VALID, label="valid macro-F1", ls="--", ax=right
    )
    right.set(xlabel="epoch", ylabel="score")
    for axes in (left, right):
        axes.axvline(best, color="0.6", lw=1, zorder=0)
    score = history["valid_f1"][best - 1]
    note = f"kept: {score:.3f} in epoch {best}"
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
    return figure


def leaderboard(table: pd.DataFrame, title: str) -> Figure:
    """Macro-F1 and accuracy of each preset that finished; the seconds behind its name.

    Where rows have a seed or a fold, a bar is the mean over them, with the deviation, and a dot a
    run.
    """
    done = table[table["valid_macro_f1"].notna()]
    seeded, presets = "seed" in done or "fold" in done, done.groupby("preset", sort=False)
    means = presets.mean(numeric_only=True)
    means = means.sort_values("valid_macro_f1", ascending=False, kind="stable")
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(8, 0.5 * len(means) + 1.5), layout="constrained")
        axes = figure.subplots()
    place = np.arange(len(means))
    for shift, column, color in ((-0.2, "valid_macro_f1", VALID), (0.2, "valid_accuracy", TRAIN)):
        label = column.replace("_", " ")
        bars = axes.barh(place + shift, means[column], 0.38, color=color, label=label)
        if not seeded:
            axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
            continue
        heights = means.index.get_indexer(done["preset"]) + shift
        axes.scatter(done[column], heights, 14, "black", alpha=0.6, zorder=3)
        spread = presets[column].agg(["mean", "std", "max"]).loc[means.index]
        for height, (mean, deviation, most) in zip(place + shift, spread.to_numpy()):
            text = f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"
            axes.text(most + 0.015, height, text, va="center", fontsize=8)
    notes = [f"{seconds:.0f} s" for seconds in means["seconds"]]
    if seeded:
        notes = [f"n = {n}, {note} each" for n, note in zip(presets.size()[means.index], notes)]
    names = [f"{preset}  ({note})" for preset, note in zip(means.index, notes)]
    axes.set(yticks=place, yticklabels=names, xlabel="score", title=plain(title))
    axes.set(xlim=(0, 1.2 if seeded else 1.08), xticks=np.linspace(0, 1, 6))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
