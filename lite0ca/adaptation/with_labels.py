"""A run fitted to another place by a few labelled photos of it, and what that is worth there."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from lite0ca.adaptation import judgement
from lite0ca.adaptation.classes import classes_as_text, matched, widen, with_new
from lite0ca.adaptation.derived_run import derived_run, new_folder, source_of
from lite0ca.adaptation.familiarity import distance_of_both
from lite0ca.adaptation.maps import maps_of
from lite0ca.adaptation.training_photos import TrainingPhotos, training_photos
from lite0ca.adaptation.tuning import logits_of_maps, tuned
from lite0ca.data import dataset
from lite0ca.data.classes import classes_of
from lite0ca.data.near_duplicates import find_groups
from lite0ca.errors import InputError, printable
from lite0ca.evaluation.calibration import calibration
from lite0ca.evaluation.finished_run import is_training_data
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.files.json_files import write_json
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.files.tables import write_table
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.names import names_of
from lite0ca.formats.run_files import ADAPTED, LEARNED
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.network import LeafClassifier
from lite0ca.settings.config import Config
from lite0ca.settings.names import display_names, language
from lite0ca.settings.trained import settings_of

LEAST, MOST = 3, 200  # photos of a class: fewer cannot be divided, more are better trained with
SURE_AT_LEAST = 10  # answers by cross-validation, of which 95 % are right


@dataclass(frozen=True)
class Place:
    """What is known of the new place and of the training: rows with absolute_path, label, group."""

    rows: pd.DataFrame
    label2id: dict[str, int]  # the model's, and new classes behind
    name: str
    training: TrainingPhotos | None  # None if they are not at hand


def adapt_to_labels(run: str, output_dir: str | None, **typed) -> str:
    """Write a run folder with the fitted model, `RUN_adapted` or `output_dir`; returns its path.

    `typed` names the labelled photos by `data_dir` or `metadata`. Prints what it was worth, by
    cross-validation, and keeps that as `adaptation.json`. Raises `InputError`.
    """
    folder = new_folder(run, output_dir, "adapted")
    checkpoint = load_best(run)
    model = model_of(checkpoint)
    config = settings_of(checkpoint, typed)
    place = place_of(run, checkpoint, config, typed)
    names = names_of(run, checkpoint)
    classes = classes_of(place.label2id)
    called = dict(zip(classes, display_names(classes, names, language())))
    if len(classes) > len(checkpoint["label2id"]):
        widen(model, len(classes))
    keep_freed_memory()
    precision = Precision.for_answers(device_of(config.device), config.amp)
    model.to(precision.device, memory_format=torch.channels_last)
    with own_temporary_folder():
        found, adapted = fitted(model, place, config, precision)
    print(judgement.as_text(found["place"], called) if found["place"] else NOT_ASKED)
    if found["training"]:
        print(training_as_text(found["training"]))
    elif place.training is not None:
        print(NONE_KEPT_BACK)
    content = checkpoint | {
        "model": adapted.cpu().state_dict(),
        "names": names,
        "label2id": place.label2id,
        **found["calibration"],
    }
    content.pop("distance", None)
    if adapted.distance is not None:
        content["distance"] = adapted.distance.as_dict()
    with derived_run(folder, run, content) as made:
        write_json(made / ADAPTED, report_of(run, place, found))
        paths = [os.path.abspath(path) for path in place.rows["absolute_path"]]
        write_table(made / LEARNED, place.rows[["label", "group"]].assign(path=paths))
    return str(folder)


NOT_ASKED = (
    "no class has photos of two leaves: what the adaptation is worth cannot be said; label more"
)
NONE_KEPT_BACK = (
    "its training kept no photo back: what it loses on photos like those cannot be said"
)


def place_of(run: str, checkpoint: dict, config: Config, typed: dict) -> Place:
    """The labelled photos and, where they are at hand, those of the training."""
    data = dataset.load(config)
    if is_training_data(data, run, checkpoint, typed):
        raise InputError(f"{data.source}: the run was trained on these photos; give others")
    labels = matched(data.classes, checkpoint["label2id"])
    for label, known in labels.items():
        if label != known and label in set(data.rows["label"]):
            print(printable(f"{label} is taken for the model's class {known}"))
    rows = data.rows.assign(label=data.rows["label"].map(labels))
    data = dataset.without_bad_images(replace(data, rows=rows), config.skip_bad_images)
    rows = to_learn_from(data.rows)
    refuse_few(rows, data.source)
    if "group" not in rows:
        files = [str(file) for file in rows["absolute_path"]]
        rows = rows.assign(group=find_groups(files, lambda steps, total: bar(steps, FOUND, total)))
    label2id = with_new(list(rows["label"]), checkpoint["label2id"])
    if (most := int(rows["label"].value_counts().max())) > MOST:
        print(f"{most} photos of a class: with so many, train anew with them beside the others")
    training = training_photos(run, checkpoint, config.seed)
    counts = rows["label"].value_counts().to_dict()
    for line in classes_as_text(counts, checkpoint["label2id"], training is not None):
        print(line)
    rows = rows.reset_index(drop=True)
    return Place(rows, label2id, data.root.resolve().name, training)


FOUND = "looking for photos of one leaf"


def to_learn_from(rows: pd.DataFrame) -> pd.DataFrame:
    """The train split where there is one, so that the rest can test; else all."""
    if "split" not in rows or not (rows["split"] == "train").any():
        return rows
    kept = rows[rows["split"] == "train"]
    if others := len(rows) - len(kept):
        print(f"left for tests: {others:,} photos that are not in the train split")
    return kept


def refuse_few(rows: pd.DataFrame, source) -> None:
    counts = rows["label"].value_counts()
    if counts.min() < LEAST:
        raise InputError(
            f"{source}: {counts.min()} photos of {counts.idxmin()!r}; label {LEAST} or more of "
            "each class, 10 if you can, or leave the class out"
        )


def fitted(model: LeafClassifier, place: Place, config: Config, precision: Precision) -> tuple:
    """(what it is worth, the fitted model)."""
    look = lambda rows, of: maps_of(model, rows, place.label2id, config, precision, of)  # noqa: E731
    own = look(place.rows, "the labelled photos")
    beside = valid = None
    if place.training is not None:
        beside = look(place.training.train, "training photos")
        if place.training.valid is not None:
            valid = look(place.training.valid, "others of its training's place")
    before = logits_of_maps(model, own, precision)
    groups = place.rows["group"].to_numpy()
    fold = judgement.folds_of(own.numbers, groups, config.seed)
    after = np.zeros_like(before)
    for number in range(fold.max() + 1):
        rest, asked = own.part(fold != number), own.part(fold == number)
        steps = lambda s, n=number: bar(s, f"asking photos it did not learn from, {n + 1}")  # noqa: E731
        trained = tuned(model, rest, beside, precision, config.seed, steps)
        after[fold == number] = logits_of_maps(trained, asked, precision)
    steps = lambda s: bar(s, "fitting to all labelled photos")  # noqa: E731
    adapted = tuned(model, own, beside, precision, config.seed, steps)
    asked = fold >= 0
    found: dict = {"place": None, "training": None, "calibration": {"sure_from": None}}
    truth = own.numbers[asked]
    if asked.any():
        answers = (logits[asked].argmax(1) for logits in (before, after))
        classes = classes_of(place.label2id)
        found["place"] = judgement.judged(truth, *answers, groups[asked], classes)
        found["calibration"] = calibration_of_few(after[asked], truth)
    if valid is not None:
        found["training"] = {
            "images": len(valid),
            **{
                f"macro_f1_{name}": macro_f1(
                    valid.numbers, logits_of_maps(network, valid, precision).argmax(1)
                )
                for name, network in (("before", model), ("after", adapted))
            },
        }
    if beside is not None:
        others = None if valid is None else valid.pooled
        adapted.distance = distance_of_both(beside.pooled, own.pooled, others)
    return found, adapted


def calibration_of_few(logits: np.ndarray, truth: np.ndarray) -> dict:
    """As `calibration`, but never sure where too few answers would have to stand for it."""
    found = calibration(logits, truth)
    odds = softmax(logits / found["temperature"], axis=1)
    if (odds.max(axis=1) >= found["sure_from"]).sum() < SURE_AT_LEAST:
        print(
            "too few right answers to say from which probability on it is sure: the adapted model "
            "is sure of none"
        )
        found["sure_from"] = None
    return found


def training_as_text(found: dict) -> str:
    return (
        f"on {found['images']} photos of its training's valid split: macro-F1 "
        f"{found['macro_f1_before']:.3f} before, {found['macro_f1_after']:.3f} now"
    )


def report_of(run: str, place: Place, found: dict) -> dict:
    """Plain data: where the model comes from, and what it is worth."""
    return {
        **source_of(run),
        "data": place.name,
        "photos": {label: int(n) for label, n in place.rows["label"].value_counts().items()},
        "training_photos": 0 if place.training is None else len(place.training.train),
        "by_cross_validation": found["place"],
        "valid_split_of_training": found["training"],
    }
