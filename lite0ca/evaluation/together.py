"""One trained model or several, one look at a photo or several: asked as one, in one place.

The answer is the mean of the probabilities, over models and looks alike. Numpy alone, so that
exported files answer without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lite0ca.data.classes import classes_of
from lite0ca.errors import InputError, composed
from lite0ca.formats.metadata import limit_of
from lite0ca.formats.names import names_of
from lite0ca.images.looks import check_looks, views_of
from lite0ca.images.reading import read_image, side_for
from lite0ca.settings.config import Config

# Image size -> uint8 (looks, S, S, 3) of one photo, (B, looks, S, S, 3) of several.
Views = dict[int, np.ndarray]


class Asked(Protocol):
    """What a `Network` of torch and an `ExportedFile` have."""

    def answers(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...


@dataclass(frozen=True)
class Member:
    """A trained model that answers, alone or with others: where it lies, what it says of itself."""

    source: str
    metadata: dict
    asked: Asked
    config: Config

    @property
    def image_size(self) -> int:
        return self.config.image_size


class Together:
    """Members and looks as one. `classes` are in the order of the first member's numbers.

    Raises `InputError` if two members know other classes, or for a number of looks that is none.
    """

    def __init__(self, members: Sequence[Member], looks: int = 1):
        check_looks(looks)
        self.members, self.looks = list(members), looks
        self.classes = classes_of(self.members[0].metadata["label2id"])
        self.columns = [columns_of(self.members[0], member) for member in self.members]

    @property
    def sizes(self) -> list[int]:
        return sorted({member.image_size for member in self.members})

    @property
    def knows_training_photos(self) -> bool:
        """Whether a member says how far a photo is from its training photos (since 0.5)."""
        size = self.members[0].image_size
        black = self.views(lambda _: np.zeros((size, size, 3), np.uint8))
        return self.answers({size: views[None] for size, views in black.items()})[1] is not None

    def views(self, photo_at: Callable[[int], np.ndarray]) -> Views:
        """One photo as the members look at it. `photo_at(side)` is uint8 (H, W, 3), the shorter
        side at most about so long: as a member alone would read the photo.
        """
        return {size: views_of(photo_at(side_for(size)), size, self.looks) for size in self.sizes}

    def views_of_file(self, path: str) -> Views:
        """Raises `OSError` for a file that cannot be read."""
        return self.views(lambda side: read_image(path, side))

    def answers(self, photos: Views) -> tuple[np.ndarray, np.ndarray | None]:
        """Views of B photos -> probabilities (B, classes) float64, distances (B,) or None.

        Each member's logits are divided by its own temperature, and the mean is of the
        probabilities over members and looks. A distance is the mean of those that the members
        which know their training photos give to the first look: their limits are of whole photos.
        """
        total, distances = np.float64(0), []
        for member, columns in zip(self.members, self.columns):
            views = photos[member.image_size]
            temperature = member.metadata.get("temperature", 1.0)
            for look in range(self.looks):
                logits, far = member.asked.answers(np.ascontiguousarray(views[:, look]))
                total = total + softmax(logits.astype(np.float64) / temperature)[:, columns]
                if look == 0 and far is not None:
                    distances.append(far)
        count = len(self.members) * self.looks
        return np.asarray(total / count), (np.mean(distances, axis=0) if distances else None)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(B, classes) float64 -> probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def batched(views: Sequence[Views]) -> Views:
    """The views of B photos, each image size in one array (B, looks, S, S, 3)."""
    return {size: np.stack([one[size] for one in views]) for size in views[0]}


def columns_of(first: Member, other: Member) -> list[int]:
    """The numbers that `other` has for the classes of `first`, in the order of the latter.

    Classes are the same by their labels; their numbers may differ. Raises `InputError`.
    """
    known = {composed(label): number for label, number in other.metadata["label2id"].items()}
    wanted = [composed(label) for label in classes_of(first.metadata["label2id"])]
    alone = [sorted({*wanted} - {*known}), sorted({*known} - {*wanted})]
    if any(alone):
        told = [
            f"{member.source} alone knows {', '.join(map(repr, labels[:5]))}"
            for member, labels in zip((first, other), alone)
            if labels
        ]
        raise InputError(
            f"{first.source} and {other.source} cannot answer together, since their classes "
            f"differ: {'; '.join(told)}"
        )
    return [known[label] for label in wanted]


def metadata_of(together: Together) -> dict:
    """What several models say of themselves as one; of one it is what that says.

    `sure_from` is that of the strictest member: from there on each is right in 95 of 100 photos of
    its own valid split, and a mean is no surer than its members are on average, so no new photos
    are needed. Of 231 test photos three runs of `robust` on rice were sure of 78 to 88 %, right in
    94 to 98 %; together, from the strictest limit on, of 78 %, all of them right (of 76 % with 4
    looks). A member without a limit leaves the mean without one. `members` has what each one says.
    """
    members = together.members
    first = members[0].metadata
    if len(members) == 1:
        return first
    limits = [limit_of(member.metadata) for member in members]
    no_limit = any(member.metadata.get("sure_from") is None for member in members)
    names = {}
    for member in reversed(members):
        names |= names_of(member.source, member.metadata)
    return {
        "label2id": first["label2id"],
        "names": names,
        "system": system_of([member.metadata["system"] for member in members]),
        "config": first["config"] | {"image_size": max(together.sizes)},
        "epoch": [member.metadata["epoch"] for member in members],
        "temperature": 1.0,  # each member has its own
        "sure_from": None if no_limit else max(limits),
        "drawn_sample": any(member.metadata.get("drawn_sample") for member in members),
        "members": [{"source": member.source, **said(member)} for member in members],
    }


def known_names(source: str, metadata: dict) -> dict[str, dict[str, str]]:
    """Class -> its name by language; of several models as `metadata_of` found it."""
    return metadata["names"] if "members" in metadata else names_of(source, metadata)


def system_of(systems: Sequence[dict]) -> dict:
    """One row for several: `EfficientNet_Lite0_CA x 3`, or the names with a plus between them."""
    names = [system["name"] for system in systems]
    counted = [f"{name} x {names.count(name)}" for name in dict.fromkeys(names)]
    named = " + ".join(one.removesuffix(" x 1") for one in counted)
    shared = {key: value for key, value in systems[0].items() if all_have(systems, key, value)}
    return shared | {"name": named}


def all_have(rows: Sequence[dict], key: str, value) -> bool:
    return all(row.get(key) == value for row in rows)


def said(member: Member) -> dict:
    """What a score of several says of each one."""
    names = ("epoch", "temperature", "sure_from")
    kept = {name: member.metadata.get(name) for name in names}
    seed = member.metadata["config"].get("seed")
    system = member.metadata["system"]["name"]
    return {"system": system, "image_size": member.image_size, "seed": seed, **kept}
