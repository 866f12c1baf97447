"""What a trained model is asked: with which settings, on which photos; and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch

from lite0ca.data import dataset
from lite0ca.data.classes import classes_of
from lite0ca.errors import InputError
from lite0ca.evaluation.certainty import is_sure
from lite0ca.evaluation.finished_run import (
    choose,
    data_of,
    is_training_data,
    learned_from,
    part_at_end,
    trained_as,
)
from lite0ca.evaluation.inference import answers_of_batches, network_of
from lite0ca.evaluation.together import known_names
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.metadata import limit_of
from lite0ca.formats.opening import Exported
from lite0ca.images.background import leaf_mask, with_background
from lite0ca.images.loaders import score_loader
from lite0ca.images.photo_store import PhotoReader
from lite0ca.machine.device import CPU, Precision, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.settings.config import Config
from lite0ca.settings.names import display_names, language


@dataclass(frozen=True)
class Answers:
    """What a trained model was asked, and what it answered: the rows as `answers_of` gives them."""

    run: str  # as it was named: a folder, a checkpoint, an exported file; the first of several
    metadata: dict
    config: Config
    data: dataset.DataSet
    part: str  # of the data
    rows: pd.DataFrame
    background: str | None = None
    own: bool = False  # whether the run learned from this data
    at_end: bool = False  # whether it is what the run's training scores at its end
    learned: int = 0  # of the photos, those that the run was fitted to when it was adapted
    others: tuple[str, ...] = ()  # runs that answered together with the first
    looks: int = 1  # at each photo

    @property
    def classes(self) -> list[str]:
        return classes_of(self.metadata["label2id"])

    @cached_property
    def names(self) -> list[str]:
        """What people call the classes, in this session's language."""
        return display_names(self.classes, self.known_names, language())

    @property
    def known_names(self) -> dict[str, dict[str, str]]:
        """Class -> its name by language; of several runs as they know it together."""
        return known_names(self.run, self.metadata)


def answered(run: str, part: str | None, typed: dict, background: str | None = None) -> Answers:
    """A model's answers on one part of its own data, or of what was `typed`.

    With one of `background.KINDS` it is asked about the photos with a plain background, changed so.
    """
    metadata, model, config = network_of(run, typed)
    trained = trained_as(run, metadata)
    data = data_of(run, trained, config, metadata["label2id"])
    own = is_training_data(data, run, trained, typed)
    by_itself = "split" in data.rows and part_at_end(data)
    data, part = choose(data, part)
    at_end = own and part == by_itself and not (background or format_of(run))
    data = dataset.without_bad_images(data, config.skip_bad_images)
    change = None
    if background:
        data = with_plain_background(data, config.image_size)
        change = partial(with_background, kind=background)
    keep_freed_memory()
    photos = score_loader(data.rows, metadata["label2id"], config, change=change)
    rows = with_answers(data.rows, photos, metadata, model, config)
    if learned := learned_from(rows, run):
        print(
            f"{learned:,} of {len(rows):,} photos were learned from by adapt: expect less on others"
        )
    return Answers(run, metadata, config, data, part, rows, background, own, at_end, learned)


def with_answers(rows: pd.DataFrame, photos, metadata: dict, model, config: Config) -> pd.DataFrame:
    """The rows with what the model says to their `photos`, which a loader gives.

    `answers_of` says which columns that are.
    """
    device = CPU.device if isinstance(model, Exported) else device_of(config.device)
    precision = Precision.for_answers(device, config.amp)
    model.to(precision.device, memory_format=torch.channels_last)
    logits, distances, _ = answers_of_batches(model, photos, precision)
    probabilities = (logits / metadata.get("temperature", 1.0)).softmax(dim=1)
    distance = None if distances is None else distances.numpy()
    return with_probabilities(rows, probabilities.numpy(), distance, metadata)


def with_probabilities(
    rows: pd.DataFrame, probabilities: np.ndarray, distance: np.ndarray | None, metadata: dict
) -> pd.DataFrame:
    """The rows with what (N, classes) probabilities and (N,) distances say, as `answers_of`."""
    confidence, number = probabilities.max(axis=1), probabilities.argmax(axis=1)
    classes = classes_of(metadata["label2id"])
    answer = [classes[n] for n in number.tolist()]
    known = {"confidence": confidence, "probabilities": list(probabilities)}
    known |= {} if distance is None else {"distance": distance}
    sure = is_sure(known["confidence"], distance, limit_of(metadata))
    return rows.assign(answer=answer, **known, sure=sure)


def answers_of(run: str, part: str | None = None, background=None, **typed) -> pd.DataFrame:
    """The rows of one part of a run's data with the model's `answer` and `confidence` 0..1.

    `probabilities` are (classes,) arrays, in the order of the classes' numbers. `distance` is how
    far from the training photos, 1 the limit; a run before 0.5 does not know, and the column is
    not there. `sure` says whether the answer is.
    """
    return answered(run, part, typed, background).rows


def with_plain_background(data: dataset.DataSet, image_size: int) -> dataset.DataSet:
    """The photos on which leaf and background can be told apart; says how many."""
    reader = PhotoReader(image_size)
    plain = [leaf_mask(reader(str(file))) is not None for file in data.rows["absolute_path"]]
    if not any(plain):
        raise InputError(f"{data.source}: no photo has a plain background to be changed")
    print(f"a plain background: {sum(plain)} of {len(plain)} photos")
    return replace(data, rows=data.rows[plain].reset_index(drop=True))
