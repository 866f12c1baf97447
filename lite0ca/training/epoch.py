"""One step and one epoch of training: forward, loss, backward, in parts that fit the memory."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
import torch.nn.functional as F

from lite0ca.errors import out_of_memory
from lite0ca.machine import distributed
from lite0ca.machine.console import bar
from lite0ca.machine.device import to_device
from lite0ca.settings.config import Config
from lite0ca.training.state import COUNTED, NonFinite
from lite0ca.training.stopping import Watch

CHECK_EVERY = 50  # steps between looks at the running loss; each look waits for the GPU


def one_epoch(state, stream, config: Config, precision, weight, watch: Watch) -> dict:
    """Train on every image once, from `state.step` on; returns losses, rates and speed.

    Raises `NonFinite`, or `Paused` between two steps, with the state saved.
    """
    sums, steps = state.sums, len(stream)
    rest = range(state.step, steps)
    state.model.train()
    batches = stream.of_epoch(state.epoch, state.step)
    for step in bar(rest, f"epoch {state.epoch + 1}/{config.epochs}"):
        watch.look(step)
        began = time.monotonic()
        with watch.timed("step"):
            photos, numbers = next(batches)
            sums["waited_s"] += time.monotonic() - began
            factor = state.rate_scale * rate_factor(state.epoch * steps + step, steps, config)
            for group in state.optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor
            # Everything random follows from (seed, epoch, step): a resumed run needs no more.
            torch.manual_seed(seed_of(config.seed, state.epoch, step))
            loss, right = fitting_step(state, photos, numbers, config, precision, weight)
            if state.ema:
                state.ema.update(state.model, step=state.epoch * steps + step + 1)
        sums["loss"] += loss
        sums["right"] += right
        sums["images"] += len(numbers)
        sums["train_s"] += time.monotonic() - began
        state.step = step + 1
        if state.step % CHECK_EVERY == 0:
            refuse_non_finite(state, precision.device)
    began = time.monotonic()
    refuse_non_finite(state, precision.device)  # waits for a GPU that is still at work
    sums["train_s"] += time.monotonic() - began
    state.average_statistics()
    state.check_finite()
    watch.look(0, "scoring")
    totals = torch.tensor([float(sums[name]) for name in COUNTED])
    loss, right, images = distributed.added(totals.to(precision.device)).tolist()
    factor = state.rate_scale * rate_factor(state.epoch * steps + steps - 1, steps, config)
    return {
        "train_loss": loss / images,
        "train_acc": right / images,
        "base_lr": config.base_lr * factor,
        "head_lr": config.head_lr * factor,
        "image_size": stream.size_of(state.epoch),
        "images_per_s": images / sums["train_s"],
        "data_wait_share": sums["waited_s"] / sums["train_s"],
    }


def seed_of(seed: int, epoch: int, step: int) -> int:
    """A seed of its own for each step and rank."""
    entropy = np.random.SeedSequence([seed, epoch, step, distributed.number()])
    return int(entropy.generate_state(1, np.uint64)[0] >> 1)


def refuse_non_finite(state, device: torch.device) -> None:
    """Raise `NonFinite` on every rank if the loss of any is."""
    if distributed.largest(not math.isfinite(float(state.sums["loss"])), device):
        raise NonFinite(f"the train loss is not finite in epoch {state.epoch + 1}")


def fitting_step(state, photos, numbers, config: Config, precision, weight):
    """`train_step`, with half as many images at once each time the memory does not suffice."""
    while True:
        try:
            return train_step(state, photos, numbers, config, precision, weight)
        except (RuntimeError, MemoryError) as error:
            # Ranks must stay in step with one another: there the error stands.
            at_once = min(state.images_at_once, config.batch_size)
            if not out_of_memory(error) or at_once < 2 or distributed.count() > 1:
                raise
            state.images_at_once = -(-at_once // 2)
        state.optimizer.zero_grad(set_to_none=True)
        if precision.device.type == "cuda":
            torch.cuda.empty_cache()
        print(
            f"out of memory with {at_once} images at once: from now on {state.images_at_once}, "
            "with gradients added up to the same batch",
            flush=True,
        )


def train_step(state, photos, numbers, config: Config, precision, weight):
    """One step of the optimiser on a batch (uint8 (B, H, W, 3), (B,)), in parts if need be.

    Returns (sum of the images' losses, number of right answers), on the device. Gradients are
    those of the mean over the whole batch, of all ranks; BatchNorm sees one part at a time.
    """
    numbers = numbers.to(precision.device, non_blocking=True)
    weights = weight[numbers] if weight is not None else torch.ones_like(numbers, dtype=torch.float)
    # Of all ranks: images of the batch, and the sum of their classes' weights.
    images, total = distributed.added(
        torch.stack([weights.new_full((), len(numbers)), weights.sum()])
    )
    # The same number on every rank, or SyncBatchNorm would wait for a part that never comes.
    largest_share = math.ceil(config.batch_size / distributed.count())
    parts = min(math.ceil(largest_share / state.images_at_once), len(numbers))
    loss_sum, right = torch.zeros(2, device=precision.device)
    state.optimizer.zero_grad(set_to_none=True)
    halves = zip(photos.tensor_split(parts), numbers.tensor_split(parts))
    for part, (some, truth) in enumerate(halves, 1):
        some = to_device(some, precision.device)  # B 3 H W
        with state.gradients_averaged(part == parts):
            with precision.autocast():
                logits = state.network(state.model.normalize(some))  # B classes
            loss = F.cross_entropy(
                logits.float(),
                truth,
                weight,
                label_smoothing=config.label_smoothing,
                reduction="sum",
            )
            # Gradients of ranks are averaged, so each rank's loss counts as often as there are.
            state.scaler.scale(loss * distributed.count() / total).backward()
        loss_sum += loss.detach() * images / total
        right += (logits.detach().argmax(1) == truth).sum()
    if config.grad_clip:
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.grad_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return loss_sum, right


def rate_factor(step: int, steps_an_epoch: int, config: Config) -> float:
    """Share of the full learning rate at a step: linear warm-up, then half a cosine to zero."""
    steps = config.epochs * steps_an_epoch
    warmup = min(config.warmup_epochs * steps_an_epoch, steps / 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
