"""What do a few labelled photos of another place bring? `lite0ca adapt` against other ways.

    python benchmarks/own_field.py RUN... --data-dir my_field

Of a labelled set that no run was trained on, so many photos a class are drawn, three of a leaf at
most; the photos of all other leaves are scored. A row a way, number, draw and run is added to
`benchmarks/study/own_field.csv`, and what stands there is not done again. Notebook 07_study reads
it. `training_f1` is of the training's own test split.

The early stages are left alone in all ways but "all layers", so their maps are looked at once a
run, and a way is fitted in seconds. "all layers" is plain fine-tuning: the same batches and steps,
BatchNorm on its batches, and takes minutes.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lite0ca.adaptation import tuning
from lite0ca.adaptation.maps import Maps, maps_of
from lite0ca.adaptation.training_photos import training_photos
from lite0ca.adaptation.tuning import balanced, logits_of_maps, rate_at, tuned, turned
from lite0ca.data import dataset
from lite0ca.data.near_duplicates import find_groups
from lite0ca.evaluation.finished_run import data_of
from lite0ca.evaluation.inference import logits_of
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.files.whole_file import whole
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.images.loaders import score_loader
from lite0ca.machine.device import CPU, to_device
from lite0ca.machine.processor import cpu_name
from lite0ca.model.late_stages import late_stages
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of

STUDY = Path(__file__).resolve().parent / "study" / "own_field.csv"
OF_A_LEAF = 3  # photos at most, as somebody who labels takes them
DONE = ["run", "way", "photos", "draw"]


@dataclass(frozen=True)
class Given:
    """What a way is fitted to: maps of the labelled photos and of training photos."""

    model: nn.Module
    own: Maps
    beside: Maps
    seed: int
    photos: tuple[torch.Tensor, torch.Tensor]  # uint8 (N, S, S, 3) of both, for "all layers"


def adapted(given: Given, beside: bool = True, **constants) -> nn.Module:
    """`lite0ca adapt` itself, with other constants if any are named."""
    before = {name: getattr(tuning, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(tuning, name, value)
        others = given.beside if beside else None
        return tuned(given.model, given.own, others, CPU, given.seed)
    finally:
        for name, value in before.items():
            setattr(tuning, name, value)


def otherwise(given: Given, layers: str = "late", norms: str = "kept", loss=None) -> nn.Module:
    """The same steps with other layers moving, BatchNorm on its batches, or another loss."""
    model = copy.deepcopy(given.model).eval().requires_grad_(False)
    late = late_stages(model)
    moving = late if layers == "late" else model.get_classifier()
    moving.requires_grad_(True)
    for module in late.modules():
        if norms == "batch" and isinstance(module, _BatchNorm):
            module.train()
    optimizer = torch.optim.AdamW(moving.parameters(), tuning.RATE, weight_decay=tuning.DECAY)
    rng = np.random.default_rng(given.seed)
    features_of = before_the_classifier(model)
    for step in range(tuning.STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        half = tuning.BATCH // 2
        own = balanced(given.own.numbers, half, rng)
        beside = rng.integers(len(given.beside), size=half)
        maps = torch.cat([given.own.features[own], given.beside.features[beside]])
        numbers = np.concatenate([given.own.numbers[own], given.beside.numbers[beside]])
        numbers = torch.from_numpy(numbers)
        logits = late(turned(maps, rng).contiguous(memory_format=torch.channels_last))
        cost = F.cross_entropy(logits, numbers, label_smoothing=tuning.SMOOTHING)
        if loss is not None:
            cost = cost + loss(features_of[0], numbers)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    return model.eval()


def all_layers(given: Given) -> nn.Module:
    """Plain fine-tuning, half of each batch from the place."""
    model = copy.deepcopy(given.model).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), tuning.RATE, weight_decay=tuning.DECAY)
    rng = np.random.default_rng(given.seed)
    half = tuning.BATCH // 2
    for step in range(tuning.STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        own = balanced(given.own.numbers, half, rng)
        beside = rng.integers(len(given.beside), size=half)
        photos = torch.cat([given.photos[0][own], given.photos[1][beside]])
        numbers = np.concatenate([given.own.numbers[own], given.beside.numbers[beside]])
        images = turned(model.normalize(to_device(photos, CPU.device)), rng)
        logits = model(images.contiguous(memory_format=torch.channels_last))
        cost = F.cross_entropy(logits, torch.from_numpy(numbers), label_smoothing=tuning.SMOOTHING)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    return model.eval()


def before_the_classifier(model: nn.Module) -> list[torch.Tensor]:
    """A list whose only item is what the classifier was given last, (B, C)."""
    seen = [torch.empty(0)]
    model.get_classifier().register_forward_pre_hook(
        lambda _module, inputs: seen.__setitem__(0, inputs[0])
    )
    return seen


def metric(features: torch.Tensor, numbers: torch.Tensor, weight: float = 0.5) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362), temperature 0.1."""
    features = F.normalize(features, dim=1)
    itself = torch.eye(len(features), dtype=torch.bool)
    logits = (features @ features.T / 0.1).masked_fill(itself, -1e9)
    same = (numbers[:, None] == numbers[None]) & ~itself
    of_same = (logits.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)
    return -weight * of_same.mean()


def logistic(given: Given, rest: Maps) -> np.ndarray:
    """A logistic regression on the features before the classifier, of the labelled photos alone."""
    known, asked = (features(given.model, maps) for maps in (given.own, rest))
    scale = lambda x: (x - known.mean(0)) / np.maximum(known.std(0), 1e-6)  # noqa: E731
    fitted = LogisticRegression(C=0.01, max_iter=300).fit(scale(known), given.own.numbers)
    return fitted.predict(scale(asked))


def prototypes(given: Given, rest: Maps) -> np.ndarray:
    """The class whose mean feature is nearest by cosine (Snell et al. 2017, arXiv 1703.05175)."""
    known, asked = (
        F.normalize(torch.from_numpy(features(given.model, maps)), dim=1).numpy()
        for maps in (given.own, rest)
    )
    classes = np.unique(given.own.numbers)
    means = np.stack([known[given.own.numbers == one].mean(0) for one in classes])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return classes[(asked @ means.T).argmax(1)]


def features(model: nn.Module, maps: Maps) -> np.ndarray:
    model = copy.deepcopy(model)
    seen, found = before_the_classifier(model), []
    with torch.inference_mode():
        late = late_stages(model.eval())
        for some in maps.features.split(tuning.AT_ONCE):
            late(some)
            found.append(seen[0])
    return torch.cat(found).numpy()


NOTHING = "as it is"
FITTED = {
    "late stages (adapt)": adapted,
    "without training photos": partial(adapted, beside=False),
    "the classifier alone": partial(otherwise, layers="classifier"),
    "BatchNorm of its batches": partial(otherwise, norms="batch"),
    "metric loss beside": partial(otherwise, loss=metric),
    "three of four from the place": partial(adapted, SHARE=0.75),
    "one of four from the place": partial(adapted, SHARE=0.25),
}
PREDICTED = {"logistic regression": logistic, "prototypes": prototypes}
ALL = "all layers"
WAYS = [NOTHING, *PREDICTED, *FITTED, ALL]


def drawn(rows: pd.DataFrame, count: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """(places of `count` photos a class, places of the photos of all other leaves)."""
    rng = np.random.default_rng([draw, count])
    labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
    chosen, leaves = [], set()
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        taken = []
        for leaf in rng.permutation(np.unique(groups[of_class])):
            if len(taken) >= count:
                break
            photos = rng.permutation(of_class[groups[of_class] == leaf])[:OF_A_LEAF]
            taken += list(photos[: count - len(taken)])
            leaves.add(leaf)
        chosen += taken
    return np.array(chosen), np.flatnonzero(~np.isin(groups, list(leaves)))


def rows_of(run: str, rows: pd.DataFrame, jobs: list[tuple], done: pd.DataFrame):
    """A row of the study for each (way, photos, draw) that is not in it yet."""
    checkpoint = load_best(run)
    config = settings_of(checkpoint, {"num_workers": 0, "batch_size": 64})
    model, label2id = model_of(checkpoint), checkpoint["label2id"]
    beside = training_photos(run, checkpoint, seed=0)
    assert beside is not None, "the training photos have to be at hand"
    own = data_of(run, checkpoint, config, label2id)
    place, training, test = (
        maps_of(model, some, label2id, config, CPU, of)
        for some, of in (
            (rows, "the place"), (beside.train, "training photos"), (own.part("test"), "test"),
        )
    )  # fmt: skip
    pixels = lambda some: torch.cat(  # noqa: E731
        [photos for photos, _ in score_loader(some, label2id, config)]
    )
    photos = (pixels(rows), pixels(beside.train))
    name = f"seed {checkpoint['config']['seed']}"
    for way, count, draw in jobs:
        key = dict(zip(DONE, (name, way, count, draw)))
        if len(done) and (done[DONE] == pd.Series(key)).all(axis=1).any():
            continue
        chosen, rest = drawn(rows, count, draw)
        given = Given(model, place.part(chosen), training, draw, (photos[0][chosen], photos[1]))
        asked, began = place.part(rest), time.process_time()
        if way in PREDICTED:
            answers, at_home = PREDICTED[way](given, asked), None
        else:
            fitted = model if way == NOTHING else (FITTED | {ALL: all_layers})[way](given)
            answers, at_home = (
                logits_of_maps(fitted, maps, CPU).argmax(1) for maps in (asked, test)
            )
            if way == ALL:  # its early stages have moved: their maps are others now
                answers, at_home = (
                    logits_of(fitted, score_loader(some, label2id, config), CPU)[0]
                    .argmax(1)
                    .numpy()
                    for some in (rows.iloc[rest], own.part("test"))
                )
        row = key | {"f1": macro_f1(asked.numbers, answers), "scored": len(rest)}
        if at_home is not None:
            row["training_f1"] = macro_f1(test.numbers, at_home)
        yield row | {"cpu_s": time.process_time() - began, "cpu": cpu_name()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--data-dir")
    named.add_argument("--metadata")
    parser.add_argument("--photos", type=int, nargs="+", default=[3, 5, 10, 20], help="a class")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--table", type=Path, default=STUDY)
    arguments = parser.parse_args()
    config = Config(metadata=arguments.metadata, data_dir=arguments.data_dir)
    rows = dataset.load(config, load_best(arguments.runs[0])["label2id"]).rows
    if "group" not in rows:
        rows = rows.assign(group=find_groups([str(file) for file in rows["absolute_path"]]))
    jobs = [
        (way, count, draw)
        for count in arguments.photos
        for draw in range(arguments.draws)
        for way in arguments.ways
    ]
    for run in arguments.runs:
        table = pd.read_csv(arguments.table) if arguments.table.is_file() else pd.DataFrame()
        for row in rows_of(run, rows, jobs, table):
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            with whole(arguments.table) as file:
                table.to_csv(file, index=False, float_format="%.4g")
            print({name: row[name] for name in (*DONE, "f1")}, flush=True)
    means = table.groupby(["photos", "way"], sort=False)[["f1", "training_f1", "cpu_s"]]
    print(means.agg(["mean", "sem", "size"]).round(3).to_string())


if __name__ == "__main__":
    main()
