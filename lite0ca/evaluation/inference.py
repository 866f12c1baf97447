"""Photos -> what a torch network says of them, batch by batch."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn

from lite0ca.evaluation.certainty import tell_of_another_size
from lite0ca.formats.exported_file import refuse_mixed_precision
from lite0ca.formats.opening import Exported, open_model
from lite0ca.machine.console import bar
from lite0ca.machine.cuda_graphs import Replayed
from lite0ca.machine.device import Precision, to_device
from lite0ca.model.distance import pooled
from lite0ca.model.network import LeafClassifier
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of


def network_of(source: str, typed: dict) -> tuple[dict, nn.Module, Config]:
    """(what it says of itself, network, settings with those that were `typed` over its own) of a
    run, a checkpoint or an exported file. Raises `InputError`.
    """
    metadata, network = open_model(source, typed.get("image_size"), typed.get("device", "auto"))
    if isinstance(network, Exported):  # a run's folder may be called as files are
        refuse_mixed_precision(source, typed.get("amp"))
    config = settings_of(metadata, typed)
    tell_of_another_size(metadata, config.image_size)
    return metadata, network, config


class Network:
    """A network on its device, asked as an `ExportedFile` is: on cuda by CUDA graphs."""

    def __init__(self, model: nn.Module, precision: Precision):
        self.model = model.to(precision.device, memory_format=torch.channels_last).eval()
        self.precision = precision
        self.replayed = Replayed(partial(answered, self.model, precision), precision.device)

    @torch.inference_mode()
    def answers(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 RGB (B, S, S, 3) -> float32 logits (B, classes), distances (B,) if it has them."""
        images = to_device(torch.from_numpy(photos), self.precision.device)
        logits, distances = (
            None if found is None else found.cpu().numpy() for found in self.replayed(images)
        )
        return logits, distances

    @torch.inference_mode()
    def features_and_logits(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 RGB (B, S, S, 3) -> float32 (B, C), pooled behind the attention; (B, classes)."""
        with self.precision.autocast():
            images = to_device(torch.from_numpy(photos), self.precision.device)
            maps = self.model.forward_features(self.model.normalize(images))  # B C h w
            logits = self.model.forward_head(maps)
        return maps.float().mean((2, 3)).cpu().numpy(), logits.float().cpu().numpy()


def answered(
    model: nn.Module, precision: Precision, photos: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """uint8 (B, 3, S, S) on the device -> float32 logits (B, classes), distances (B,) or None."""
    with precision.autocast():
        logits, distances = model.with_distance(model.normalize(photos))
    return logits.float(), None if distances is None else distances.float()


@torch.inference_mode()
def answers_of_batches(
    model: LeafClassifier, loader, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """(logits (N, classes), distances (N,) or None, class numbers (N,)) of a loader's photos.

    float32 on the CPU. `distances` are to the training photos, of a network that knows them.
    """
    model.eval()
    logits, distances, numbers = [], [], []
    for photos, number in bar(loader, "scoring"):
        some, far = answered(model, precision, to_device(photos, precision.device))
        logits.append(some)
        distances += [] if far is None else [far]
        numbers.append(number)
    found = torch.cat(distances).cpu() if distances else None
    return torch.cat(logits).cpu(), found, torch.cat(numbers)


def logits_of(model: LeafClassifier, loader, precision: Precision) -> tuple[torch.Tensor, ...]:
    """(logits (N, classes) float32, class numbers (N,)) of all batches of a loader, on the CPU."""
    logits, _, numbers = answers_of_batches(model, loader, precision)
    return logits, numbers


@torch.inference_mode()
def looked_at(model: LeafClassifier, loader, precision: Precision, what: str) -> tuple:
    """(pooled maps (N, D), logits (N, classes), class numbers (N,)) of a loader's photos, numpy.

    D are the channels of the maps that a distance is read from.
    """
    model.eval()
    maps, logits, numbers = [], [], []
    for photos, number in bar(loader, what):
        photos = to_device(photos, precision.device)
        with precision.autocast():
            features, found = model.forward_intermediates(model.normalize(photos))
            logits.append(model.forward_head(features).float())
        maps.append(pooled(found).float())
        numbers.append(number)
    return tuple(torch.cat(values).cpu().numpy() for values in (maps, logits, numbers))
