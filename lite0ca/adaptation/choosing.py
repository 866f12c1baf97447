"""Which photos of many to label: one of each kind that a network tells apart, none of them twice.

Groups of its features, and of each the photo in its middle. Against random ones, those that a
network is least sure of, and other ways of grouping: docs/log.md, and benchmarks/choosing.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

MOST_TRIED = 4  # times as many groups as photos that are wanted, before fewer are given


def telling(
    features: np.ndarray, count: int, groups_of: Callable[[list[int]], np.ndarray]
) -> list[int]:
    """The numbers of at most `count` of N photos, those of the largest groups first.

    `features` are (N, C), pooled behind the attention. `groups_of` says of some photos, by their
    numbers, which show the same leaf: a group number each. Where two of those in the middle do,
    there are more groups to choose from, until `count` photos differ.
    """
    directions, clusters = directions_of(features), count
    while True:
        middle = list(middles(directions, clusters))
        _, first = np.unique(groups_of(middle), return_index=True)
        differ = [middle[place] for place in sorted(first)]
        if len(differ) >= count or clusters >= min(len(features), MOST_TRIED * count):
            return differ[:count]
        clusters += max(count - len(differ), clusters // 8, 1)


def directions_of(features: np.ndarray) -> np.ndarray:
    """(N, C): each channel with mean 0 and deviation 1, then each photo with length 1.

    Without the length photos on which the network answers strongly fill most groups.
    """
    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(length > 0, length, 1)).astype(np.float32)


def middles(points: np.ndarray, clusters: int) -> Iterator[int]:
    """The number of the point nearest to each centre of k-means, the largest cluster first."""
    with warnings.catch_warnings():  # of fewer different points than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(min(clusters, len(points)), n_init=3, random_state=0)
        number = found.fit_predict(points)
    labels, sizes = np.unique(number, return_counts=True)
    for label in labels[np.argsort(-sizes, kind="stable")]:
        members = np.flatnonzero(number == label)
        away = np.linalg.norm(points[members] - found.cluster_centers_[label], axis=1)
        yield int(members[away.argmin()])
