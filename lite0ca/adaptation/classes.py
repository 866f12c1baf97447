"""The classes of labelled photos and those of a model, brought together."""

from __future__ import annotations

import torch
from torch import nn

from lite0ca.data.classes import plain_name
from lite0ca.errors import InputError, printable
from lite0ca.model.network import LeafClassifier


def matched(labels: list[str], label2id: dict[str, int]) -> dict[str, str]:
    """The photos' labels -> the model's, where a person would read them as one; else themselves."""
    known = {plain_name(label): label for label in label2id}
    return {label: known.get(plain_name(label), label) for label in labels}


def with_new(labels: list[str], label2id: dict[str, int]) -> dict[str, int]:
    """The model's class numbers, and further ones for labels that it does not have."""
    new = sorted(set(labels) - set(label2id))
    return label2id | {label: len(label2id) + place for place, label in enumerate(new)}


def widen(model: LeafClassifier, classes: int) -> None:
    """Give a network outputs for more classes, in place; those it has stay as they are.

    A new one begins as the mean of the others. Raises `InputError` for a classifier that is not
    one linear layer.
    """
    old = model.get_classifier()
    if not isinstance(old, nn.Linear):
        name = type(model.backbone).__name__
        raise InputError(f"{name}: its classifier cannot take new classes; train with them instead")
    model.backbone.reset_classifier(classes)
    new = model.get_classifier().to(old.weight.device)
    with torch.no_grad():
        for into, kept in ((new.weight, old.weight), (new.bias, old.bias)):
            into[: len(kept)] = kept
            into[len(kept) :] = kept.mean(0)


def classes_as_text(counts: dict[str, int], label2id: dict[str, int], beside: bool) -> list[str]:
    """What holds for classes without photos here, and for those that the model did not know."""
    lines = []
    absent = [label for label in label2id if label not in counts]
    if absent:
        kept = (
            "what it learned of them in training is kept, not tested here"
            if beside
            else "without the training photos it forgets them in part"
        )
        lines.append(f"no photos of {', '.join(map(printable, absent))}: {kept}")
    if new := [label for label in counts if label not in label2id]:
        lines.append(
            f"new: {', '.join(map(printable, new))}; learned from these photos alone, and so known "
            "only as it looks here"
        )
    return lines
