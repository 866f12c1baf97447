"""The classes of a data set and their numbers."""

from __future__ import annotations


def classes_of(label2id: dict[str, int]) -> list[str]:
    """The class names in the order of their numbers."""
    return sorted(label2id, key=label2id.__getitem__)
