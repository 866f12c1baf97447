"""Photos -> logits, batch by batch: a folder of any size streams in constant memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from lite0ca.errors import InputError, printable
from lite0ca.images.augmentation import resizing
from lite0ca.images.delivery import Loader
from lite0ca.images.folder_walk import on_disk, walk
from lite0ca.images.loaders import loader_workers, worker_options
from lite0ca.images.reading import HIDDEN, holds_image, read_image, side_for, why_no_photo
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, to_device
from lite0ca.model.network import LeafClassifier


class PhotoFiles(Dataset):
    """(uint8 photo (H, W, 3) or None, (path, what is wrong with the file)) for each file."""

    def __init__(self, paths: list[str], image_size: int):
        self.paths = np.array(paths, dtype=np.str_)
        self.side, self.transform = side_for(image_size), resizing(image_size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        path = str(self.paths[index])
        try:
            photo = self.transform(image=read_image(path, self.side))["image"]
            return photo, (path, None)
        except OSError as error:
            return None, (path, str(error))


def photo_paths(named: list[str]) -> list[str]:
    """The files, and all images in and below the folders, in a fixed order.

    What a folder holds beside them is said on stderr. Raises `InputError`.
    """
    paths = []
    for name in named:
        name = on_disk("", name)
        if os.path.isdir(name):
            below = walk(name)
            below.without_links()
            beside = f" ({below.passed_over})" if below.passed_over else ""
            if not below.photos:
                raise InputError(f"{name}: no image in this folder{beside}")
            if beside:
                print(f"left out below {printable(name)}: {below.passed_over}", file=sys.stderr)
            if below.bare:
                print(f"{printable(name)}: {below.bare_folders}", file=sys.stderr)
            paths += [os.path.join(name, photo) for photo in below.photos]
        elif not os.path.exists(name):
            raise InputError(f"{name}: there is no such file or folder")
        elif (why := why_no_photo(name)) and not (why[0] == HIDDEN and holds_image(name)):
            raise InputError(f"{name}: is not an image that can be read ({why[0]}: {why[1]})")
        else:
            paths.append(name)
    return paths


def workers_for(paths: list[str], num_workers: int) -> int:
    """Loader processes: starting them takes longer than reading a few photos."""
    return loader_workers(num_workers) if len(paths) > 200 else 0


def photo_loader(
    paths: list[str], image_size: int, workers: int, at_once: int, **batches
) -> Loader:
    """(photos (B, S, S, 3) that could be read or None, (path, problem) of all) in a batch.

    `batches` is `batch_size` or `batch_sampler`, and no batch larger than `at_once`.
    """
    files, at_once = PhotoFiles(paths, image_size), min(at_once, len(paths))
    return Loader(files, at_once, image_size, **worker_options(workers), **batches)


@torch.inference_mode()
def logits_of_photos(
    model, paths: list[str], image_size: int, precision: Precision, batch_size=32, workers=0
) -> Iterator[tuple[str, torch.Tensor | None, str | None]]:
    """(path, logits (classes,), None), or (path, None, what is wrong with the file)."""
    model.to(precision.device, memory_format=torch.channels_last).eval()
    loader = photo_loader(paths, image_size, workers, batch_size, batch_size=batch_size)
    for photos, files in loader:
        if photos is not None:
            with precision.autocast():
                photos = model.normalize(to_device(photos, precision.device))
                logits = iter(model(photos).float().cpu())  # B classes
        for path, problem in files:
            yield path, None if problem else next(logits), problem


@torch.inference_mode()
def logits_of(model: LeafClassifier, loader, precision: Precision) -> tuple[torch.Tensor, ...]:
    """(logits (N, classes) float32, class numbers (N,)) of all batches of a loader, on the CPU."""
    model.eval()
    logits, numbers = [], []
    for photos, number in bar(loader, "scoring"):
        photos = to_device(photos, precision.device)
        with precision.autocast():
            logits.append(model(model.normalize(photos)).float())
        numbers.append(number)
    return torch.cat(logits).cpu(), torch.cat(numbers)
