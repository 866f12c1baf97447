"""Attention on the last feature map: Coordinate Attention, ECA, self-attention."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.bottleneck_attn import BottleneckAttn
from timm.layers.coord_attn import CoordAttn
from timm.layers.eca import EcaModule
from torch import nn

from lite0ca.errors import InputError
from lite0ca.settings.systems import FORMER_ATTENTIONS


class ResidualAttention(nn.Module):
    """x + norm(attention(x)), as in BoTNet's block (Srinivas et al. 2021, arXiv 2101.11605).

    Its norm starts at zero (`zero_init_last` in timm's ResNets), so a pretrained backbone's
    features pass unchanged until self-attention has learned something.
    """

    def __init__(self, attention: nn.Module, channels: int):
        super().__init__()
        self.attention = attention
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.attention(x))  # B C h w


def coordinate_attention(channels: int, reduction: int) -> CoordAttn:
    """Hou et al. 2021 (arXiv 2103.02907): timm's layer with the paper's bottleneck and biases."""
    bottleneck = max(8, channels // reduction)
    return CoordAttn(channels, rd_channels=bottleneck, bias=True)


def build_attention(kind: str, channels: int, cells: tuple[int, int], reduction: int) -> nn.Module:
    """One of `systems.ATTENTIONS` for a (B, channels, *cells) map; 'ca+bot' is CA, then BoT."""
    if kind in FORMER_ATTENTIONS:
        raise InputError(f"attention {kind}: only lite0ca 0.1 builds it; export the run with that")
    if kind == "none":
        return nn.Identity()
    if kind == "ca":
        return coordinate_attention(channels, reduction)
    if kind == "eca":
        return EcaModule(channels)
    if channels % 4:
        raise InputError(f"--attention {kind}: 4 heads do not divide {channels} channels")
    bot = ResidualAttention(BottleneckAttn(channels, feat_size=cells, num_heads=4), channels)
    if kind == "bot":
        return bot
    return nn.Sequential(coordinate_attention(channels, reduction), bot)


class InferenceCoordAttn(nn.Module):
    """Coordinate Attention for scoring: a gate for each row and one for each column."""

    gate: Any  # a module; to timm's types perhaps None

    def __init__(self, attention: CoordAttn):
        super().__init__()
        self.squeeze, self.norm, self.activation = attention.conv1, attention.bn1, attention.act
        self.to_rows, self.to_columns = attention.conv_h, attention.conv_w
        self.gate = attention.gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)  # B C h 1, B C 1 w
        rows, columns = (
            self.activation(self.norm(self.squeeze(pooled))) for pooled in (rows, columns)
        )  # B C/r h 1, B C/r 1 w
        return x * self.gate(self.to_columns(columns)) * self.gate(self.to_rows(rows))  # B C h w
