"""Leaf and background: told apart where the background is plain, to change the one alone.

On a table or a sheet of paper a leaf is the colourful part of the photo. In a field nothing so
simple tells one leaf from the next, and such photos are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

# Of the pixels around the leaf, in CIE Lab as 8 bits: chroma that nine of ten stay below, least
# lightness in the middle, and how much more chroma a leaf has. Set by eye on walls of photos.
MOST_CHROMA, LEAST_LIGHTNESS, LEAST_CONTRAST = 22, 150, 15
LEAST_SHARE = 0.1  # of the photo
DARK = 0.5  # of the background's lightness
KINDS = ("unchanged", "blurred", "recoloured", "removed")


def leaf_mask(photo: np.ndarray) -> np.ndarray | None:
    """uint8 RGB (H, W, 3) -> uint8 (H, W), 1 on the leaf; None without a plain background."""
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32)  # H W 3
    chroma = cv2.GaussianBlur(np.hypot(lab[..., 1] - 128, lab[..., 2] - 128), (0, 0), 1)
    _, mask = cv2.threshold(
        chroma.clip(0, 255).astype(np.uint8), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU
    )
    # Lesions at the edge are as grey as paper, but darker than any shadow on it.
    if not mask.all():
        dark = lab[..., 0] < DARK * np.median(lab[..., 0][mask == 0])
        mask = np.where(dark, np.uint8(1), mask)
    # Others are as pale as paper: what the leaf encloses belongs to it, and bays of its edge.
    bay = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (1 + min(mask.shape) // 12,) * 2)
    edge = len(bay)
    mask = cv2.copyMakeBorder(mask, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, bay)
    mask = np.ascontiguousarray(mask[len(bay) : -len(bay), len(bay) : -len(bay)])
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    smallest = mask.size / 500  # crumbs and the noise of a shadow
    outlines = [line for line in outlines if cv2.contourArea(line) > smallest]
    leaf = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED)
    around = cv2.erode(1 - leaf, np.ones((5, 5), np.uint8)).astype(bool)
    if not outlines or around.mean() < LEAST_SHARE:
        return None
    plain = np.percentile(chroma[around], 90) < MOST_CHROMA
    plain &= np.median(lab[..., 0][around]) > LEAST_LIGHTNESS
    plain &= np.median(chroma[leaf > 0]) - np.median(chroma[around]) > LEAST_CONTRAST
    return leaf if plain else None


def on_background(photo: np.ndarray, leaf: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The leaf of a photo on another background, both (H, W, 3) and of one type: uint8 or float32.

    Its edge is soft.
    """
    share = cv2.GaussianBlur(leaf.astype(np.float32), (0, 0), 1)  # H W
    return cv2.blendLinear(photo, background, share, 1 - share)


def with_background(photo: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """A photo with its plain background changed in one of the `KINDS`; the leaf stays as it is.

    unchanged: to compare with. blurred: no shadows, folds or edges left. recoloured: lightness
    varies as before, around a colour drawn from all. removed: grey. A photo without a plain
    background comes back unchanged.
    """
    leaf = leaf_mask(photo)
    if leaf is None or kind == "unchanged":
        return photo
    around = (1 - cv2.dilate(leaf, np.ones((3, 3), np.uint8))).astype(np.float32)
    if kind == "removed":
        background = np.full(photo.shape, 128)
    elif kind == "blurred":
        sigma = len(photo) / 16
        # Of the background alone: the leaf must not run into it.
        sums = cv2.GaussianBlur(photo * around[..., None], (0, 0), sigma)
        counts = cv2.GaussianBlur(around, (0, 0), sigma)[..., None]
        mean = photo[around > 0].mean(axis=0)
        background = (sums + 1e-3 * mean) / (counts + 1e-3)
    else:
        colour = np.random.default_rng(seed).integers(0, 256, 3)
        lightness = photo.mean(axis=2, keepdims=True)  # H W 1
        shade = lightness / np.median(lightness[around > 0])
        background = (colour * shade).clip(0, 255)
    exact = on_background(photo.astype(np.float32), leaf, background.astype(np.float32))
    return exact.round().astype(np.uint8)


Masked = tuple[np.ndarray, np.ndarray | None]  # a photo, and what `leaf_mask` says of it


def on_another_background(
    photo: np.ndarray,
    leaf: np.ndarray | None,
    other: Callable[[], Masked],
    rng: np.random.Generator,
) -> np.ndarray:
    """The leaf of a photo from nearer, before something else: uint8 RGB (h, w, 3).

    Where the background is plain, the photo is cut to a part around some place of the leaf, and
    the rest is replaced: by one colour, by smooth colours, or by what the photo that `other` reads
    shows, sharp or out of focus. So neither table nor paper nor field goes with a class. `leaf` is
    what `leaf_mask` says of the photo.
    """
    if leaf is None:
        return photo
    if rng.random() < 0.7:
        part = part_of(leaf, rng.uniform(0.3, 0.9), rng)
        photo, leaf = photo[part], leaf[part]
    if rng.random() < 0.8:
        photo = on_background(photo, leaf, drawn_background(leaf.shape, other, rng))
    return np.ascontiguousarray(photo)


def part_of(leaf: np.ndarray, share: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """A window with so much of each side, its middle on the leaf as far as the edges allow."""
    places = np.flatnonzero(leaf.view(bool))
    middle = divmod(places[rng.integers(len(places))], leaf.shape[1])
    sides = [max(1, int(side * share)) for side in leaf.shape]
    starts = [
        min(max(0, int(place) - side // 2), whole - side)
        for place, side, whole in zip(middle, sides, leaf.shape)
    ]
    down, across = (slice(start, start + side) for start, side in zip(starts, sides))
    return down, across


def drawn_background(
    shape: tuple[int, int], other: Callable[[], Masked], rng: np.random.Generator
) -> np.ndarray:
    """A background, uint8 (h, w, 3)."""
    kind, size = rng.random(), shape[::-1]
    if kind < 0.15:
        return np.full((*shape, 3), rng.integers(0, 256, 3), np.uint8)
    if kind < 0.3:
        cells = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), dtype=np.uint8)
        return cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC)
    photo, leaf = other()
    if leaf is None:  # a field, or a leaf that fills the photo
        leaf = np.ones(photo.shape[:2], np.uint8)
    seen = photo[part_of(leaf, rng.uniform(0.15, 0.6), rng)]
    if rng.random() < 0.5:  # before it is enlarged, when it takes least
        across, down = (rng.uniform(1, 8) * np.array(seen.shape[1::-1]) / size).tolist()
        seen = cv2.GaussianBlur(seen, (0, 0), across, sigmaY=down)
    return cv2.convertScaleAbs(cv2.resize(seen, size), alpha=rng.uniform(0.4, 1.1))
