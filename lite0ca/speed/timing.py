"""How anything is timed: turns, warm-up, medians; and the `fps` of a finished run."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from lite0ca.machine.console import bar
from lite0ca.machine.cuda_graphs import Ask, Replayed
from lite0ca.machine.device import Precision, describe, to_device
from lite0ca.machine.memory import peak_memory_mb
from lite0ca.model.network import LeafClassifier

WARM_UP, LEAST = 2, 3  # passes that are not timed, and the fewest that are, a round

FPS_BATCH = 16  # as in the guide's project, so that figures can be compared
FPS_SECONDS = 0.5  # each training waits for it; of large photos on a CPU ten batches take longer
FPS_WARM_UP = 5  # batches that are not timed: the first ones meet cold caches and fresh memory


@dataclass(frozen=True)
class Setup:
    """One way to run a network: where, with how many threads (CPU), in which precision; on cuda
    launched kernel by kernel, as in a training, or as one CUDA graph, as photos are answered.
    """

    precision: Precision
    threads: int
    graph: bool = False

    @property
    def name(self) -> str:
        if self.precision.device.type == "cpu":
            plural = "s" if self.threads > 1 else ""
            where = f"cpu, {self.threads} thread{plural}"
        else:
            where = self.precision.device.type + (" graph" if self.graph else "")
        return where + (", mixed precision" if self.precision.amp else "")

    def asked(self, model: LeafClassifier) -> Ask:
        """What is timed of a model: normalised images (B, 3, S, S) -> its answers."""

        def answers(images: torch.Tensor) -> tuple:
            with self.precision.autocast():
                return (model(images),)

        return Replayed(answers, self.precision.device) if self.graph else answers


@contextmanager
def using(setup: Setup, models: dict[str, LeafClassifier]):
    """The models on the setup's device, torch with its threads."""
    before, exact = torch.get_num_threads(), torch.backends.cudnn.deterministic
    torch.set_num_threads(setup.threads)
    torch.backends.cudnn.deterministic = False  # a training in this process has asked for it
    try:
        for model in models.values():
            model.to(setup.precision.device, memory_format=torch.channels_last)
        yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.deterministic = exact


def measured(models, setup: Setup, image_size: int, batch_size: int, rounds: int, seconds: float):
    """{system: (seconds of each single image, seconds of each batch)}"""
    photos = {
        size: torch.rand(size, 3, image_size, image_size, device=setup.precision.device).to(
            memory_format=torch.channels_last
        )
        for size in (1, batch_size)
    }
    times = {name: ([], []) for name in models}
    asked = {name: setup.asked(model) for name, model in models.items()}
    for _ in bar(range(rounds), setup.name):
        for name, ask in asked.items():
            for seen, size in zip(times[name], (1, batch_size)):
                seen += timed(ask, photos[size], setup.precision.device, seconds)
    return times


@torch.inference_mode()
def timed(ask: Ask, photos: torch.Tensor, device: torch.device, seconds: float) -> list[float]:
    """Seconds of each forward pass, for about so many seconds, after warm-up."""
    passes, began = [], time.perf_counter()
    while len(passes) < WARM_UP + LEAST or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        ask(photos)
        if device.type == "cuda":
            torch.cuda.synchronize()
        elif device.type == "mps":
            torch.mps.synchronize()
        passes.append(time.perf_counter() - started)
    return passes[WARM_UP:]


def summary(single: list[float], batches: list[float], batch_size: int) -> dict:
    return {
        "latency_ms": 1e3 * float(np.median(single)),
        "latency_p95_ms": 1e3 * float(np.percentile(single, 95)),
        "latency_n": len(single),
        "batch_size": batch_size,
        "images_per_s": batch_size / float(np.median(batches)),
        "images_per_s_p5": batch_size / float(np.percentile(batches, 95)),
        "batches_n": len(batches),
    }


def memory_of(model, setup: Setup, image_size: int, batch_size: int) -> float | None:
    """The most memory that one batch needs beside the weights, in MB; None where unknown."""
    photos = torch.rand(batch_size, 3, image_size, image_size, device=setup.precision.device)
    ask = replace(setup, graph=False).asked(model)  # all recordings share theirs

    def once():
        with torch.inference_mode():
            ask(photos.to(memory_format=torch.channels_last))

    return peak_memory_mb(once, setup.precision.device)


@torch.inference_mode()
def images_per_s(model: LeafClassifier, image_size: int, precision: Precision) -> dict:
    """Forward passes on random images for `FPS_SECONDS`: `fps` with its conditions.

    The median over batches, after warm-up; the device is waited for inside the timer.
    """
    model.eval()
    photos = torch.randint(256, (FPS_BATCH, image_size, image_size, 3), dtype=torch.uint8)
    photos = model.normalize(to_device(photos, precision.device))
    seconds, end = [], time.monotonic() + FPS_SECONDS
    while len(seconds) < FPS_WARM_UP + 5 or (time.monotonic() < end and len(seconds) < 200):
        started = time.perf_counter()
        with precision.autocast():
            model(photos).float().cpu()  # the copy waits for the device
        seconds.append(time.perf_counter() - started)
    return {
        "fps": FPS_BATCH / float(np.median(seconds[FPS_WARM_UP:])),
        "fps_batch_size": FPS_BATCH,
        "fps_image_size": image_size,
        "fps_device": describe(precision.device),
        "fps_amp": precision.amp,
    }
