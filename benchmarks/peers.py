"""How each tool trains two epochs for `training_against_peers.py`: one function a tool.

Each takes the settings and the folder of photos, and returns (images/s of the two epochs, the
network). A peer is imported only where it is used: whoever lacks it can still measure the others.
What a tool writes goes into the working folder, which is a new one for each process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BACKBONE = "tf_efficientnet_lite0"
LEARNING_RATE, WEIGHT_DECAY = 5e-4, 0.01


class Stopwatch:
    """Images/s of one epoch after another."""

    def __init__(self):
        self.images_per_s = []

    def begin(self, *_) -> None:
        self.began = time.perf_counter()

    def end(self, images: int) -> None:
        self.images_per_s.append(images / (time.perf_counter() - self.began))


def lite0ca(settings, folder: Path, flags: str = "") -> tuple:
    """The guide's script as a user calls it; its history holds images over seconds of training.

    The second epoch may find photos that the first one decoded and kept: that is its default.
    """
    from lite0ca.model.network import build_model
    from lite0ca.settings.systems import SYSTEMS

    system, results = SYSTEMS["EfficientNet_Lite0"], Path.cwd() / "results"
    command = [sys.executable, str(REPOSITORY / "train_EfficientNet_Lite0_CA.py")]
    command += ["--no-pretrained", "--model-name", system.name, "--save-history", "--device", "cpu"]
    command += ["--data-dir", str(folder), "--output-dir", str(results), "--epochs", "2"]
    command += ["--batch-size", str(settings.batch_size), "--image-size", str(settings.image_size)]
    command += ["--num-workers", str(settings.workers), *flags.split()]
    command += settings.lite0ca_flags.split()
    subprocess.run(command, check=True)
    history = json.loads(next(results.glob("*/history.json")).read_text(encoding="utf-8"))
    return history["images_per_s"], build_model(system, settings.classes, settings.image_size)


def timm_loop(settings, folder: Path, channels_last: bool = False) -> tuple:
    """The steps of timm's train.py with its defaults: random resized crops, flips and colour
    jitter, label smoothing, its prefetcher, and NCHW unless `--channels-last`; with AdamW."""
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.optim import create_optimizer_v2

    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = timm.create_model(BACKBONE, num_classes=settings.classes).to(memory_format=layout)
    expected = resolve_data_config({}, model=network)
    loader = create_loader(
        create_dataset("", root=folder, split="train", is_training=True),
        input_size=(3, settings.image_size, settings.image_size),
        batch_size=settings.batch_size,
        is_training=True,
        interpolation="random",
        mean=expected["mean"],
        std=expected["std"],
        num_workers=settings.workers,
        device=torch.device("cpu"),
    )
    optimizer = create_optimizer_v2(network, "adamw", lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    watch = Stopwatch()
    network.train()
    for _ in range(2):
        images = 0  # the loader leaves out the last batch if it is smaller
        watch.begin()
        for photos, numbers in loader:
            loss = loss_function(network(photos.contiguous(memory_format=layout)), numbers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images += len(numbers)
        watch.end(images)
    return watch.images_per_s, network


def fastai_learner(settings, folder: Path, channels_last: bool = False) -> tuple:
    """As its vision tutorial does: photos resized in the loader processes, `aug_transforms` on the
    batch, one cycle with its Adam (which decouples weight decay, as AdamW). The head is its own."""
    from fastai.callback.channelslast import ChannelsLast
    from fastai.vision import all as fastai

    # With pretrained weights fastai adds the normalisation by itself.
    normalization = fastai.Normalize.from_stats(*fastai.imagenet_stats)
    loaders = fastai.ImageDataLoaders.from_folder(
        folder,
        item_tfms=fastai.Resize(settings.image_size),
        batch_tfms=[*fastai.aug_transforms(size=settings.image_size), normalization],
        bs=settings.batch_size,
        num_workers=settings.workers,
        device="cpu",
    )
    watch = Stopwatch()

    class Timing(fastai.Callback):
        def before_train(self):
            watch.begin()

        def after_train(self):  # the last batch is left out if it is smaller
            watch.end(len(loaders.train) * settings.batch_size)

    callbacks = [Timing()] + [ChannelsLast()] * channels_last
    learner = fastai.vision_learner(loaders, BACKBONE, pretrained=False, cbs=callbacks)
    with learner.no_bar():
        learner.fit_one_cycle(2, LEARNING_RATE, wd=WEIGHT_DECAY)
    return watch.images_per_s, learner.model


def ultralytics_classify(
    settings, folder: Path, network: str, as_it_comes: bool = False, cache: str | bool = False
) -> tuple:
    """Its classification trainer with AdamW and a step a batch; it can keep decoded photos too.

    As it comes, on a CPU, it loads in the training process, computes with a thread less than there
    are cores, and augments with RandAugment and erasing. Else it gets what the others have: all
    cores, loader processes, crops, flips and colour jitter, and no deterministic algorithms.
    """
    import torch
    from ultralytics import YOLO
    from ultralytics.models.yolo.classify import ClassificationTrainer
    from ultralytics.nn.tasks import yaml_model_load

    watch, trained = Stopwatch(), {}

    class Trainer(ClassificationTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # the documented place
            if network == "YOLO26-cls of like MACs":
                cfg = yaml_model_load(cfg)
                cfg["scales"]["n"] = [0.5, 0.35, 1024]  # depth, width; n has 0.25, s has 0.5
            model = super().get_model(cfg, weights, verbose)
            return with_lite0(model, settings.classes) if network == "Lite0" else model

    def give_the_same(trainer) -> None:  # the trainer itself sets 0 workers on a CPU
        trainer.args.workers = settings.workers
        torch.set_num_threads(settings.cores)

    def end(trainer) -> None:
        watch.end(len(trainer.train_loader.dataset))
        trained["network"] = trainer.model

    yolo = YOLO("yolo26n-cls.yaml")
    yolo.add_callback("on_train_epoch_start", watch.begin)
    yolo.add_callback("on_train_epoch_end", end)
    options = {"data": str(folder), "project": str(Path.cwd() / "runs"), "device": "cpu"}
    options |= {"epochs": 2, "imgsz": settings.image_size, "batch": settings.batch_size}
    options |= {"nbs": settings.batch_size, "optimizer": "AdamW", "lr0": LEARNING_RATE}
    options |= {"pretrained": False, "amp": False, "val": False, "save": False, "plots": False}
    options |= {"cache": cache}
    if not as_it_comes:
        yolo.add_callback("on_pretrain_routine_start", give_the_same)
        options |= {"deterministic": False, "auto_augment": None, "erasing": 0.0}
    yolo.train(trainer=Trainer, **options)
    return watch.images_per_s, trained["network"]


def with_lite0(model, classes: int):
    """An Ultralytics ClassificationModel with timm's network as its only layer."""
    import timm
    import torch

    layer = timm.create_model(BACKBONE, num_classes=classes)
    layer.f, layer.i = -1, 0  # fed by the layer before, and its own number
    model.model, model.save = torch.nn.Sequential(layer), []
    return model
