"""Named settings: each preset is its differences from the defaults, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Differences from the defaults, and why."""

    reason: str
    changes: Mapping[str, object]


ROBUST = {
    "epochs": 14,
    "batch_size": 16,
    "start_size": 128,
    "augmentation": "strong",
    "base_lr": 1e-3,
    "head_lr": 1e-3,
    "warmup_epochs": 0.3,
    "label_smoothing": 0.1,
    "ema": True,
    "pretrained": True,
    "save_history": True,
}

PRESETS = {
    "robust": Preset(
        "begin with this: leaves in any light and place, for photos taken elsewhere too",
        ROBUST,
    ),
    "best": Preset(
        "robust for longer and at 256 pixels: twice its time, the highest scores here",
        ROBUST | {"epochs": 24, "image_size": 256, "keep": "last"},
    ),
    "fast": Preset(
        "when in a hurry: three epochs of small, growing pictures",
        {
            "epochs": 3,
            "batch_size": 16,
            "start_size": 128,
            "image_size": 192,
            "base_lr": 1e-3,
            "head_lr": 1e-3,
            "warmup_epochs": 0.3,
            "label_smoothing": 0.1,
            "pretrained": True,
            "save_history": True,
        },
    ),
    "basic": Preset(
        "the guide's recommended run",
        {"pretrained": True, "save_history": True},
    ),
    "kaggle": Preset(
        "the guide's: a large batch for a T4, two loader processes for its few cores",
        {
            "batch_size": 128,
            "num_workers": 2,
            "pin_memory": True,
            "pretrained": True,
            "save_history": True,
        },
    ),
    "gtx1660s": Preset(
        "the guide's: fits 6 GB of GPU memory",
        {"pin_memory": True, "pretrained": True, "save_history": True},
    ),
    "max-speed": Preset(
        "the guide's: fewer epochs at a higher learning rate and 192 pixels",
        {
            "epochs": 12,
            "batch_size": 144,
            "image_size": 192,
            "base_lr": 1e-4,
            "head_lr": 1e-3,
            "weight_decay": 5e-3,
            "reduction": 8,
            "dropout": 0.15,
            "patience": 5,
            "pin_memory": True,
            "pretrained": True,
            "save_history": True,
        },
    ),
    "quick-test": Preset(
        "the guide's: does everything work? A few minutes; no score to quote",
        {
            "epochs": 3,
            "batch_size": 64,
            "num_workers": 2,
            "train_limit": 1000,
            "valid_limit": 300,
            "pretrained": True,
            "save_history": True,
        },
    ),
    "mobile": Preset(
        "the guide's: 192 pixels for phones (its reduction 8 is its largest block)",
        {
            "image_size": 192,
            "reduction": 8,
            "dropout": 0.15,
            "pretrained": True,
            "save_history": True,
        },
    ),
    "sample": Preset(
        "the notebooks on the drawn sample, seconds an epoch on two cores",
        {
            "epochs": 3,
            "batch_size": 16,
            "image_size": 96,
            "base_lr": 3e-4,
            "head_lr": 3e-3,
            "num_workers": 2,
            "pretrained": True,
            "save_history": True,
        },
    ),
}
