"""Near-duplicate photos: which images show the same leaf, turned, mirrored, cropped or shot again.

Two steps. Neighbours in colour histogram (blind to turning and mirroring) are the candidates;
then OpenCV's SIFT keypoints of the two photos, or of one and the mirror image of the other, must
agree on one rotation, scale and shift (RANSAC). Perceptual hashes are not enough here: leaves on
a plain background have close hashes, and a turned copy has a far one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from lite0ca.images.reading import bytes_of, content_of, read_image
from lite0ca.images.threads import in_threads

SIDE = 256  # pixels; photos are compared at this size
NEIGHBOURS = 20  # candidates an image
RATIO = 0.8  # Lowe's test: the best match must be so much nearer than the second
INLIERS, INLIER_SHARE = 8, 0.3  # distinct points that agree; and their share of the matches


def find_groups(files: Sequence[str | Path], bar: Callable | None = None) -> np.ndarray:
    """A group number for each file; files that show the same leaf share it. int, (files,)."""
    from scipy.sparse import coo_matrix  # with scikit-learn a second, for those who seek
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import NearestNeighbors

    fingerprints = in_threads(fingerprint, files, bar)
    histograms = np.stack([histogram for histogram, _ in fingerprints])
    wanted = min(NEIGHBOURS + 1, len(files))
    near = NearestNeighbors(n_neighbors=wanted).fit(histograms).kneighbors(histograms)[1]
    pairs = {(min(a, b), max(a, b)) for a in range(len(files)) for b in near[a] if a != b}
    pairs = sorted((int(a), int(b)) for a, b in pairs)

    def alike(pair):
        (_, one), (_, other) = (fingerprints[i] for i in pair)
        if one is None or other is None:
            return False
        return same_leaf(one, other) or same_leaf(one, mirrored(other))

    links = np.array([p for p, same in zip(pairs, in_threads(alike, pairs, bar)) if same])
    a, b = links.reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(files), len(files)))
    return connected_components(graph, directed=False)[1]


def equal_starts(files: Sequence[str | Path]) -> np.ndarray:
    """A group number for each file: those of one length with equal first 64 kB share it."""

    def start(path):
        return bytes_of(path), hashlib.sha256(content_of(path, 2**16)).digest()

    numbers = {}
    return np.array([numbers.setdefault(start(path), len(numbers)) for path in files])


def fingerprint(path: str | Path):
    """(colour histogram, SIFT points and descriptors) of one photo; None for too few points."""
    image = cv2.resize(read_image(path), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    # Leaves and soil lie in the middle half of a and b.
    ranges = [0, 256, 64, 192, 64, 192]
    histogram = np.sqrt(cv2.calcHist([lab], [0, 1, 2], None, [8, 16, 16], ranges).ravel() / SIDE**2)
    # A leaf on plain ground is low in contrast: the default thresholds find 70 points, these 300.
    sift = cv2.SIFT.create(nfeatures=600, contrastThreshold=0.003, edgeThreshold=20)
    points, descriptors = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    if len(points) < INLIERS:
        return histogram, None
    # OpenCV's descriptors are whole numbers up to 255: bytes keep 16,000 photos in 1.3 GB.
    return histogram, (np.array([p.pt for p in points], np.float32), descriptors.astype(np.uint8))


def mirrored(photo):
    """The keypoints of the mirror image: 4 x 4 cells in reverse rows, 8 directions negated."""
    points, descriptors = photo
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, -np.arange(8)]
    return points * [-1, 1] + [SIDE - 1, 0], cells.reshape(len(points), 128)


def root(descriptors: np.ndarray) -> np.ndarray:
    """RootSIFT (Arandjelovic and Zisserman, CVPR 2012): plain distance becomes Hellinger's."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True, dtype=np.float32), 1)
    return np.sqrt(descriptors / total).astype(np.float32)


def same_leaf(one, other) -> bool:
    """Whether enough keypoints of two photos agree on one rotation, scale and shift."""
    (points, descriptors), (other_points, other_descriptors) = one, other
    # Descriptors have length 1: the squared distance is 2 - 2 x their product.
    product = root(descriptors) @ root(other_descriptors).T
    nearest, row = product.argmax(axis=1), np.arange(len(points))
    best = product[row, nearest]
    product[row, nearest] = -1
    good = 1 - best < RATIO**2 * (1 - product.max(axis=1))
    if good.sum() < INLIERS:
        return False
    start, end = points[good], other_points[nearest[good]]
    # Two of 30 % agreeing points are drawn once in 11 tries: 200 miss them once in 10^8.
    transform, inlier = cv2.estimateAffinePartial2D(
        start, end, ransacReprojThreshold=SIDE / 56, maxIters=200
    )
    if transform is None or not 0.5 < np.hypot(*transform[:, 0]) < 2:
        return False
    # SIFT puts several points on one spot: count spots, or one spot makes a match.
    inlier = inlier.ravel() > 0
    agreeing = min(spots(start[inlier]), spots(end[inlier]))
    return agreeing >= INLIERS and agreeing >= INLIER_SHARE * spots(start)


def spots(points: np.ndarray) -> int:
    return len(np.unique(points.round(), axis=0))
