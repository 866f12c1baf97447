"""Channels of one scale: an int8 tensor has one step for all of them, and the largest one sets it.

Between the blocks of a MobileNet-like network nothing bends the features, they are only added up.
There each channel may be divided by a number if whatever reads it multiplies by the same: the
network stays the same function (cross-layer equalisation, Nagel et al. 2019, arXiv 1906.04721).
"""

from __future__ import annotations

import copy

import torch
from timm.models._efficientnet_blocks import (
    DepthwiseSeparableConv,
    EdgeResidual,
    InvertedResidual,
)
from torch import nn

from lite0ca.export.fusion import unpadded
from lite0ca.model.distance import strided
from lite0ca.model.network import LeafClassifier

# block: (the convolution that reads the features, the one that writes them)
ENDS = {
    DepthwiseSeparableConv: ("conv_dw", "conv_pw"),
    InvertedResidual: ("conv_pw", "conv_pwl"),
    EdgeResidual: ("conv_exp", "conv_pwl"),
}


def equalized(model: LeafClassifier, images: torch.Tensor) -> LeafClassifier:
    """A copy whose features between blocks have, on (N, 3, S, S) images, one range a channel.

    `model` is a `fused` one. Stages with other blocks stay as they are. The distance to the
    training photos takes the scales of the maps that it is read from.
    """
    model = copy.deepcopy(model)
    stages = list(getattr(model.backbone, "blocks", []))
    scales = {}
    for number, stage in enumerate(stages):
        following = stages[number + 1][0] if number + 1 < len(stages) else None
        readers = [*list(stage)[1:], *([following] if following is not None else [])]
        if not all(type(block) in ENDS for block in [*stage, *readers]):
            continue
        largest = ranges_of(model, stage, images)  # C
        scale = largest / largest.square().mean().sqrt()
        scale = torch.where(scale > 0, scale, 1.0).clamp(min=1e-2)
        for block in stage:
            writer = unpadded(getattr(block, ENDS[type(block)][1]))
            writer.weight.data /= scale.view(-1, 1, 1, 1)
            if writer.bias is not None:
                writer.bias.data /= scale
        for conv in [getattr(block, ENDS[type(block)][0]) for block in readers]:
            reads(unpadded(conv), scale)
        if following is None:
            reads(unpadded(model.backbone.conv_head), scale)
        scales[number] = scale
    if model.distance is not None and scales:
        model.distance = model.distance.of_divided(scales_of_maps(model.backbone, scales))
    return model


def scales_of_maps(backbone, scales: dict[int, torch.Tensor]) -> torch.Tensor:
    """(D,): the scale of each channel that the distance is read from; 1 where none was changed."""
    of_maps = []
    for number in strided(backbone):
        stage = backbone.feature_info[number]
        # timm counts the stem as the first.
        of_maps.append(scales.get(stage["stage"] - 1, torch.ones(stage["num_chs"])))
    return torch.cat(of_maps)


def reads(conv: nn.Conv2d, scale: torch.Tensor) -> None:
    """Multiply what the convolution makes of each input channel."""
    depthwise = conv.groups > 1
    conv.weight.data *= scale.view(-1, 1, 1, 1) if depthwise else scale.view(1, -1, 1, 1)


@torch.inference_mode()
def ranges_of(model: nn.Module, stage: nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    """(C,): the largest magnitude of each channel behind any block of a stage."""
    seen = []
    note = lambda _block, _inputs, features: seen.append(features.abs().amax(dim=(0, 2, 3)))  # noqa: E731
    hooks = [block.register_forward_hook(note) for block in stage]
    for batch in images.split(8):
        model(batch)
    for hook in hooks:
        hook.remove()
    return torch.stack(seen).amax(dim=0)
