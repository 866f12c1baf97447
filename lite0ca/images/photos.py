"""A photo of a table's row -> the picture that a network sees: whole, or augmented.

Each picture's augmentation is drawn from its own seed, so the number of loader processes changes
nothing.
"""

from __future__ import annotations

import random
from functools import partial

import numpy as np
from torch.utils.data import Dataset

from lite0ca.errors import InputError
from lite0ca.images.background import Masked, leaf_mask, on_another_background
from lite0ca.images.leaf_masks import LeafMasks
from lite0ca.images.photo_store import PhotoReader
from lite0ca.images.resizing import squeezed
from lite0ca.images.threads import in_threads
from lite0ca.machine import console

# Of the pictures of an epoch. With all of them strong a network learns its own photos less, and
# others no better.
STRONG_SHARE = 0.5
# Photos that are looked through for scenes, and how often one of those lies behind a leaf.
LOOKED_THROUGH, SCENE_SHARE = 2000, 0.8


class Photos(Dataset):
    """Item -> (uint8 photo (S, S, 3), class number).

    An item is an index: the whole photo; or (index, seed, size in pixels): augmented. `change` is
    done to each photo first: (uint8 photo (H, W, 3), seed) -> photo. `augment` is one of
    `config.AUGMENTATIONS`.
    """

    def __init__(
        self, files, numbers, image_size: int, reader: PhotoReader, change=None, augment="standard"
    ):
        # Arrays, not lists: a list's objects would be copied into every loader process.
        self.files = np.array([str(file) for file in files], dtype=np.str_)
        self.numbers = np.array(numbers, dtype=np.int64)
        self.slots, self.reader = reader.slots_of(files), reader
        self.change, self.augment = change, augment
        self.image_size, self.augmented = image_size, {}
        self.scenes = np.array([], dtype=np.int64)
        self.masks = LeafMasks(len(self) if augment == "strong" else 0, reader.side)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item):
        index, *augmented = item if isinstance(item, tuple) else (item,)
        photo = self.photo(index)
        if self.change:
            photo = self.change(photo, seed=index)
        if augmented:
            seed, size = augmented
            kind, strong = "standard", self.augment == "strong"
            if strong:
                rng = np.random.default_rng([seed, 1])  # a stream of its own
                if rng.random() < STRONG_SHARE:
                    kind = "strong"
                    leaf = self.masks.of(index, photo)
                    other = partial(self.masked, self.behind(rng))
                    photo = on_another_background(photo, leaf, other, rng)
            if (size, kind) not in self.augmented:
                from lite0ca.images.augmentation import augmentation  # none to score

                self.augmented[size, kind] = augmentation(size, kind, afar=strong)
            transform = self.augmented[size, kind]
            # One stream for the whole pipeline. set_random_seed would seed each transform alike,
            # and then all that happen with one probability happen together.
            transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
            return transform(image=photo)["image"], self.numbers[index]
        return squeezed(photo, self.image_size), self.numbers[index]

    def photo(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3), not yet augmented. Raises `InputError` for a file gone bad meanwhile."""
        try:
            return self.reader.read(str(self.files[index]), self.slots[index])
        except OSError as error:
            text = f"{error}; mend it, or leave it out with --skip-bad-images"
            problem = InputError(text)
            problem.own = True
            raise problem from None

    def masked(self, index: int) -> Masked:
        """A photo and its leaf mask."""
        photo = self.photo(index)
        return photo, self.masks.of(index, photo)

    def behind(self, rng: np.random.Generator) -> int:
        """The photo that another one's leaf is put before.

        Mostly one of the `scenes`: where all of them are of one class, as fields may be of healthy
        plants, that a photo shows one would tell the class.
        """
        if len(self.scenes) and rng.random() < SCENE_SHARE:
            return int(rng.choice(self.scenes))
        return int(rng.integers(len(self)))

    def find_scenes(self, seed: int) -> None:
        """Set `scenes` to photos without a plain background, found among so many drawn ones."""
        drawn = np.random.default_rng(seed).permutation(len(self))[:LOOKED_THROUGH]
        bar = lambda steps, total: console.bar(steps, "looking for scenes", total)  # noqa: E731
        plain = in_threads(lambda index: self.masked(index)[1] is not None, drawn.tolist(), bar)
        # What OpenCV keeps for a thread is made here for this one, so that loader processes, which
        # are forked from it, find it made and need none of OpenCV's locks for it.
        leaf_mask(self.photo(int(drawn[0])))
        found = drawn[~np.array(plain, dtype=bool)]
        self.scenes = np.sort(found)
        print(f"scenes to put leaves before: {len(found):,} of {len(drawn):,} photos", flush=True)
