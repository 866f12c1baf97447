"""A timm backbone, attention on its last feature map, pool, dropout, linear; and its weights' cost.

Shapes: B images, C channels, H x W pixels, h x w cells of the last feature map.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.layers.bottleneck_attn import BottleneckAttn
from timm.layers.coord_attn import CoordAttn
from timm.layers.eca import EcaModule
from timm.models import EfficientNet, register_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lite0ca.errors import InputError
from lite0ca.systems import SYSTEMS, System


class LeafClassifier(nn.Module):
    """(B, 3, H, W) normalised images -> (B, classes) logits.

    The backbone is timm's own, classifier included: `forward_head` pools, drops out and
    classifies. `normalize` is its weights' normalisation.
    """

    backbone: Any  # one of timm's networks, which share methods but no class
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Any, attention: nn.Module, inside: bool = False):
        super().__init__()
        self.backbone = backbone
        self.attention = attention
        self.inside = inside  # attention stands before the backbone's last 1x1 convolution
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
        if self.inside:
            x = self.backbone.blocks(self.backbone.bn1(self.backbone.conv_stem(x)))
            x = self.attention(x)  # B c h w
            return self.backbone.bn2(self.backbone.conv_head(x))  # B C h w
        x = self.backbone.forward_features(x)  # B 3 H W -> B C h w
        return self.attention(x)  # B C h w

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return self.backbone.forward_head(x, pre_logits=pre_logits)  # B C h w -> B classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.backbone.get_classifier()

    def head_parameters(self) -> list[nn.Parameter]:
        """What starts fresh on a pretrained backbone: attention and classifier."""
        return [*self.attention.parameters(), *self.get_classifier().parameters()]


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


class OpenGate(nn.Module):
    """A sigmoid twice as high: a gate that knows nothing yet lets its features pass unchanged."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x.sigmoid()


def coordinate_attention(channels: int, reduction: int, **timm_options) -> CoordAttn:
    """Hou et al. 2021 (arXiv 2103.02907): timm's layer with the paper's bottleneck and biases."""
    bottleneck = max(8, channels // reduction)
    return CoordAttn(channels, rd_channels=bottleneck, bias=True, **timm_options)


def open_coordinate_attention(channels: int, reduction: int) -> CoordAttn:
    """The same, equal to no attention at first: two fresh sigmoid gates leave a quarter of it."""
    attention = coordinate_attention(channels, reduction, gate_layer=OpenGate)
    for conv in (attention.conv_h, attention.conv_w):
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    return attention


def build_attention(kind: str, channels: int, cells: tuple[int, int], reduction: int) -> nn.Module:
    """One of `systems.ATTENTIONS` for a (B, channels, *cells) map; 'ca+bot' is CA, then BoT."""
    if kind == "none":
        return nn.Identity()
    if kind in ("ca", "ca-stage"):
        return coordinate_attention(channels, reduction)
    if kind == "ca-open":
        return open_coordinate_attention(channels, reduction)
    if kind == "eca":
        return EcaModule(channels)
    if channels % 4:
        raise InputError(f"--attention {kind}: 4 heads do not divide {channels} channels")
    bot = ResidualAttention(BottleneckAttn(channels, feat_size=cells, num_heads=4), channels)
    if kind == "bot":
        return bot
    return nn.Sequential(coordinate_attention(channels, reduction), bot)


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
    inside = system.attention == "ca-stage"
    if inside:
        if not isinstance(net, EfficientNet):
            raise InputError(
                f"--attention ca-stage: {system.backbone} has no 1x1 convolution after its last "
                "stage, or pools before it; use --attention ca"
            )
        channels = net.conv_head.in_channels
    attention = build_attention(system.attention, channels, (height, width), system.reduction)
    return LeafClassifier(net, attention, inside)


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
    training = model.training
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(training)
    return counter.get_total_flops() // 2


def model_of(checkpoint: dict, image_size: int | None = None) -> LeafClassifier:
    """The trained network of a checkpoint, ready to answer; raises `InputError` if it cannot be."""
    config = checkpoint["config"]
    trained_at = config["image_size"]
    image_size = image_size or trained_at
    system = System(**checkpoint["system"])
    if "bot" in system.attention and image_size != trained_at:
        raise InputError(
            f"--image-size {image_size}: the positions of {system.name}'s self-attention belong to "
            f"{trained_at} pixels; use --image-size {trained_at}, or train at {image_size}"
        )
    model = build_model(system, len(checkpoint["label2id"]), image_size, config["dropout"])
    try:
        model.load_state_dict(checkpoint["model"])
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"the checkpoint does not fit {system.name}: {reason}") from None
    if bad := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
        raise InputError(f"the checkpoint holds NaN or infinity in {bad[0]}: it answers nothing")
    return model.eval()


@register_model
def efficientnet_lite0_ca(
    pretrained: bool = False, num_classes: int = 4, drop_rate: float = 0.2, **kwargs
) -> LeafClassifier:
    """timm's name for the contract's network; `pretrained` loads the ImageNet backbone."""
    from lite0ca.weights import load_imagenet

    passed_by_timm = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    backbone = {name: value for name, value in kwargs.items() if name not in passed_by_timm}
    system = SYSTEMS["EfficientNet_Lite0_CA"]
    model = build_model(system, num_classes, dropout=drop_rate, **backbone)
    if pretrained:
        load_imagenet(model)
    return model
