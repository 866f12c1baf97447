"""What a trained model is asked: with which settings, on which photos; and what it answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd

from lite0ca.data import dataset
from lite0ca.errors import InputError
from lite0ca.evaluation.finished_run import choose, data_of
from lite0ca.evaluation.inference import logits_of
from lite0ca.formats.opening import open_model
from lite0ca.images.background import leaf_mask, with_background
from lite0ca.images.cache import PhotoReader
from lite0ca.images.loaders import score_loader
from lite0ca.machine.device import Precision, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of


def answered(
    run: str, part: str | None, typed: dict, background: str | None = None
) -> tuple[dict, Config, dataset.DataSet, str, pd.DataFrame]:
    """(metadata of the model, settings, the data, the part of it, its rows as `answers_of`).

    With one of `background.KINDS` it is asked about the photos with a plain background, changed so.
    """
    metadata, model = open_model(run, typed.get("image_size"))
    config = settings_of(metadata, typed)
    data, part = choose(data_of(run, metadata, config), part)
    data = dataset.without_bad_images(data, config.skip_bad_images)
    change = None
    if background:
        data = with_plain_background(data, config.image_size)
        change = partial(with_background, kind=background)
    precision = Precision.of(device_of(config.device), config.amp)
    keep_freed_memory()
    model.to(precision.device)
    label2id = metadata["label2id"]
    photos = score_loader(data.rows, label2id, config, change=change)
    logits, _ = logits_of(model, photos, precision)
    probabilities = (logits / metadata.get("temperature", 1.0)).softmax(dim=1)
    confidence, number = probabilities.max(dim=1)
    names = {number: label for label, number in label2id.items()}
    answer = [names[n] for n in number.tolist()]
    known = {"confidence": confidence.numpy(), "probabilities": list(probabilities.numpy())}
    rows = data.rows.assign(answer=answer, **known)
    return metadata, config, data, part, rows


def answers_of(run: str, part: str | None = None, background=None, **typed) -> pd.DataFrame:
    """The rows of one part of a run's data with the model's `answer` and `confidence` 0..1.

    `probabilities` are (classes,) arrays, in the order of the classes' numbers.
    """
    return answered(run, part, typed, background)[-1]


def with_plain_background(data: dataset.DataSet, image_size: int) -> dataset.DataSet:
    """The photos on which leaf and background can be told apart; says how many."""
    reader = PhotoReader(image_size)
    plain = [leaf_mask(reader(str(file))) is not None for file in data.rows["absolute_path"]]
    if not any(plain):
        raise InputError(f"{data.source}: no photo has a plain background to be changed")
    print(f"a plain background: {sum(plain)} of {len(plain)} photos")
    return replace(data, rows=data.rows[plain].reset_index(drop=True))
