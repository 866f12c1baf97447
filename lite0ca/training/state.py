"""All that changes while training: what `last.pt` holds, what resuming and going back restore."""

from __future__ import annotations

import copy
import os
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lite0ca.errors import InputError, first_line, printable
from lite0ca.files.scratch import TORCH_CACHE
from lite0ca.formats.metadata import is_number
from lite0ca.machine import distributed
from lite0ca.machine.device import Precision
from lite0ca.machine.environment import cache_folder
from lite0ca.model import weights
from lite0ca.model.adamw import AdamW
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.config import Config

EMA_DECAY = 0.9998
CURVES = {"train_loss", "train_acc", "images_per_s", "seconds"}
OF_VALID = {"valid_loss", "valid_acc", "valid_f1"}  # a run with --all has no such photos
NOTHING = {"loss": 0.0, "right": 0.0, "images": 0.0, "waited_s": 0.0, "train_s": 0.0}
COUNTED = ("loss", "right", "images")  # over all ranks; seconds are of each


class NonFinite(Exception):
    """The epoch produced NaN or infinity; the message says where."""


@dataclass
class State:
    """Model, optimiser and scaler; the moving average if there is one; counts and curves."""

    model: LeafClassifier
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    epoch: int = 0  # epochs finished
    best_epoch: int = 0
    history: dict[str, list] = field(default_factory=dict)
    rate_scale: float = 1.0  # halved each time the run goes back
    retries: int = 0
    step: int = 0  # steps done in the epoch that is under way, and what they came to
    sums: dict = field(default_factory=lambda: dict(NOTHING))
    images_at_once: int = 0
    network: nn.Module | None = None  # the model as it is trained: compiled, or on many ranks

    PLAIN = ("epoch", "best_epoch", "history", "rate_scale", "retries")
    HOLDERS = ("model", "optimizer", "scaler")
    KEYS = (*PLAIN, *HOLDERS, "ema")

    @classmethod
    def new(cls, config: Config, classes: int, precision: Precision) -> State:
        """The state before the first epoch, with random weights."""
        model = build_model(config.system, classes, config.image_size, config.dropout)
        if config.sync_bn:
            model = convert_sync_batchnorm(model)  # torch's own drops timm's activations
        return cls.of_model(model, config, precision)

    @classmethod
    def of_model(cls, model: LeafClassifier, config: Config, precision: Precision) -> State:
        """The state in which a network, which goes to the device, has not been trained yet."""
        # Channels-last is the faster layout for convolutions, on cuda and on CPUs (03_train).
        model.to(precision.device, memory_format=torch.channels_last)
        scaled = precision.amp and precision.dtype is torch.float16
        return cls(
            model,
            AdamW(parameter_groups(model, config), fused=True),
            torch.amp.GradScaler(precision.device.type, enabled=scaled),
            ModelEmaV3(model, decay=EMA_DECAY, use_warmup=True) if config.ema else None,
            images_at_once=config.micro_batch_size or config.batch_size,
            network=model,
        )

    def wrap(self, config: Config) -> None:
        """Make `network` of the model whose weights are set: compiled, with gradients shared."""
        self.network = self.model
        if config.compile:
            chosen = os.environ.get(TORCH_CACHE, tempfile.gettempdir())
            if chosen.startswith(tempfile.gettempdir()):  # by torch, and gone after this run
                os.environ[TORCH_CACHE] = str(cache_folder() / "torchinductor")
            self.network = torch.compile(self.model)
        if distributed.count() > 1:
            # BatchNorm statistics are averaged at the end of an epoch instead of copied each step.
            self.network = DistributedDataParallel(self.network, broadcast_buffers=False)

    def gradients_averaged(self, now: bool) -> AbstractContextManager:
        """Around a backward pass: over the ranks, if now, else when the batch's last part comes."""
        return nullcontext() if now or distributed.count() == 1 else self.network.no_sync()

    def average_statistics(self) -> None:
        """BatchNorm's running statistics become the mean over the ranks."""
        for module in (self.model, self.ema.module if self.ema else None):
            if module is not None:
                distributed.average_statistics(module)

    def start_from_weights(self, config: Config) -> None:
        """The trained weights that the settings ask for; says which."""
        if config.weights:
            print(printable(f"weights: {weights.load_file(self.model, config.weights)}"))
        elif config.pretrained:
            print(f"weights: {weights.load_imagenet(self.model)}")
        else:
            print("weights: random; --pretrained starts from ImageNet")
        if self.ema:
            self.ema.set(self.model)

    @property
    def scored(self) -> LeafClassifier:
        """The weights that are scored and kept: their moving average, or themselves."""
        return self.ema.module if self.ema else self.model

    def as_dict(self) -> dict:
        content = {name: getattr(self, name) for name in self.PLAIN}
        content |= {name: getattr(self, name).state_dict() for name in self.HOLDERS}
        sums = {name: float(value) for name, value in self.sums.items()}
        if distributed.count() > 1:
            device = next(self.model.parameters()).device
            own = torch.tensor([sums[name] for name in COUNTED], device=device)
            sums |= dict(zip(COUNTED, distributed.added(own).tolist()))
        content |= {"step": self.step, "sums": sums}
        return content | {"ema": self.ema.module.state_dict() if self.ema else None}

    @classmethod
    def check_counts(cls, content: dict, source) -> None:
        """Raise `InputError` unless the counts and curves of a checkpoint fit each other."""
        history = content["history"]
        needed = CURVES if content["config"].get("all") else CURVES | OF_VALID
        counts = [content[name] for name in ("epoch", "best_epoch", "retries")]
        counts.append(content.get("step", 0))
        sums = content.get("sums", NOTHING)
        curves = list(history.values()) if isinstance(history, dict) else [None]
        right = (
            all(type(count) is int and count >= 0 for count in counts)
            and content["best_epoch"] <= content["epoch"]
            and is_number(content["rate_scale"])
            and 0 < content["rate_scale"] <= 1
            and all(type(c) is list and len(c) == content["epoch"] for c in curves)
            and all(is_number(value) for curve in curves for value in curve)
            and (content["epoch"] == 0 or set(history) >= needed)
            and isinstance(sums, dict)
            and set(sums) == set(NOTHING)
            and all(map(is_number, sums.values()))
        )
        if not right:
            raise InputError(f"{source}: is damaged: its counts and curves do not fit each other")

    def restore(self, content: dict) -> None:
        """Take a checkpoint's place. Raises `InputError` if it is another network's, or damaged."""
        try:
            self.take(content)
            self.check_finite()
        except (
            NonFinite, ArithmeticError, AssertionError, AttributeError, LookupError,
            RuntimeError, TypeError, ValueError,
        ) as error:  # fmt: skip
            raise InputError(f"the last checkpoint is damaged: {first_line(error)}") from None

    def take(self, content: dict) -> None:
        own = [self.hyperparameters(group) for group in self.optimizer.param_groups]
        for name in self.PLAIN:
            setattr(self, name, copy.copy(content[name]))
        # Runs of version 0.1.0 stopped between epochs only.
        self.step, self.sums = content.get("step", 0), dict(content.get("sums", NOTHING))
        if distributed.number() > 0:  # what all ranks had counted is counted once
            self.sums |= dict.fromkeys(COUNTED, 0.0)
        for name in self.HOLDERS:
            if name != "scaler" or content[name]:  # begun without float16 it has no state
                getattr(self, name).load_state_dict(content[name])
        if self.ema:
            self.ema.module.load_state_dict(content["ema"])
        for group, mine in zip(self.optimizer.param_groups, own):
            group.update(mine)  # ours, whatever another version of torch or a stranger wrote
        # The fused step trusts these, and reads beyond their end where they are too short.
        for parameter, moments in self.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if moments[name].shape != parameter.shape:
                    raise ValueError("its optimizer's moments are of another network")

    @staticmethod
    def hyperparameters(group: dict) -> dict:
        """Of a group of the optimizer, but for the rate, which each step sets."""
        return {name: value for name, value in group.items() if name not in ("params", "lr")}

    def remember(self, row: dict, keep: str = "best") -> bool:
        """Add a finished epoch to the curves; True if it is the best: macro-F1, then loss.

        To `keep` the last, and where no photo was kept back to see that on, each one is.
        """
        best = {name: values[self.best_epoch - 1] for name, values in self.history.items()}
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        self.epoch += 1
        self.step, self.sums = 0, dict(NOTHING)
        rank = lambda r: (r["valid_f1"], -r["valid_loss"])  # noqa: E731
        if keep == "last" or not best or "valid_f1" not in row or rank(row) > rank(best):
            self.best_epoch = self.epoch
        return self.best_epoch == self.epoch

    def check_finite(self) -> None:
        """Raise `NonFinite` if a weight or a BatchNorm statistic is NaN or infinite."""
        named = list(self.model.state_dict().items())
        named += self.ema.module.state_dict().items() if self.ema else []
        finite = torch.stack([value.isfinite().all() for _, value in named]).tolist()
        if not all(finite):
            bad = named[finite.index(False)][0]
            raise NonFinite(f"{bad} is not finite after epoch {self.epoch + 1}")


def parameter_groups(model: LeafClassifier, config: Config) -> list[dict]:
    """No decay on biases and norms, for the backbone and for what starts fresh.

    The groups of `timm.optim.param_groups_weight_decay`, in its order, so that `last.pt` of any
    run fits; to import timm's optimisers takes longer than to import its networks.
    """
    head = {id(parameter) for parameter in model.head_parameters()}
    of = {(is_head, decay): [] for is_head in (False, True)
          for decay in sorted({0.0, config.weight_decay})}  # fmt: skip
    for name, parameter in model.named_parameters():
        plain = parameter.ndim <= 1 or name.endswith(".bias")
        of[id(parameter) in head, 0.0 if plain else config.weight_decay].append(parameter)
    rates = {False: config.base_lr, True: config.head_lr}
    return [
        {"params": some, "weight_decay": decay, "lr": rates[is_head], "full_lr": rates[is_head]}
        for (is_head, decay), some in of.items()
        if some
    ]
