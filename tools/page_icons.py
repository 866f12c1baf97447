"""Draws the page's icons: `python tools/page_icons.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

GROUND, LEAF, SPOT = (31, 107, 61), (222, 242, 214), (181, 101, 29)
FINE = 4  # times the size that it is drawn at, for smooth edges


def draw(side: int, scale: float, corner: float) -> Image.Image:
    """A spotted leaf; `scale` is its length and `corner` the ground's radius, as shares of 1."""
    at = (np.arange(side * FINE) + 0.5) / (side * FINE) - 0.5
    x, y = at[None, :], at[:, None]
    # Along and across the leaf, which points to the upper right.
    along, across = (x - y) / np.sqrt(2) / scale, (x + y) / np.sqrt(2) / scale
    # Where two circles meet: tips at 0.5, widest 0.25 from the rib.
    radius, away = 0.625, 0.375
    leaf = np.maximum(np.hypot(along, across - away), np.hypot(along, across + away)) < radius
    stalk = (abs(across) < 0.018) & (along > -0.62) & (along < 0.36)
    veins = np.zeros_like(leaf)
    for start in (-0.24, -0.04, 0.16):
        on_vein = abs(along - start - 0.9 * abs(across)) < 0.016
        veins |= on_vein & (abs(across) < 0.15) & leaf
    spots = np.zeros_like(leaf)
    for centre, beside, size in ((-0.05, 0.11, 0.05), (0.14, -0.1, 0.055), (0.15, 0.085, 0.036)):
        spots |= np.hypot(along - centre, across - beside) < size

    picture = np.empty((*leaf.shape, 4), np.uint8)
    picture[...] = (*GROUND, 255)
    picture[leaf | (stalk & (along < 0))] = (*LEAF, 255)
    picture[(stalk & leaf) | veins] = (*GROUND, 255)
    picture[spots] = (*SPOT, 255)
    beyond = np.maximum(abs(x) - 0.5 + corner, 0), np.maximum(abs(y) - 0.5 + corner, 0)
    picture[np.hypot(*beyond) > corner, 3] = 0
    return Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent.parent / "lite0ca/export/page"
    for name, side, scale, corner in (
        ("icon-192.png", 192, 0.8, 0.22),
        ("icon-512.png", 512, 0.8, 0.22),
        ("icon-maskable-512.png", 512, 0.6, 0.0),  # launchers cut it to any shape
    ):
        icon = draw(side, scale, corner)
        mode = "RGBA" if corner else "RGB"
        icon.convert(mode).quantize(32).save(folder / name, optimize=True)
