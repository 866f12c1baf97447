"""`fit(config) -> Result`: the only training loop."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from lite0ca import data as datasets
from lite0ca import machine, runs, split
from lite0ca.config import Config
from lite0ca.errors import InputError, TrainingDiverged
from lite0ca.evaluate import Precision, images_per_s, logits_of, macro_f1, to_device
from lite0ca.files import whole, write_json
from lite0ca.loaders import score_loader, train_loader
from lite0ca.model import parameter_count
from lite0ca.results import epoch_line, write_results
from lite0ca.state import NonFinite, State

RETRIES = 3
CHECK_EVERY = 50  # steps between looks at the running loss; each look waits for the GPU


@dataclass(frozen=True)
class Result:
    """What a run came to: its folder, the metrics of its best epoch, the curves."""

    run: Path
    metrics: dict
    history: dict[str, list]


def fit(config: Config) -> Result:
    """Train as the settings say; leaves a run folder and returns its best metrics.

    With `config.resume` it goes on where that run stopped, and on a CPU ends as if it had never
    stopped. Raises `InputError` for wrong input, `TrainingDiverged` after three restarts.
    """
    began = time.monotonic()
    machine.keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    device = machine.device_of(config.device)
    precision = Precision.of(device, config.amp)
    runs.check_writable(config.resume or config.output_dir)
    last, made = stored(config.resume) if config.resume else (None, None)
    data = datasets.load(config, last["label2id"] if last else None)
    torch.manual_seed(config.seed)
    state = State.new(config, len(data.label2id), precision)
    if not last:
        state.start_from_weights(config)
    data = split.for_training(data, config, made)
    if last and last["fingerprint"] != data.fingerprint:
        raise InputError(f"--resume {config.resume}: the data is not what the run began with")
    config = config.reading(data.source)
    facts = {
        "config": replace(config, resume=None).as_dict(),
        "system": asdict(config.system),
        "label2id": data.label2id,
        "fingerprint": data.fingerprint,
        "drawn_sample": data.is_sample,
    }
    # A run folder appears only now, when nothing of the input can be wrong any more.
    run = Path(config.resume) if last else new_run(config, data, device)
    save_last = lambda: runs.save_checkpoint(run / runs.LAST, state.as_dict() | facts)  # noqa: E731
    save_best = lambda: runs.save_checkpoint(  # noqa: E731
        run / runs.BEST, {"model": state.scored.state_dict(), "epoch": state.epoch, **facts}
    )
    if last:
        state.restore(last)
        runs.remove_scraps(run)
        if state.best_epoch == state.epoch > 0:
            save_best()  # the run may have been killed between the two checkpoints
    else:
        save_last()
    print(
        f"{config.system.name}: {parameter_count(state.model):,} parameters, on "
        f"{machine.describe(device)}{', mixed precision' if precision.amp else ''}\nrun: {run}",
        flush=True,
    )
    speed = images_per_s(state.model, config.image_size, precision)
    batches = train_loader(data.part("train"), data.label2id, config)
    valid = score_loader(data.part("valid"), data.label2id, config)
    weight = class_weights(data).to(device) if config.class_weights else None
    longest_s = 0.0
    while not (reason := stop_reason(state, config, time.monotonic() - began + longest_s)):
        epoch_began = time.monotonic()
        try:
            row = one_epoch(state, batches, config, precision, weight)
            row |= scored(state, valid, precision)
        except NonFinite as problem:
            go_back(state, run, problem)
            save_last()
            continue
        row["seconds"] = time.monotonic() - epoch_began
        longest_s = max(longest_s, row["seconds"])
        better = state.remember(row)
        save_last()
        if better:
            save_best()
        print(epoch_line(state, config.epochs, better), flush=True)
        write_results(run, state, config, data, speed)
    print(f"stopped: {reason}")
    # Again, for a run that was killed after its last epoch and before its results.
    metrics = write_results(run, state, config, data, speed, reason)
    return Result(run, metrics, state.history)


def stored(run: str | Path) -> tuple[dict, pd.DataFrame]:
    """(last checkpoint, table of the data) of the run to go on with."""
    last = runs.load_checkpoint(
        Path(run) / runs.LAST, needs=(*State.KEYS, "label2id", "fingerprint")
    )
    return last, pd.read_csv(Path(run) / "data.csv", dtype=str, keep_default_na=False)


def new_run(config: Config, data: datasets.DataSet, device: torch.device) -> Path:
    """The run folder with its settings, environment, and which image went to which split."""
    run = runs.new_folder(config.output_dir, config.system.name)
    write_json(run / "config.json", config.as_dict())
    record = machine.environment(device)
    record |= {"data_root": str(data.root.resolve()), "data_fingerprint": data.fingerprint}
    write_json(run / "environment.json", record)
    columns = [name for name in ("path", "label", "split", "group") if name in data.rows]
    table = data.rows[columns].assign(bytes=data.rows["absolute_path"].map(datasets.bytes_of))
    with whole(run / "data.csv") as file:
        table.to_csv(file, index=False)
    return run


def stop_reason(state: State, config: Config, seconds_after_next: float) -> str | None:
    """Why no further epoch is begun, or None."""
    if state.epoch >= config.epochs:
        return "all epochs done"
    if config.patience and state.epoch - state.best_epoch >= config.patience:
        return f"no better macro-F1 for {config.patience} epochs"
    if config.time_budget and seconds_after_next > 60 * config.time_budget:
        return f"the time budget of {config.time_budget:g} minutes; --resume goes on"
    return None


def one_epoch(state, batches, config, precision, weight) -> dict:
    """Train on every image once; returns losses, rates and speed. Raises `NonFinite`."""
    # Everything random in an epoch follows from (seed, epoch): a resumed run needs no more.
    torch.manual_seed(config.seed * 1_000_003 + state.epoch)
    batches.batch_sampler.epoch = state.epoch
    loss_sum, right = torch.zeros(2, device=precision.device)
    images, waited_s, began, steps = 0, 0.0, time.monotonic(), len(batches)
    state.model.train()
    iterator = iter(batches)
    for step in machine.bar(range(steps), f"epoch {state.epoch + 1}/{config.epochs}"):
        asked = time.monotonic()
        photos, numbers = next(iterator)
        waited_s += time.monotonic() - asked
        photos = to_device(photos, precision.device)
        numbers = numbers.to(precision.device, non_blocking=True)
        done = state.epoch * steps + step
        factor = state.rate_scale * rate_factor(done, steps, config)
        for group in state.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        loss, logits = train_step(state, photos, numbers, config, precision, weight)
        if state.ema:
            state.ema.update(state.model, step=done + 1)
        loss_sum += loss * len(numbers)
        right += (logits.argmax(1) == numbers).sum()
        images += len(numbers)
        if step % CHECK_EVERY == CHECK_EVERY - 1 and not math.isfinite(loss_sum.item()):
            break
    if not math.isfinite(loss_sum.item()):
        raise NonFinite(f"the train loss is not finite in epoch {state.epoch + 1}")
    train_s = time.monotonic() - began
    state.check_finite()
    return {
        "train_loss": loss_sum.item() / images,
        "train_acc": right.item() / images,
        "base_lr": config.base_lr * factor,
        "head_lr": config.head_lr * factor,
        "images_per_s": images / train_s,
        "data_wait_share": waited_s / train_s,
    }


def train_step(state, photos, numbers, config, precision, weight):
    """One step of the optimiser; returns (loss, logits (B, classes)), detached, on the device."""
    with precision.autocast():
        logits = state.model(state.model.normalize(photos))
    loss = F.cross_entropy(
        logits.float(), numbers, weight=weight, label_smoothing=config.label_smoothing
    )
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    if config.grad_clip:
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.grad_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return loss.detach(), logits.detach()


def rate_factor(step: int, steps_an_epoch: int, config: Config) -> float:
    """Share of the full learning rate at a step: linear warm-up, then half a cosine to zero."""
    steps = config.epochs * steps_an_epoch
    warmup = min(config.warmup_epochs * steps_an_epoch, steps / 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def class_weights(data: datasets.DataSet) -> torch.Tensor:
    """n / (classes * n of the class), (classes,); 0 for a class without training images."""
    numbers = data.part("train")["label"].map(data.label2id).to_numpy()
    weight, present = np.zeros(len(data.label2id), np.float32), np.unique(numbers)
    weight[present] = compute_class_weight("balanced", classes=present, y=numbers)
    return torch.from_numpy(weight)


def scored(state: State, valid, precision: Precision) -> dict:
    """Loss, accuracy and macro-F1 on the valid split. Raises `NonFinite`."""
    logits, numbers = logits_of(state.scored, valid, precision)
    loss = F.cross_entropy(logits, numbers).item()
    if not math.isfinite(loss):
        raise NonFinite(f"the valid loss is not finite in epoch {state.epoch + 1}")
    truth, predicted = numbers.numpy(), logits.argmax(1).numpy()
    return {
        "valid_loss": loss,
        "valid_acc": float((truth == predicted).mean()),
        "valid_f1": macro_f1(truth, predicted),
    }


def go_back(state: State, run: Path, problem: NonFinite) -> None:
    """Restore the last good epoch with half the learning rate; the fourth time, give up."""
    retries = state.retries + 1
    if retries > RETRIES:
        raise TrainingDiverged(
            f"{problem}, after going back {RETRIES} times; the run holds its last good epoch. "
            f"Lower --base-lr and --head-lr, or try --no-amp. Run: {run}"
        )
    state.restore(runs.load_checkpoint(run / runs.LAST, needs=State.KEYS))
    state.retries, state.rate_scale = retries, 0.5**retries
    print(
        f"{problem}: back to epoch {state.epoch} with the learning rates x {state.rate_scale:g} "
        f"({retries} of {RETRIES})",
        flush=True,
    )
