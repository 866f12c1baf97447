"""Figures of speed: systems and exported files side by side, and score against cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lite0ca.plots.style import TRAIN, VALID, plain


def accuracy_against_cost(table: pd.DataFrame, score: str, title: str) -> Figure:
    """Score against latency and against parameters; no system on the line is beaten.

    `table` has a row a system: system, latency_ms, parameters and, in [0, 1], the score. Where
    a system without a score would stand is marked at the foot: its cost is known all the same.
    """
    table = table.sort_values("latency_ms")
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        *panels, names = figure.subplots(1, 3, width_ratios=(4, 4, 2))
    scored, blank = table[table[score].notna()], table[table[score].isna()]
    for axes, cost, label in zip(
        panels, ("latency_ms", "parameters"), ("latency of one image, ms", "parameters, millions")
    ):
        unit = 1e6 if cost == "parameters" else 1
        best = scored[pareto_front(scored[cost], scored[score])].sort_values(cost)
        axes.step(best[cost] / unit, best[score], where="post", color=VALID, label="Pareto front")
        axes.scatter(scored[cost] / unit, scored[score], color=TRAIN, zorder=2, label="a system")
        for number, (_, row) in enumerate(scored.iterrows(), 1):
            place = {"xytext": (4, 5), "textcoords": "offset points"}
            axes.annotate(str(number), (row[cost] / unit, row[score]), fontsize=9, **place)
        if len(blank):
            foot = axes.get_xaxis_transform()  # costs across, shares of the panel's height up
            axes.scatter(
                blank[cost] / unit, [0.04] * len(blank), s=90, color="0.4", marker="|",
                transform=foot, label=f"the cost of {len(blank)} without a score",
            )  # fmt: skip
        plain_log_axis(axes)
        axes.set(xlabel=label, ylabel=score.replace("_", " "))
        axes.set_xlim(table[cost].min() / unit / 1.3, table[cost].max() / unit * 1.3)
        axes.margins(y=0.25)
    listed = [f"{number}  {name}" for number, name in enumerate(scored["system"], 1)]
    names.text(0, 1, plain("\n".join(listed)), va="top", fontsize=9, linespacing=1.5)
    names.axis("off")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
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
        figure = Figure(figsize=(12, 0.32 * table["system"].nunique() + 1.8), layout="constrained")
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
        axes.get_legend().remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(plain(title))
    return figure


def exported_files(rows: list[dict], title: str) -> Figure:
    """Size, latency and macro-F1 of each form of one model, in three columns of bars."""
    table = pd.DataFrame([row for row in rows if "size_mb" in row and "latency_ms" in row])
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(11, 1.9 + 0.38 * len(table)), layout="constrained")
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
            dodge=False, ax=axes,
        )  # fmt: skip
        for container in axes.containers:
            axes.bar_label(container, fmt=write.format, padding=3, color="0.35")
        axes.set(xlabel=label, ylabel="", xlim=(0, 1.18 * table[name].max()))
        axes.get_legend().remove()
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(plain(title))
    return figure
