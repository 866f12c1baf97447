"""How long a fast device waits for data: `python benchmarks/waiting.py --data-dir my_photos`.

The device is a stand-in that sleeps: as long as a step takes that trains `--device-rate` images a
second, and a third of it for a batch that is scored. The loaders are those of a training. Two ways
take turns: batches asked for anew in every epoch, and one stream of them through all epochs
(`images/loaders.Stream`), with the valid split's first batches made ahead as well.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from lite0ca.data import dataset, split
from lite0ca.errors import InputError
from lite0ca.images import cache
from lite0ca.images.loaders import loader_workers, score_loader, train_loader
from lite0ca.machine.processor import cpu_name
from lite0ca.settings.config import Config
from lite0ca.settings.flags import add_flags, from_flags

WAYS = ("anew in every epoch", "one stream")


class Pass:
    """The epochs of one way: seconds waited for batches, and altogether."""

    def __init__(self, data, config: Config, reader, rate: float, streams: bool):
        self.stream = train_loader(data.part("train"), data.label2id, config, reader)
        self.valid = score_loader(data.part("valid"), data.label2id, config, reader)
        self.rate, self.streams = rate, streams

    def epoch(self, number: int) -> tuple[float, float]:
        """(seconds waited, seconds in all) of one epoch and its scoring."""
        began = time.perf_counter()
        if self.streams:
            self.valid.begin()
        else:
            self.stream.next = None
        waited = sum(self.waits(self.stream.of_epoch(number), self.rate))
        waited += sum(self.waits(iter(self.valid), 3 * self.rate))
        return waited, time.perf_counter() - began

    def waits(self, batches, rate: float):
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            yield time.perf_counter() - began
            if batch is None:
                return
            time.sleep(len(batch[1]) / rate)


def shares(config: Config, rate: float, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(share of an epoch that the device waits, images/s) of each epoch after the first, by way."""
    data = dataset.load(config)
    reader = cache.open_reader(config, list(data.rows["absolute_path"]))
    data = split.for_training(data, config, None, reader)
    images = len(data.part("train"))
    found = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            one = Pass(data, config, reader, rate, streams=way == WAYS[1])
            for number in range(config.epochs):
                waited, seconds = one.epoch(number)
                if number:  # the first one starts the loader processes and fills the cache
                    found[way].append((waited / seconds, images / seconds))
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--device-rate", type=float, default=250, help="images/s (default: 250)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each way (default: 2)")
    names = "preset metadata data_dir train_limit valid_limit image_size epochs batch_size"
    add_flags(parser, only=(*names.split(), "augmentation", "num_workers"))
    typed = vars(parser.parse_args(argv))
    rate, rounds = typed.pop("device_rate"), typed.pop("rounds")
    try:
        if rate <= 0 or rounds < 1:
            raise InputError("--device-rate and --rounds must be above 0")
        config = from_flags({"epochs": 4, "batch_size": 128, **typed})
        found = shares(config, rate, rounds)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{cpu_name()}, {loader_workers(config.num_workers)} loader processes, "
        f"{config.augmentation}, {config.image_size} pixels, batch {config.batch_size}, a device "
        f"of {rate:g} images/s; medians of {len(found[WAYS[0]])} epochs, the first left out"
    )
    for way, epochs in found.items():
        share, images_per_s = np.median(epochs, axis=0)
        print(
            f"{way:20} waits {share:5.1%} of the time, {images_per_s:6,.0f} images/s with scoring"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
