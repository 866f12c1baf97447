"""Pictures for people: training curves and confusion matrix, from plain rows and arrays."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lite0ca.files import whole

TRAIN, VALID = sns.color_palette("colorblind")[:2]


def plain(text: str) -> str:
    """Names of classes and folders are no formulas, whatever dollar signs they have."""
    return str(text).replace("$", r"\$")


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
    figure.suptitle(plain(title))
    return figure


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
    axes.set(xlabel="predicted", ylabel="true", title=plain(title))
    axes.tick_params(axis="x", rotation=30)
    for label in axes.get_xticklabels():
        label.set_ha("right")
    return figure


def reliability(bins: list[dict], title: str) -> Figure:
    """Accuracy against confidence (rows of `confidence.bins_of`), and how many photos lie where."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(4.5, 5), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidence, accuracy, images = (
        [row[name] for row in bins] for name in ("confidence", "accuracy", "images")
    )
    upper.plot([0, 1], [0, 1], color="0.6", ls="--", label="exact")
    upper.plot(confidence, accuracy, color=VALID, marker="o", label="this model")
    upper.set(ylabel="accuracy", ylim=(0, 1.02), title=plain(title))
    upper.legend(loc="upper left")
    lower.bar(confidence, images, width=0.05, color=TRAIN)
    lower.set(xlabel="confidence", ylabel="photos", xlim=(0, 1.02))
    return figure


def effects(table: pd.DataFrame, title: str, label: str) -> Figure:
    """Differences with intervals (rows of `compare.effects`), a point an arm, beside zero."""
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


def class_counts(labels, splits) -> Figure:
    """Photos of each class, split by split."""
    figure, axes = one_panel(6.5, 3)
    sns.countplot(
        x=[plain(label) for label in labels], hue=np.asarray(splits), palette="colorblind", ax=axes
    )
    axes.set(xlabel="", ylabel="photos")
    axes.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def accuracy_against_cost(table: pd.DataFrame, score: str, title: str) -> Figure:
    """Score against latency and against parameters; no system of the marked line is beaten.

    `table` has a row a system: system, latency_ms, parameters and, in [0, 1], the score. A
    system without a score stands as a cross at the bottom: its cost is known all the same.
    """
    table = table.sort_values("latency_ms", ignore_index=True)
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 4.5), layout="constrained")
        *panels, names = figure.subplots(1, 3, width_ratios=(4, 4, 2))
    scored, blank = table[table[score].notna()], table[table[score].isna()]
    floor = scored[score].min() - 0.05 if len(scored) else 0
    for axes, cost, label in zip(
        panels, ("latency_ms", "parameters"), ("latency of one image, ms", "parameters, millions")
    ):
        unit = 1e6 if cost == "parameters" else 1
        best = scored[pareto_front(scored[cost], scored[score])].sort_values(cost)
        axes.plot(best[cost] / unit, best[score], color=VALID, lw=1.5, label="Pareto front")
        axes.scatter(scored[cost] / unit, scored[score], color=TRAIN, zorder=2)
        axes.scatter(blank[cost] / unit, [floor] * len(blank), color="0.5", marker="x")
        crowd = blank[cost].rank(method="first") % 3  # crosses lie close: their numbers take turns
        for number, row in table.iterrows():
            height = floor if np.isnan(row[score]) else row[score]
            place = {"xytext": (3, 5 + 9 * crowd.get(number, 0)), "textcoords": "offset points"}
            axes.annotate(str(number + 1), (row[cost] / unit, height), fontsize=9, **place)
        plain_log_axis(axes)
        axes.set(xlabel=label, ylabel=score.replace("_", " "))
        axes.margins(x=0.1, y=0.2)
    panels[0].legend(loc="best")
    marks = ["" if np.isfinite(value) else "  (no score)" for value in table[score]]
    listed = [f"{n}  {name}{mark}" for n, (name, mark) in enumerate(zip(table["system"], marks), 1)]
    names.text(0, 1, "\n".join(listed), va="top", fontsize=9, linespacing=1.5)
    names.axis("off")
    figure.suptitle(plain(title))
    return figure


def plain_log_axis(axes) -> None:
    """A logarithmic x axis with numbers that people read: 1, 2, 5, 10."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def pareto_front(cost, score) -> np.ndarray:
    """Which points no other beats, bool (n,): none costs less or the same and scores higher, or
    costs less and scores the same."""
    cost, score = np.asarray(cost, float), np.asarray(score, float)
    no_dearer, no_worse = cost[None] <= cost[:, None], score[None] >= score[:, None]
    better = (cost[None] < cost[:, None]) | (score[None] > score[:, None])
    return ~(no_dearer & no_worse & better).any(axis=1)


def speeds(table: pd.DataFrame, title: str) -> Figure:
    """Latency of one image and throughput of a batch, a dot for each setup of a system."""
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 0.32 * table["system"].nunique() + 1.5), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
    for axes, column, label in zip(
        panels,
        ("latency_ms", "images_per_s"),
        ("latency of one image, ms (left is better)", "images/s in batches (right is better)"),
    ):
        # Dots: the length of a bar means nothing on a logarithmic axis.
        sns.stripplot(
            table,
            y="system",
            x=column,
            hue="setup",
            palette="colorblind",
            size=8,
            jitter=False,
            ax=axes,
            orient="h",
        )
        plain_log_axis(axes)
        axes.set(xlabel=label, ylabel="")
        axes.grid(axis="y", visible=True)
        axes.legend(title="")
    panels[1].get_legend().remove()
    figure.suptitle(plain(title))
    return figure


def leaderboard(table: pd.DataFrame, title: str) -> Figure:
    """Macro-F1 and accuracy of each preset that finished; the seconds behind its name.

    Where rows have a seed, a bar is the mean over them, with the deviation, and a dot a seed.
    """
    done = table[table["valid_macro_f1"].notna()]
    seeded, presets = "seed" in done, done.groupby("preset", sort=False)
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


def forms(rows: list[dict], title: str) -> Figure:
    """Size, latency and macro-F1 of each form of one model, in three columns of bars."""
    table = pd.DataFrame([row for row in rows if "size_mb" in row and "latency_ms" in row])
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(11, 1.6 + 0.38 * len(table)), layout="constrained")
        columns = figure.subplots(1, 3, sharey=True)
    kinds = ["int8" if "int8" in form else "float32" for form in table["form"]]
    for axes, (name, label, write) in zip(
        columns,
        (
            ("size_mb", "MB", "{:.1f}"),
            ("latency_ms", "ms an image", "{:.1f}"),
            ("macro_f1", "macro-F1", "{:.3f}"),
        ),
    ):
        sns.barplot(
            x=table[name], y=table["form"], hue=kinds, palette={"float32": TRAIN, "int8": VALID},
            legend=axes is columns[0], dodge=False, ax=axes,
        )  # fmt: skip
        for container in axes.containers:
            axes.bar_label(container, fmt=write.format, padding=3, color="0.35")
        axes.set(xlabel=label, ylabel="", xlim=(0, 1.18 * table[name].max()))
    columns[0].legend(loc="center right", title=None)
    figure.suptitle(plain(title))
    return figure
