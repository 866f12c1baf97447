"""Every setting of a run, once: `Config` feeds the flags, the notebooks and docs/reference.md.

A setting is a field; its default, help and limits stand on the same lines. Standard library
only, here and in what this imports, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.json_files import read_json
from lite0ca.settings.fields import check, flag, setting, unknown
from lite0ca.settings.presets import PRESETS
from lite0ca.settings.systems import ATTENTIONS, FORMER_ATTENTIONS, SYSTEMS, System

MOST_FOLDS = 20
AUGMENTATIONS = ("standard", "strong")
KEPT = ("best", "last")
FORMER = ("head_epochs",)  # settings of earlier versions, without effect on what is trained
GROUPS = {
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "machine": "Machine",
    "output": "What a run leaves",
}


@dataclass(frozen=True)
class Config:
    """The settings of one run, checked when made; raises `InputError` that names the flag."""

    preset: str | None = setting(
        "training",
        None,
        "a named set of settings, over which go the flags that are typed: robust, best with "
        "time, fast in a hurry; basic, kaggle, gtx1660s, max-speed, quick-test, mobile are the "
        "guide's",
    )

    # Data
    metadata: str | None = setting(
        "data",
        None,
        "CSV with columns path,label and, if there, split (train, valid, test) and group, or a "
        "competition's train.csv; "
        "default: data/metadata.csv, else $LITE0CA_DATA, else what is attached on Kaggle",
    )
    label2id: str | None = setting(
        "data",
        None,
        "JSON of class name -> number; default: label2id.json beside the CSV "
        "(data/label2id.json), else the class names in alphabetical order",
    )
    data_dir: str | None = setting(
        "data",
        None,
        "a folder with one sub-folder a class, train/valid/test above or below them; or a "
        "competition's, with train.csv beside its photos; or shards, as in 'shards/{000..099}.tar'",
    )
    train_limit: int | None = setting(
        "data", None, "train on so many images, drawn in the classes' proportions", low=2
    )
    valid_limit: int | None = setting(
        "data", None, "validate on so many images, drawn in the classes' proportions", low=2
    )
    fold: str | None = setting(
        "data",
        None,
        "K/N, as in 1/5: the K-th of N folds is the valid split, the others train; near-duplicates "
        "lie in one fold, and the folds are the same for every K and --seed. Photos that the data "
        "calls test stay so; no other test split is made",
    )
    all: bool = setting(
        "data",
        False,
        "train on valid photos as well, and make no split: all but those that the data calls test. "
        "No epoch is chosen and none left out: the last one's weights are kept, and without photos "
        "to see it on the model is never sure, unless --calibration-run says when",
    )
    skip_bad_images: bool = setting(
        "data", False, "leave out missing and unreadable images instead of stopping"
    )

    # Model
    model_name: str = setting(
        "model",
        "EfficientNet_Lite0_CA",
        "the system to train; names the run folder",
        choices=tuple(SYSTEMS),
    )
    backbone: str | None = setting("model", None, "any convolutional timm backbone instead")
    attention: str | None = setting(
        "model", None, "attention on the last feature map instead", choices=ATTENTIONS
    )
    reduction: int | None = setting(
        "model",
        None,
        "Coordinate Attention: bottleneck = max(8, channels // reduction), so a larger number "
        "is a smaller block; default: 16 (32 for EfficientNetV2_S)",
        low=1,
    )
    dropout: float = setting("model", 0.2, "before the classifier", low=0, below=1)
    image_size: int = setting(
        "model",
        224,
        "pixels, square; 192, 224 and 256 are the usual ones",
        low=32,
        below=4097,
        multiple=32,
    )
    pretrained: bool = setting("model", False, "start from ImageNet weights")
    weights: str | None = setting(
        "model",
        None,
        "start from the weights in this file (.pth, .pt, .safetensors): a timm backbone, or a "
        "best_model.pt of this project",
    )

    # Training
    epochs: int = setting("training", 15, "passes over the training images", low=1)
    batch_size: int = setting("training", 96, "images a step", low=2)
    base_lr: float = setting("training", 5e-5, "learning rate of the backbone", above=0, below=1e6)
    head_lr: float = setting(
        "training",
        5e-4,
        "learning rate of the attention and the classifier",
        above=0,
        below=1e6,
    )
    weight_decay: float = setting(
        "training", 1e-2, "AdamW; none on biases and norms", low=0, below=1e4
    )
    warmup_epochs: float = setting(
        "training", 1.0, "linear warm-up, at most half of the run; a cosine follows", low=0
    )
    augmentation: str = setting(
        "training",
        "standard",
        "strong: half of the pictures from nearer, in any light, partly hidden, the leaf mostly "
        "before another background, and half of all from afar; for photos from elsewhere, and "
        "slower to learn",
        choices=AUGMENTATIONS,
    )
    label_smoothing: float = setting("training", 0.0, "of the cross-entropy", low=0, below=1)
    class_weights: bool = setting(
        "training", False, "weigh the loss of each class by 1 / its frequency"
    )
    grad_clip: float = setting("training", 1.0, "largest norm of the gradient; 0 = off", low=0)
    ema: bool = setting(
        "training", False, "score and keep a moving average of the weights (decay up to 0.9998)"
    )
    patience: int = setting(
        "training", 7, "stop after so many epochs without a better macro-F1; 0 = off", low=0
    )
    keep: str = setting(
        "training",
        "best",
        "the epoch whose weights a run keeps: the best by macro-F1 on valid, or the last, trained "
        "at the lowest rate; then no epoch is left out and --patience does not count",
        choices=KEPT,
    )
    start_size: int | None = setting(
        "training",
        None,
        "pixels of the first epoch; the size grows to --image-size until the last",
        low=32,
        multiple=32,
    )
    seed: int = setting(
        "training", 42, "equal seeds give equal runs on one machine", low=0, below=2**32
    )
    calibration_run: str | None = setting(
        "training",
        None,
        "with --all: a finished run of the same settings and classes that kept photos back; how "
        "honest its probabilities are and when it is sure is taken from there",
    )

    # Machine
    device: str = setting(
        "machine", "auto", "where to compute", choices=("auto", "cpu", "cuda", "mps")
    )
    amp: bool | None = setting("machine", None, "mixed precision; default: training on cuda")
    devices: int = setting(
        "machine",
        1,
        "train on so many GPUs, or processes on a CPU; --batch-size is of all together, so "
        "learning rates stay; the same as torchrun --nproc_per_node",
        low=1,
    )
    sync_bn: bool = setting("machine", False, "BatchNorm over the images of all devices (cuda)")
    micro_batch_size: int | None = setting(
        "machine",
        None,
        "images at once, for small memory: gradients add up to --batch-size, BatchNorm sees so "
        "many; default: all, halved when memory runs out",
        low=2,
    )
    compile: bool = setting(
        "machine", False, "torch.compile: a minute at first, pays on GPUs in long runs"
    )
    num_workers: int = setting(
        "machine",
        4,
        "loader processes of each device, at most one a core; 0 = none. For predict and adapt: "
        "threads that read",
        low=0,
    )
    cache: str = setting(
        "machine",
        "auto",
        "keep decoded photos, at a size a little above --image-size, for later epochs and runs; "
        "auto: on disk, else in memory, where there is room",
        choices=("auto", "disk", "ram", "none"),
    )
    cache_dir: str | None = setting(
        "machine", None, "where --cache disk keeps them; default: ~/.cache/lite0ca"
    )
    cache_limit_gb: float = setting(
        "machine", 10.0, "most that all caches there take; the oldest give way", above=0
    )
    pin_memory: bool = setting("machine", False, "page-locked batches (cuda)")
    time_budget: float | None = setting(
        "machine",
        None,
        "minutes; stops in time between two steps, saved; --resume goes on",
        above=0,
    )

    # What a run leaves
    output_dir: str = setting("output", "results", "the folder above the run folders")
    save_history: bool = setting(
        "output",
        False,
        "write history.json, metrics.json, training_plot.png, the scores, report.html and "
        "MODEL_CARD.md as well",
    )
    plot: bool = setting("output", False, "show the curves as well")
    resume: str | None = setting(
        "output", None, "go on with the run in this folder; its own settings are used"
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        if self.preset is not None and self.preset not in PRESETS:
            raise InputError(f"--preset: {unknown(self.preset, PRESETS)}")
        if self.metadata and self.data_dir:
            raise InputError("--metadata and --data-dir both name the data: give one of them")
        if self.fold is not None:
            fold_of(self.fold)
        if self.fold and self.all:
            raise InputError("--all keeps no photo back and --fold keeps a part: give one of them")
        if self.calibration_run and not self.all:
            raise InputError(
                "--calibration-run goes with --all: a run that keeps photos back measures its own"
            )
        if self.start_size and self.start_size > self.image_size:
            raise InputError(
                f"--start-size {self.start_size}: must be at most --image-size {self.image_size}"
            )
        if self.start_size and "bot" in self.system.attention:
            raise InputError("--start-size: the positions of self-attention belong to one size")

    @classmethod
    def of(cls, preset: str | None = None, /, **overrides) -> Config:
        """The settings of a preset with some of them overridden; unknown names are refused."""
        cls.check_names(overrides)
        preset = overrides.pop("preset", preset)
        if preset is not None and preset not in (known := list(PRESETS)):
            raise InputError(f"--preset: {unknown(str(preset), known)}")
        changes = PRESETS[preset].changes if preset else {}
        return cls(preset=preset, **{**changes, **overrides})

    @classmethod
    def of_stored(cls, settings: Mapping[str, object], **overrides) -> Config:
        """The settings that a run, a checkpoint or an exported file of any version keeps.

        What they do not keep has its default: the preset may be another one by now.
        """
        kept = {name: value for name, value in settings.items() if name not in FORMER}
        if kept.get("attention") in FORMER_ATTENTIONS:
            del kept["attention"]
        cls.check_names(kept)
        return cls(**{**kept, **overrides})

    @classmethod
    def check_names(cls, settings: Mapping[str, object]) -> None:
        for name in settings:
            if name not in cls.__dataclass_fields__:
                raise InputError(f"setting {unknown(name, cls.__dataclass_fields__)}")

    @classmethod
    def fixed(cls) -> list[str]:
        """The settings that decide what a run comes to, so that --resume cannot change them."""
        free = {"metadata", "data_dir", "label2id", "calibration_run", "plot", "resume"}
        free |= set(cls.in_groups("machine"))
        return [name for name in cls.__dataclass_fields__ if name not in free]

    @classmethod
    def in_groups(cls, *groups: str) -> list[str]:
        """The settings of these `GROUPS`."""
        return [f.name for f in dataclasses.fields(cls) if f.metadata["group"] in groups]

    @classmethod
    def of_run(cls, folder: str | Path, **overrides) -> Config:
        """The settings stored in a run folder, to go on with that run.

        Only what does not change the result may be overridden: the machine, and where the
        data lies now.
        """
        may_change = set(cls.__dataclass_fields__) - set(cls.fixed()) - {"label2id", "resume"}
        for name in overrides:
            if name not in may_change:
                raise InputError(
                    f"{flag(name)} cannot change with --resume: the run keeps its settings "
                    f"(free are {', '.join(sorted(map(flag, may_change)))})"
                )
        stored = Path(folder) / "config.json"
        if not os.path.exists(stored):
            raise InputError(f"--resume {folder}: no config.json there, so no run")
        settings = read_json(stored)
        if not settings:
            raise InputError(f"{stored}: is damaged (holds no settings)")
        try:
            cls.of_stored(settings)
        except InputError as error:
            raise InputError(f"{stored}: is damaged, or of another version: {error}") from None
        if "metadata" in overrides or "data_dir" in overrides:
            settings |= {"metadata": None, "data_dir": None, "label2id": None}
        return cls.of_stored(settings, **overrides, resume=str(folder))

    def reading(self, source: Path) -> Config:
        """The same settings with the data that was found named, wherever they are used next."""
        name = "metadata" if source.is_file() else "data_dir"
        data = {"metadata": None, "data_dir": None, name: str(source.absolute())}
        return dataclasses.replace(self, **data)

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)

    @property
    def system(self) -> System:
        """The row of `--model-name` with `--backbone`, `--attention`, `--reduction` over it."""
        row = SYSTEMS[self.model_name]
        typed = {
            name: value
            for name in ("backbone", "attention", "reduction")
            if (value := getattr(self, name)) is not None
        }
        # The folder is named by the system: a run without CA must not pass for one with it.
        other = [f"{name}-{typed[name]}" for name in typed if name != "reduction"]
        return dataclasses.replace(row, name="_".join([row.name, *other]), **typed)


def fold_of(text: str) -> tuple[int, int]:
    """`"2/5"` -> (2, 5): which of how many folds. Raises `InputError`."""
    number, slash, folds = text.partition("/")
    digits = all(part.isascii() and part.isdecimal() and len(part) < 4 for part in (number, folds))
    if slash and digits and 1 <= int(number) <= int(folds) and 2 <= int(folds) <= MOST_FOLDS:
        return int(number), int(folds)
    raise InputError(
        f"--fold takes K/N, as in 1/5: which of 2 to {MOST_FOLDS} folds is valid, not {text!r}"
    )
