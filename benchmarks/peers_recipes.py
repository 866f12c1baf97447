"""How each tool fine-tunes for `peers_accuracy.py`, as its own guide says: one function a tool.

Each takes the job and returns a function: image files -> labels. What the job has: `folder` with
train/CLASS and valid/CLASS, `labels` in alphabetical order, `image_size`, `batch_size`,
`cpu_seconds` that the training may take, or the `epochs`, `workers`, `seed`. Timm finds the
network's weights in Hugging Face's cache, where `peers_accuracy.py` has put Google's.

Run as a program, with the name of a tool and a job as JSON, it trains and writes the answers: no
module of lite0ca is imported, so a tool may live in an environment of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

NETWORK = "tf_efficientnet_lite0.in1k"
Answers = Callable[[list[str]], list[str]]


def clocks() -> tuple[float, float]:
    """(wall seconds, CPU seconds of this process and of its loader processes that have ended)."""
    return time.monotonic(), sum(os.times()[:4])


def epochs_of(job, one_epoch: Callable[[], object]) -> int:
    """As many as the time allows, told from one that is trained and thrown away."""
    if not job.epochs:
        began = clocks()
        one_epoch()
        job.trial = [now - then for now, then in zip(clocks(), began)]
        job.epochs = max(1, round(job.cpu_seconds / job.trial[1]))
    return job.epochs


def fastai(job) -> Answers:
    """Its book's and course's recipe: `Resize(460)`, `aug_transforms(size=...)`, `fine_tune` with
    its own rate (2e-3), one epoch of them frozen; the last epoch counts."""
    from fastai.vision import all as fast

    def learner():
        fast.set_seed(job.seed, reproducible=True)
        loaders = fast.ImageDataLoaders.from_folder(
            job.folder,
            train="train",
            valid="valid",
            item_tfms=fast.Resize(460),
            batch_tfms=fast.aug_transforms(size=job.image_size),
            bs=job.batch_size,
            num_workers=job.workers,
            device="cpu",
        )
        return fast.vision_learner(loaders, NETWORK, metrics=fast.F1Score(average="macro"))

    def one_epoch() -> None:
        trial = learner()
        with trial.no_bar(), trial.no_logging():
            trial.unfreeze()
            trial.fit_one_cycle(1)

    epochs, trained = epochs_of(job, one_epoch), learner()
    with trained.no_bar():
        trained.fine_tune(epochs)

    def answers(files: list[str]) -> list[str]:
        asked = trained.dls.test_dl([Path(file) for file in files], num_workers=job.workers)
        with trained.no_bar():
            odds, _ = trained.get_preds(dl=asked)
        return [trained.dls.vocab[number] for number in odds.argmax(1).tolist()]

    return answers


def timm_plain(job) -> Answers:
    """The steps of timm's train.py with its defaults, fine-tuning rate and AdamW: random resized
    crops, flips, colour jitter, label smoothing 0.1, cosine after a warm-up; the best epoch on
    valid counts, as there."""
    return timm_recipe(job, loader={}, mixed={})


def timm_mixup(job) -> Answers:
    """The same with what its newer recipes add: RandAugment, random erasing, mixup, CutMix."""
    loader = {"auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.25, "re_mode": "pixel"}
    return timm_recipe(job, loader, mixed={"mixup_alpha": 0.2, "cutmix_alpha": 1.0})


def timm_recipe(job, loader: dict, mixed: dict) -> Answers:
    import copy

    import timm
    import torch
    from timm.data import Mixup, create_dataset, create_loader, resolve_data_config
    from timm.loss import SoftTargetCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import random_seed

    random_seed(job.seed)
    network = timm.create_model(NETWORK, pretrained=True, num_classes=len(job.labels))
    network = network.to(memory_format=torch.channels_last)
    expected = resolve_data_config({"img_size": job.image_size}, model=network)
    common = {
        "input_size": (3, job.image_size, job.image_size),
        "mean": expected["mean"],
        "std": expected["std"],
        "num_workers": job.workers,
        "device": torch.device("cpu"),
    }

    def loader_of(dataset, training: bool):
        options = loader | {"color_jitter": 0.4, "interpolation": "random"} if training else {}
        if not training:
            options = {"crop_pct": expected["crop_pct"], "interpolation": expected["interpolation"]}
        return create_loader(
            dataset, batch_size=job.batch_size, is_training=training, **common, **options
        )

    photos, valid = (create_dataset("", root=job.folder, split=s) for s in ("train", "valid"))
    batches = loader_of(photos, training=True)
    labels = {number: label for label, number in photos.reader.class_to_idx.items()}
    mix = Mixup(**mixed, label_smoothing=0.1, num_classes=len(job.labels)) if mixed else None
    smooth = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    loss_function = SoftTargetCrossEntropy() if mix else smooth

    def epoch(model, optimizer, scheduler=None, number: int = 0) -> None:
        model.train()
        for step, (images, targets) in enumerate(batches):
            if mix:
                images, targets = mix(images, targets)
            loss = loss_function(
                model(images.contiguous(memory_format=torch.channels_last)), targets
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler:
                scheduler.step_update(number * len(batches) + step + 1)

    def optimizer_of(model):
        return create_optimizer_v2(model, "adamw", lr=5e-4, weight_decay=0.05)

    @torch.inference_mode()
    def numbers(model, dataset) -> list[int]:
        model.eval()
        return [
            n for images, _ in loader_of(dataset, False) for n in model(images).argmax(1).tolist()
        ]

    def trial() -> None:
        model = copy.deepcopy(network)
        epoch(model, optimizer_of(model))
        numbers(model, valid)

    epochs = epochs_of(job, trial)
    optimizer = optimizer_of(network)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=epochs,
        warmup_epochs=min(1, epochs - 1),
        warmup_lr=1e-6,
        min_lr=1e-6,
        step_on_epochs=False,
        updates_per_epoch=len(batches),
    )

    truth, best = [number for _, number in valid.reader.samples], (-1.0, {})
    for number in range(epochs):
        epoch(network, optimizer, scheduler, number)
        found = numbers(network, valid)
        right = sum(map(int.__eq__, found, truth)) / len(truth)
        if right > best[0]:
            best = right, copy.deepcopy(network.state_dict())
    network.load_state_dict(best[1])

    def answers(files: list[str]) -> list[str]:
        class Files(torch.utils.data.Dataset):
            transform = None  # the loader's

            def __len__(self):
                return len(files)

            def __getitem__(self, index):
                from PIL import Image

                return self.transform(Image.open(files[index]).convert("RGB")), 0

        return [labels[number] for number in numbers(network, Files())]

    return answers


def ultralytics(job) -> Answers:
    """Its classification trainer as it comes (optimizer auto, RandAugment, erasing), with timm's
    network in the place of YOLO's; the best epoch on valid counts, as there. Loader processes and
    all cores are given to it, which on a CPU it would not take."""
    import timm
    import torch
    from PIL import Image
    from ultralytics.data.augment import classify_transforms
    from ultralytics.models.yolo.classify import ClassificationTrainer

    class Lite0(torch.nn.Module):
        """Ultralytics gives pixels of 0 to 1, Google's weights want -1 to 1."""

        def __init__(self):
            super().__init__()
            self.net = timm.create_model(NETWORK, pretrained=True, num_classes=len(job.labels))
            self.f, self.i = -1, 0  # fed by the layer before, and its own number

        def forward(self, images):
            logits = self.net(images * 2 - 1)
            return logits if self.training else (logits.softmax(1), logits)

    class Trainer(ClassificationTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # the documented place
            model = super().get_model(cfg, weights, verbose)
            model.model, model.save = torch.nn.Sequential(Lite0()), []
            return model

        def save_model(self):
            return False  # a network made here cannot be pickled; `remember` keeps the best

    best: dict = {"fitness": -1.0}

    def remember(trainer) -> None:
        if trainer.fitness is not None and trainer.fitness > best["fitness"]:
            network = (trainer.ema and trainer.ema.ema) or trainer.model
            state = {name: value.clone() for name, value in network.state_dict().items()}
            best.update(fitness=trainer.fitness, state=state, network=network)

    def give_all(trainer) -> None:
        trainer.args.workers = job.workers
        torch.set_num_threads(job.cores)

    def train(epochs: int) -> None:
        options = {
            "model": "yolo26n-cls.yaml",
            "pretrained": False,
            "data": job.folder,
            "project": str(Path.cwd() / "runs"),
            "device": "cpu",
        }
        options |= {"epochs": epochs, "imgsz": job.image_size, "batch": job.batch_size}
        options |= {"seed": job.seed, "amp": False, "plots": False, "save": False, "val": True}
        trainer = Trainer(overrides=options)
        trainer.add_callback("on_pretrain_routine_start", give_all)
        trainer.add_callback("on_fit_epoch_end", remember)
        trainer.train()

    epochs = epochs_of(job, lambda: train(1))
    best.update(fitness=-1.0)
    train(epochs)
    network = best["network"].float().eval()
    network.load_state_dict(best["state"])
    as_asked = classify_transforms(job.image_size)

    @torch.inference_mode()
    def answers(files: list[str]) -> list[str]:
        found = []
        for file in files:
            given = network(as_asked(Image.open(file).convert("RGB"))[None])
            odds = given[0] if isinstance(given, (tuple, list)) else given
            found.append(job.labels[int(odds.argmax(1))])
        return found

    return answers


def autogluon(job) -> Answers:
    """MultiModalPredictor's `medium_quality`, with timm's network in the place of its own; it asks
    that at the network's own size."""
    import pandas as pd
    from autogluon.multimodal import MultiModalPredictor

    def table(split: str):
        files = sorted(Path(job.folder, split).glob("*/*"))
        return pd.DataFrame({"image": map(str, files), "label": [f.parent.name for f in files]})

    job.image_size = 224
    hyperparameters = {
        "model.names": ["timm_image"],
        "model.timm_image.checkpoint_name": NETWORK,
        "env.per_gpu_batch_size": job.batch_size,
        "env.num_workers": job.workers,
        "env.num_gpus": 0,
    }

    def fitted(epochs: int, path: str) -> MultiModalPredictor:
        predictor = MultiModalPredictor(label="label", presets="medium_quality", path=path)
        return predictor.fit(
            table("train"),
            tuning_data=table("valid"),
            hyperparameters=hyperparameters | {"optim.max_epochs": epochs},
            seed=job.seed,
        )

    predictor = fitted(epochs_of(job, lambda: fitted(1, "trial")), "predictor")
    return lambda files: list(map(str, predictor.predict(pd.DataFrame({"image": files}))))


def main(tool: str, file: str) -> None:
    """Train, answer the job's photos, write answers, seconds and epochs beside the job."""
    job = SimpleNamespace(trial=[0.0, 0.0], **json.loads(Path(file).read_text(encoding="utf-8")))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.cores])
    began = clocks()
    answers = globals()[tool](job)
    seconds = [now - then - trial for now, then, trial in zip(clocks(), began, job.trial)]
    found = {name: answers(files) for name, files in job.asked.items()}
    content = {"answers": found, "seconds": seconds, "epochs": job.epochs}
    content = json.dumps(content | {"image_size": job.image_size})
    Path(file).with_suffix(".answers").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
