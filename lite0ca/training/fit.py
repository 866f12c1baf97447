"""`fit(config) -> Result`: the only training loop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lite0ca.data import dataset, split
from lite0ca.errors import InputError, TrainingDiverged, printable
from lite0ca.evaluation.calibration import calibration
from lite0ca.evaluation.inference import logits_of
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.files.destination import check_writable, refuse_among_photos
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.formats.checkpoint import load_checkpoint
from lite0ca.formats.ending import reason_to_end
from lite0ca.formats.run_files import LAST
from lite0ca.images import cache
from lite0ca.images.loaders import score_loader, train_loader
from lite0ca.machine import distributed
from lite0ca.machine.device import Precision, describe, device_of, idle_gpus
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.signals import going_on, leave
from lite0ca.model.network import parameter_count
from lite0ca.settings.config import Config
from lite0ca.training.calibration_run import calibration_of
from lite0ca.training.epoch import one_epoch
from lite0ca.training.epoch_line import epoch_line, header
from lite0ca.training.launch import trained_on_devices
from lite0ca.training.outcome import outcome
from lite0ca.training.run_folder import Record, other_folds_table, stored
from lite0ca.training.state import NonFinite, State
from lite0ca.training.stopping import Paused, Watch, wish
from lite0ca.training.warm_up import warm_up

RETRIES = 3
OF_RESULT = ("metrics", "history", "scores")  # and `run`, of a `Result`


@dataclass(frozen=True)
class Result:
    """What a run came to: its folder, the metrics of its best epoch, the curves.

    `scores` are those of the best epoch on test, or on valid where there is no test, as
    `evaluate` writes them; empty if the run is not finished.
    """

    run: Path
    metrics: dict
    history: dict[str, list]
    scores: dict


def fit(config: Config) -> Result:
    """Train as the settings say; leaves a run folder and returns its best metrics.

    With `config.resume` it goes on where that run stopped, in the middle of an epoch as well, and
    on a CPU ends as if it had never stopped. Raises `InputError` for wrong input,
    `TrainingDiverged` after three restarts, `Stopped` when a signal came and the run is saved.
    """
    if config.devices > 1 and not distributed.started():
        device_of(config.device, config.devices)
        with own_temporary_folder():
            answer = trained_on_devices(config)
        return Result(Path(answer["run"]), *(answer[name] for name in OF_RESULT))
    distributed.use_own_gpu()
    device = device_of(config.device, distributed.on_this_machine())
    if not distributed.started() and (idle := idle_gpus(device)):
        print(idle, flush=True)
    if config.sync_bn and device.type != "cuda":
        raise InputError("--sync-bn needs cuda: torch has no such BatchNorm for other devices")
    with own_temporary_folder(), distributed.joined(device):
        return training(config, device)


def training(config: Config, device: torch.device) -> Result:
    """`fit` on one device, or as one rank of several."""
    began = time.monotonic()
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    precision = Precision.of(device, config.amp)
    check_writable(config.resume or config.output_dir)
    last, made = stored(config.resume) if config.resume else (None, None)
    known = last["label2id"] if last else None
    data = distributed.from_first(lambda: dataset.load(config, known))
    if last:
        data = replace(data, names=data.names or last.get("names", {}))
    else:
        refuse_among_photos(config.output_dir, data.source)
    torch.manual_seed(config.seed)
    state = State.new(config, len(data.label2id), precision)
    if not last:
        state.start_from_weights(config)
    reader = cache.open_reader(config, list(data.rows["absolute_path"]))
    other_fold = other_folds_table(config) if config.fold and not last else None
    data = distributed.from_first(
        lambda: split.for_training(data, config, made, reader, other_fold)
    )
    fingerprint = data.fingerprint
    if last and last["fingerprint"] != fingerprint:
        raise InputError(f"--resume {config.resume}: the data is not what the run began with")
    measured = {}
    if like := config.calibration_run:
        measured = calibration_of(like, config, data.label2id)
    config = config.reading(data.source)
    weight = class_weights(data).to(device) if config.class_weights else None
    batches = train_loader(data.part("train"), data.label2id, config, reader)
    valid = None  # of --all
    if len(rows := data.part("valid")):
        valid = score_loader(rows, data.label2id, config, reader)
    run = Path(config.resume) if last else None
    record = Record(run, state, config, data, fingerprint, precision, measured)
    if last:
        state.restore(last)
    if not stop_reason(state, config):
        # Their processes are forked now, and make batches while the rest is made ready. After an
        # epoch there would be gigabytes of kept memory to share with them, and each page of it
        # would be copied at the next write.
        batches.begin(state.epoch, state.step)
        if valid is not None:
            valid.begin()
        largest, size = batches.sampler.largest, batches.size_of(state.epoch)
        warm_up(state, config, precision, largest, size)
    if not last:  # a run folder appears only now, when nothing of the input can be wrong any more
        record.begin()
    run = record.run
    print(
        f"{config.system.name}: {parameter_count(state.model):,} parameters, on "
        f"{f'{distributed.count()} x ' if distributed.count() > 1 else ''}{describe(device)}"
        f"{', mixed precision' if precision.amp else ''}\nrun: {printable(str(run))}",
        flush=True,
    )
    state.wrap(config)
    with record.held():
        with wish(run) as noted:
            if last:
                record.mend()
            watch = Watch(noted, record.midway, began, config.time_budget, device)
            reason = trained(state, record, batches, valid, weight, watch)
        del batches, valid  # their processes end before others are started
        print(printable(f"stopped: {reason}"), flush=True)
        with going_on(saved := f"the run is saved; --resume {run} goes on"):
            # Again, for a run that was killed after its last epoch and before its results.
            metrics, scores = record.results(reason), {}
            if stop_reason(state, config):
                if noted.signal:
                    leave(noted.signal, f"; {saved}")
                metrics, scores = outcome(record, reader, reason)
    return Result(run, metrics, state.history, scores)


def trained(state: State, record: Record, batches, valid, weight, watch: Watch) -> str:
    """Epoch after epoch; returns why it stopped. Raises `Stopped`, `TrainingDiverged`."""
    config, run, precision = record.config, record.run, record.precision
    if not stop_reason(state, config):
        print(header(config), flush=True)
    while not (reason := stop_reason(state, config)):
        if valid is not None:
            valid.begin()
        try:
            row = one_epoch(state, batches, config, precision, weight, watch)
            scoring_began = time.monotonic()
            if valid is not None:
                with watch.timed("scoring"):
                    row |= scored(state, valid, len(record.data.part("valid")), precision)
            row["seconds"] = state.sums["train_s"] + time.monotonic() - scoring_began
        except Paused as pause:
            done = f"{state.step} of {len(batches)} steps of epoch {state.epoch + 1}"
            goes_on = f", after {done}; --resume {run} goes on"
            if pause.signal:
                record.draw()
                leave(pause.signal, goes_on)
            return f"{pause}{goes_on}"
        except NonFinite as problem:
            go_back(state, run, problem)
            record.last()
            continue
        better = state.remember(row, config.keep)
        record.last()
        watch.saved = time.monotonic()
        if better:
            record.best()
        print(epoch_line(state, config, better), flush=True)
        record.results()
    return reason


def stop_reason(state: State, config: Config) -> str | None:
    """Why no further epoch is begun, or None."""
    return reason_to_end(state.epoch, state.best_epoch, config)


def class_weights(data: dataset.DataSet) -> torch.Tensor:
    """n / (classes * n of the class), (classes,); 0 for a class without training images."""
    from sklearn.utils.class_weight import compute_class_weight

    numbers = data.part("train")["label"].map(data.label2id).to_numpy()
    weight, present = np.zeros(len(data.label2id), np.float32), np.unique(numbers)
    weight[present] = compute_class_weight("balanced", classes=present, y=numbers)
    return torch.from_numpy(weight)


def scored(state: State, valid, images: int, precision: Precision) -> dict:
    """Scores and calibration on the valid split, over all ranks. Raises `NonFinite`."""
    logits, numbers = logits_of(state.scored, valid, precision)
    logits, numbers = (
        distributed.gathered(rows, images, precision.device) for rows in (logits, numbers)
    )
    loss = F.cross_entropy(logits, numbers).item()
    if not math.isfinite(loss):
        raise NonFinite(f"the valid loss is not finite in epoch {state.epoch + 1}")
    truth, predicted = numbers.numpy(), logits.argmax(1).numpy()
    return {
        "valid_loss": loss,
        "valid_acc": float((truth == predicted).mean()),
        "valid_f1": macro_f1(truth, predicted),
        **calibration(logits.numpy(), truth),
    }


def go_back(state: State, run: Path, problem: NonFinite) -> None:
    """Restore the last good epoch with half the learning rate; the fourth time, give up."""
    retries = state.retries + 1
    if retries > RETRIES:
        raise TrainingDiverged(
            f"{problem}, after going back {RETRIES} times; the run holds its last good epoch. "
            f"Lower --base-lr and --head-lr, or try --no-amp. Run: {run}"
        )
    state.restore(load_checkpoint(run / LAST, needs=State.KEYS))
    state.retries, state.rate_scale = retries, 0.5**retries
    print(
        f"{problem}: back to epoch {state.epoch} with the learning rates x {state.rate_scale:g} "
        f"({retries} of {RETRIES})",
        flush=True,
    )
