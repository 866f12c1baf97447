"""BatchNorm's statistics moved towards photos of another place: no labels, no training.

Another camera shifts what every channel of a network sees; some dozen photos of the place show by
how much (Schneider et al. 2020, arXiv 2006.16971).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lite0ca.adaptation.derived_run import derived_run, new_folder, source_of
from lite0ca.adaptation.familiarity import distance_of_both
from lite0ca.adaptation.maps import maps_of
from lite0ca.adaptation.training_photos import training_photos
from lite0ca.errors import InputError
from lite0ca.files.json_files import write_json
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.names import names_of
from lite0ca.formats.run_files import ADAPTED
from lite0ca.images.photo_batches import photo_batches, photo_paths, reading_threads
from lite0ca.machine.console import bar
from lite0ca.machine.device import Precision, device_of, to_device
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.distance import pooled
from lite0ca.model.late_stages import early_stages
from lite0ca.model.network import LeafClassifier
from lite0ca.settings.trained import settings_of

SHARE = 0.5  # of the photos in the new statistics; the rest stays as training left it (docs/log.md)
LEAST, MOST = 32, 2000  # photos: fewer say too little, more nothing new
LOOKED_AT = 500  # of them, for what is near them


def adapt_run(run: str, photos: list[str], output_dir: str | None, **typed) -> str:
    """Write a run folder with the adapted model, `RUN_adapted` or `output_dir`; returns its path.

    It is never sure: from which probability on it is right there, no label says. What is near the
    photos that it knows is seen anew, if the training photos are at hand.

    Raises `InputError` for fewer than `LEAST` photos, an unreadable one, and for a network without
    BatchNorm.
    """
    checkpoint = load_best(run)
    names, folder = names_of(run, checkpoint), new_folder(run, output_dir, "adapted")
    paths = [str(path) for path in np.random.default_rng(0).permutation(photo_paths(photos))]
    model, config = model_of(checkpoint), settings_of(checkpoint, {"batch_size": 64, **typed})
    keep_freed_memory()
    precision = Precision.for_answers(device_of(config.device), config.amp)
    model.to(precision.device, memory_format=torch.channels_last)
    with own_temporary_folder():
        adapt(model, batches_of(paths[:MOST], config), precision)
        distance = distance_of_place(run, checkpoint, model, paths[:LOOKED_AT], config, precision)
    moved = {"model": model.cpu().state_dict(), "names": names, "distance": distance}
    with derived_run(folder, run, checkpoint | moved | {"sure_from": None}) as made:
        write_json(made / ADAPTED, source_of(run) | {"photos": len(paths[:MOST]), "labels": False})
    return str(folder)


def distance_of_place(
    run: str, checkpoint: dict, model: LeafClassifier, paths: list[str], config, precision
) -> dict | None:
    """As a checkpoint keeps it: the maps have moved, so what is near has to be seen anew."""
    if model.distance is None or not (photos := training_photos(run, checkpoint, config.seed)):
        return None
    classes = checkpoint["label2id"]
    look = lambda rows, of: maps_of(model, rows, classes, config, precision, of).pooled  # noqa: E731
    training = look(photos.train, "training photos")
    others = None if photos.valid is None else look(photos.valid, "others of its place")
    early = early_stages(model)
    with torch.inference_mode():
        place = [
            pooled(early(model.normalize(to_device(batch, precision.device)))[1]).cpu()
            for batch in batches_of(paths, config)
        ]
    return distance_of_both(training, torch.cat(place).numpy(), others).as_dict()


def batches_of(paths: list[str], config) -> Iterator[torch.Tensor]:
    """uint8 photos (B, S, S, 3), B the same give or take one.

    Raises `InputError` for a bad one, and in the end if there were fewer than `LEAST`.
    """
    used, batches = 0, math.ceil(len(paths) / config.batch_size)
    even = [list(map(str, part)) for part in np.array_split(paths, batches)]
    stream = photo_batches(even, config.image_size, reading_threads(config.num_workers))
    for photos, files in bar(stream, "looking at the photos", batches):
        bad = next((problem for _, problem in files if problem), None)
        if bad and not config.skip_bad_images:
            raise InputError(f"{bad}; --skip-bad-images leaves such out")
        if photos is not None and len(photos) > 1:  # one has no spread in some layers
            used += len(photos)
            yield torch.from_numpy(photos)
    if used < LEAST:
        raise InputError(f"{used} photos say too little of a place: give {LEAST} or more")


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@torch.no_grad()
def adapt(
    model: nn.Module, batches: Iterable[torch.Tensor], precision: Precision, share: float = SHARE
) -> None:
    """Move BatchNorm's statistics, in place, `share` of the way to those of uint8 (B, H, W, 3)."""
    seen = copy.deepcopy(model).eval()
    if not (norms := norms_of(seen)):
        raise InputError("this network has no BatchNorm: there is nothing to adapt")
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for photos in batches:
        with precision.autocast():
            seen(seen.normalize(to_device(photos, precision.device)))
    theirs = dict(seen.named_buffers())
    for name, own in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            own.lerp_(theirs[name], share)
