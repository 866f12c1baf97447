"""Photos a second that each stage of the input pipeline delivers, beside torchvision's usual one:
`python benchmarks/input_pipeline.py --data-dir my_photos`.

The usual one is `ImageFolder`'s: Pillow decodes the whole photo, torchvision's transforms do the
same augmentation, tensors come out normalised. Both are measured photo by photo in CPU seconds of
one core, and as a loader with the same number of processes. Measurements take turns within a round.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2 as tv

from lite0ca.data import dataset
from lite0ca.data.dataset import DataSet
from lite0ca.errors import InputError
from lite0ca.images.augmentation import augmentation
from lite0ca.images.batch_order import EvenBatches
from lite0ca.images.loaders import loader_of, loader_workers, worker_options
from lite0ca.images.photo_store import PhotoReader, Store
from lite0ca.images.photos import Photos
from lite0ca.images.reading import content_of, read_image, side_for, source_of
from lite0ca.machine.console import bar
from lite0ca.machine.processor import cpu_name
from lite0ca.settings.config import AUGMENTATIONS, Config
from lite0ca.settings.flags import add_flags, from_flags

STAGE = "photo by photo, images a CPU second"
LOADER = "loader, images/s"
MOST = 240  # photos


def benchmark_loader(data: DataSet, config: Config, rounds: int) -> pd.DataFrame:
    """Rows (what, stage, images_per_s, times_torchvision); medians over the rounds.

    On at most `MOST` photos of the data, drawn with the seed. The first epoch fills an empty
    cache of its own; the later ones read it.
    """
    rows = data.rows.sample(min(MOST, len(data.rows)), random_state=config.seed)
    files = list(rows["absolute_path"])
    numbers = rows["label"].map(data.label2id).to_numpy()
    speeds = {}

    def note(what: str, stage: str, seconds: float) -> None:
        speeds.setdefault((stage, what), []).append(len(files) / seconds)

    for _ in bar(range(rounds), "loader"):
        with tempfile.TemporaryDirectory() as folder:
            reader = empty_cache(folder, files, config.image_size)
            for what, seconds in stages(files, config.image_size, reader):
                note(what, STAGE, seconds)
        with tempfile.TemporaryDirectory() as folder:
            loaders = {
                "torchvision ImageFolder": usual_loader(files, numbers, config),
                "no cache": our_loader(files, numbers, config, PhotoReader(config.image_size)),
                "cache": our_loader(
                    files, numbers, config, empty_cache(folder, files, config.image_size)
                ),
            }
            for epoch in range(3):
                for name, loader in loaders.items():
                    loader.batch_sampler.epoch = epoch
                    loader.batch_sampler.sizes = [config.image_size] * (epoch + 1)  # its last one
                    label = f"{name}, epoch {min(epoch + 1, 2)}{'' if epoch == 0 else ' and on'}"
                    note(label, LOADER, seconds_of(lambda batches=loader: consume(batches)))
    table = [(stage, what, float(np.median(found))) for (stage, what), found in speeds.items()]
    table = pd.DataFrame(table, columns=["stage", "what", "images_per_s"])
    for stage, base in ((STAGE, "torchvision: both"), (LOADER, "torchvision ImageFolder, epoch 1")):
        here = table["stage"] == stage
        usual = table.loc[here & (table["what"] == base), "images_per_s"].iloc[0]
        table.loc[here, "times_torchvision"] = table.loc[here, "images_per_s"] / usual
    return table


def empty_cache(folder: str, files: list[str], image_size: int) -> PhotoReader:
    return PhotoReader(image_size, Store(Path(folder, "photos"), files, side_for(image_size)))


def stages(files: list[str], size: int, reader: PhotoReader) -> Iterable[tuple[str, float]]:
    """(what, seconds for all files) of each stage on one core; the cache of `reader` is empty."""
    usual, ours = usual_transform(size), augmentation(size)
    slots = reader.slots_of(files)
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        clock = time.process_time
        each = lambda work, items: seconds_of(lambda: [work(item) for item in items], clock)  # noqa: E731
        yield "bytes of the file", each(content_of, files)
        whole = each(pillow_photo, files)
        yield "torchvision: decode", whole
        opened = [pillow_photo(path) for path in files]
        augmented = each(usual, opened)
        yield "torchvision: augment", augmented
        yield "torchvision: both", whole + augmented
        yield "decode whole", each(read_image, files)
        yield f"decode to {reader.side} pixels", each(lambda p: read_image(p, reader.side), files)
        yield "the same, and keep it", each(lambda item: reader.read(*item), zip(files, slots))
        yield "read the cache", each(lambda item: reader.read(*item), zip(files, slots))
        photos = [reader.read(path, slot) for path, slot in zip(files, slots)]
        yield "augment", each(lambda photo: ours(image=photo), photos)
        for kind, seconds in pictures(files, size, reader):
            yield f"{kind} picture, from the cache", seconds
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def pictures(files: list[str], size: int, reader: PhotoReader) -> Iterable[tuple[str, float]]:
    """(augmentation, CPU seconds for a picture of each file), as a loader process makes them; leaf
    masks, which are found once a training, are there.
    """
    for kind in AUGMENTATIONS:
        items = Photos(files, [0] * len(files), size, reader, augment=kind)
        items.scenes = np.flatnonzero([items.masked(i)[1] is None for i in range(len(files))])

        def every(items=items) -> None:
            for index in range(len(files)):
                items[index, index, size]

        every()  # the first ones make what all use
        yield kind, seconds_of(every, time.process_time)


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def consume(batches: Iterable) -> None:
    for _ in batches:
        pass


def usual_transform(size: int) -> tv.Compose:
    """The standard `augment.augmentation`, as torchvision's users write it."""
    jitter = tv.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)
    return tv.Compose(
        [
            tv.RandomResizedCrop(
                size, scale=(0.5, 1.0), interpolation=tv.InterpolationMode.BICUBIC
            ),
            tv.RandomHorizontalFlip(),
            tv.RandomVerticalFlip(),
            tv.RandomApply([tv.RandomRotation((90, 90))], p=0.5),
            tv.RandomApply([jitter], p=0.8),
            tv.RandomApply([compressed], p=0.5),
            tv.PILToTensor(),
            tv.RandomApply([tv.GaussianBlur(5, sigma=(0.3, 1.0))], p=0.3),
            tv.ToDtype(torch.float32, scale=True),
            tv.RandomApply([tv.GaussianNoise(sigma=0.0175)], p=0.8),
            tv.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )


def compressed(photo: Image.Image) -> Image.Image:
    # torchvision's own JPEG transform warns that it goes away.
    file = io.BytesIO()
    photo.save(file, format="jpeg", quality=random.randint(60, 95))
    return Image.open(file).convert("RGB")


def pillow_photo(path: str) -> Image.Image:
    """What torchvision's `pil_loader` does, for photos in tars as well."""
    with Image.open(source_of(path)) as photo:
        return photo.convert("RGB")


class UsualPhotos(Dataset):
    """What `ImageFolder` does with a file: Pillow, RGB, transform."""

    def __init__(self, files, numbers, size: int):
        self.files, self.numbers, self.transform = files, numbers, usual_transform(size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item):
        index = item[0]
        photo = pillow_photo(self.files[index])
        return self.transform(photo), self.numbers[index]


def usual_loader(files, numbers, config: Config) -> DataLoader:
    photos = UsualPhotos(files, numbers, config.image_size)
    batches = EvenBatches(len(photos), 32, config.seed, [config.image_size])
    workers = min(loader_workers(config.num_workers), len(batches))
    return DataLoader(photos, batch_sampler=batches, **worker_options(workers))


def our_loader(files, numbers, config: Config, reader: PhotoReader) -> DataLoader:
    photos = Photos(files, numbers, config.image_size, reader)
    batches = EvenBatches(len(photos), 32, config.seed, [config.image_size])
    return loader_of(photos, 32, config, len(batches), batch_sampler=batches)


def as_text(table: pd.DataFrame, config: Config) -> str:
    """The table as a person reads it, with its conditions above."""
    workers = loader_workers(config.num_workers)
    where = f"{cpu_name()}, {workers} loader processes, {config.image_size} pixels"
    formats = {"images_per_s": "{:,.0f}".format, "times_torchvision": "{:.1f}".format}
    blocks = [
        f"{stage}\n{rows.drop(columns='stage').to_string(index=False, formatters=formats)}"
        for stage, rows in table.groupby("stage", sort=False)
    ]
    return "\n\n".join([where, *blocks])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    add_flags(parser, only=("metadata", "data_dir", "num_workers", "image_size"))
    typed = vars(parser.parse_args(argv))
    rounds = typed.pop("rounds")
    try:
        if rounds < 1:
            raise InputError(f"--rounds must be at least 1, not {rounds}")
        config = from_flags(typed)
        data = dataset.without_bad_images(dataset.load(config), skip=False)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(as_text(benchmark_loader(data, config, rounds), config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
