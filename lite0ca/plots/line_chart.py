"""Curves as an SVG that a page can hold: where its lines and ticks lie, in a picture of 320 x 210.

The page's template draws it (`report.html`), in the page's own colours, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 40, 312, 10, 170  # of the axes
MOST_DOTS = 40  # on a curve


@dataclass(frozen=True)
class Curve:
    label: str
    kind: str  # its class in the page's style: colour and dashes
    points: list[tuple[float, float]]
    dots: bool


@dataclass(frozen=True)
class Chart:
    """Numbers are pixels; a tick is (where, what it says)."""

    title: str
    x_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    curves: list[Curve]
    marked: float | None
    left, right, top, bottom = LEFT, RIGHT, TOP, BOTTOM


def line_chart(
    title: str,
    x_label: str,
    curves: dict[tuple[str, str], tuple[Sequence[float], Sequence[float]]],
    y_range: tuple[float, float] | None = None,
    marked: float | None = None,
) -> Chart:
    """`curves` are {(label, kind): (x, y)}; `marked` is an x that gets an upright line."""
    xs = [x for some, _ in curves.values() for x in some]
    ys = [y for _, some in curves.values() for y in some]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = y_range or (0, max(ys) or 1)

    def across(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (RIGHT - LEFT), 1)

    def up(y: float) -> float:
        return round(BOTTOM - (y - y_low) / (y_high - y_low) * (BOTTOM - TOP), 1)

    whole = all(float(x).is_integer() for x in xs)
    return Chart(
        title,
        x_label,
        [(across(x), f"{x:g}") for x in ticks(x_low, x_high, whole) if x <= max(xs)],
        [(up(y), f"{y:g}") for y in ticks(y_low, y_high)],
        [
            Curve(
                label, kind, [(across(x), up(y)) for x, y in zip(*line)], len(line[0]) < MOST_DOTS
            )
            for (label, kind), line in curves.items()
        ],
        None if marked is None else across(marked),
    )


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`."""
    found = MaxNLocator(5, integer=whole).tick_values(low, high)
    return [round(float(value), 9) for value in found if low <= value <= high]
