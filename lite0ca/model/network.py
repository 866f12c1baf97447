"""A timm backbone, attention on its last feature map, pool, dropout, linear; and its weights' cost.

Shapes: B images, C channels, H x W pixels, h x w cells of the last feature map.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from lite0ca.errors import InputError
from lite0ca.model.attention import build_attention
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.settings.systems import System


class LeafClassifier(nn.Module):
    """(B, 3, H, W) normalised images -> (B, classes) logits.

    The backbone is timm's own, classifier included: `forward_head` pools, drops out and
    classifies. `normalize` is its weights' normalisation. `distance` is fitted at the end of a
    training.
    """

    backbone: Any  # one of timm's networks, which share methods but no class
    mean: torch.Tensor
    std: torch.Tensor
    distance: TrainingDistance | None

    def __init__(self, backbone: Any, attention: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.attention = attention
        self.distance = None
        cfg = backbone.pretrained_cfg
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(3, 1, 1), persistent=False)

    @property
    def pretrained_cfg(self) -> dict:
        return self.backbone.pretrained_cfg

    @property
    def num_classes(self) -> int:
        return self.backbone.num_classes

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB 0..255 (B, 3, H, W) -> float32, as the backbone's weights expect it."""
        return (images.float() / 255 - self.mean) / self.std

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.backbone.forward_features(x)  # B 3 H W -> B C h w
        return self.attention(x)  # B C h w

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return self.backbone.forward_head(x, pre_logits=pre_logits)  # B C h w -> B classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Features as `forward_features` gives them, and the maps that `distance` is read from."""
        x, maps = self.backbone.forward_intermediates(x, indices=strided(self.backbone))
        return self.attention(x), maps  # B C h w

    def with_distance(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, 3, H, W) -> logits (B, classes), and (B,) how far from the training photos; None of
        a network that does not know them.
        """
        if self.distance is None:
            return self(x), None
        features, maps = self.forward_intermediates(x)
        return self.forward_head(features), self.distance(maps)

    def get_classifier(self) -> nn.Module:
        return self.backbone.get_classifier()

    def head_parameters(self) -> list[nn.Parameter]:
        """What starts fresh on a pretrained backbone: attention and classifier."""
        return [*self.attention.parameters(), *self.get_classifier().parameters()]


class WithDistance(nn.Module):
    """(B, 3, H, W) -> logits (B, classes) and distances (B,) of a network that knows its training
    photos: what an exported file computes.
    """

    def __init__(self, network: LeafClassifier):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.network.with_distance(x)


def exported_as(network: LeafClassifier) -> LeafClassifier | WithDistance:
    """What is traced of a network: with its distances, if it has them."""
    return network if network.distance is None else WithDistance(network).eval()


def build_model(
    system: System, classes: int, image_size: int = 224, dropout: float = 0.2, **backbone
) -> LeafClassifier:
    """The network of a system with random weights. Raises `InputError` for a wrong backbone."""
    if not timm.is_model(system.backbone):
        raise InputError(f"--backbone {system.backbone}: timm {timm.__version__} has no such model")
    try:
        net = timm.create_model(system.backbone, num_classes=classes, drop_rate=dropout, **backbone)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"--backbone {system.backbone}: {error}") from None
    channels, height, width = feature_shape(net, system.backbone, image_size)
    attention = build_attention(system.attention, channels, (height, width), system.reduction)
    return LeafClassifier(net, attention)


def feature_shape(backbone: Any, name: str, image_size: int) -> tuple[int, int, int]:
    """(C, h, w) of the last feature map at an image size."""
    backbone.eval()
    try:
        with torch.inference_mode():
            shape = backbone.forward_features(torch.zeros(1, 3, image_size, image_size)).shape
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--backbone {name} at --image-size {image_size}: {error}") from None
    backbone.train()
    if len(shape) != 4 or shape[1] != getattr(backbone, "num_features", None):
        raise InputError(f"--backbone {name}: its features are no (B, C, h, w) map; use a CNN")
    _, channels, height, width = shape
    return channels, height, width


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def mac_count(model: nn.Module, image_size: int) -> int:
    """Multiply-accumulates of one image: convolutions and matrix products, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode  # which imports triton

    training = model.training
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(training)
    return counter.get_total_flops() // 2
