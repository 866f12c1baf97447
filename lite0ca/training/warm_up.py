"""A device made ready for a network's steps, while loader processes make the first batches.

A GPU loads its kernels when they are first called, and cuDNN chooses among its own for each shape:
12 s of a first epoch that takes 0.6 s later (H100). A CPU has nothing to load; there the first step
takes longer for new memory, and a step more than that costs as much.
"""

from __future__ import annotations

import copy

import torch

from lite0ca.errors import out_of_memory
from lite0ca.images.loaders import SCORED_AT_ONCE
from lite0ca.machine import distributed
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, to_device
from lite0ca.settings.config import Config
from lite0ca.training.epoch import train_step
from lite0ca.training.state import State


def warm_up(state: State, config: Config, precision: Precision, images: int, size: int) -> None:
    """A step and an answer of a copy of the network, for `images` black photos of `size` pixels.

    The training has the same bits with it and without: its weights, statistics, moments and random
    numbers stay as they are. Not for ranks, which share gradients, nor for a compiled network.
    """
    if precision.device.type != "cuda" or distributed.count() > 1 or config.compile:
        return
    rehearse(state, config, precision, images, size)


def rehearse(state: State, config: Config, precision: Precision, images: int, size: int) -> None:
    """As `warm_up`, on any device."""
    photos = torch.zeros(images, size, size, 3, dtype=torch.uint8)
    numbers = torch.zeros(images, dtype=torch.int64)
    sizes = min(config.batch_size, SCORED_AT_ONCE), config.image_size, config.image_size, 3
    scored = torch.zeros(sizes, dtype=torch.uint8)
    spare = State.of_model(copy.deepcopy(state.model), config, precision)
    spare.images_at_once = state.images_at_once
    own = [precision.device] if precision.device.type == "cuda" else []

    def step() -> None:
        train_step(spare, photos, numbers, config, precision, None)
        if spare.ema:
            spare.ema.update(spare.model, step=1)

    def answer() -> None:
        with torch.inference_mode(), precision.autocast():
            model = spare.scored.eval()
            model(model.normalize(to_device(scored, precision.device))).float().cpu()

    with torch.random.fork_rng(own):
        for work in bar((step, answer), f"warming up {precision.device.type}"):
            try:
                work()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                torch.cuda.empty_cache()  # the training takes fewer images at once, and says so
