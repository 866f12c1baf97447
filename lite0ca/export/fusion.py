"""The network as it is shipped: the same function in fewer operations, at one image size.

BatchNorm is folded into the convolutions before it, TensorFlow's "same" padding is computed once
instead of at each run, and Coordinate Attention has no concatenation, split or transpose, which
some runtimes cannot keep inside their fast part.
"""

from __future__ import annotations

import copy
import itertools

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.layers.coord_attn import CoordAttn
from timm.layers.padding import pad_same_arg
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lite0ca.model.attention import InferenceCoordAttn
from lite0ca.model.network import LeafClassifier


def fused(model: LeafClassifier, image_size: int) -> LeafClassifier:
    """A copy of a trained model that answers as it does, to float32's rounding; it cannot train."""
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)  # exporters trace less
    pad_once(model, image_size)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CoordAttn) and not child.has_skip:
                setattr(parent, name, InferenceCoordAttn(child))
    for parent in list(model.modules()):
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in itertools.pairwise(children):
            # timm defines each convolution just before its norm
            plain = unpadded(conv)
            if type(plain) is nn.Conv2d and isinstance(norm, nn.BatchNorm2d):
                folded = fuse_conv_bn_eval(plain, norm)
                if plain is not conv:
                    folded = nn.Sequential(conv[0], folded)
                setattr(parent, conv_name, folded)
                setattr(parent, norm_name, after(norm))
    return model


def unpadded(conv: nn.Module) -> nn.Module:
    """The convolution itself: one with uneven padding is the last of a Sequential."""
    return conv[-1] if isinstance(conv, nn.Sequential) and len(conv) else conv


def after(norm: nn.BatchNorm2d) -> nn.Module:
    """What a norm does beside normalising: timm's own carries its activation."""
    return norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity()


def pad_once(model: LeafClassifier, image_size: int) -> None:
    """Replace convolutions that pad by the size of their input, in place."""
    sizes, watched = {}, []
    for module in model.modules():
        if isinstance(module, Conv2dSame):
            note = lambda conv, inputs: sizes.update({conv: inputs[0].shape[-2:]})  # noqa: E731
            watched.append(module.register_forward_pre_hook(note))
    with torch.inference_mode():
        model(torch.zeros(1, 3, image_size, image_size))
    for hook in watched:
        hook.remove()
    for parent in list(model.modules()):
        for name, conv in list(parent.named_children()):
            if conv in sizes:
                setattr(parent, name, padded(conv, sizes[conv]))


def padded(conv: Conv2dSame, size: tuple[int, int]) -> nn.Module:
    """The convolution with fixed padding, of its own where that is the same on both sides."""
    left, right, top, bottom = pad_same_arg(size, conv.kernel_size, conv.stride, conv.dilation)
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        (top, left) if (left, top) == (right, bottom) else 0,
        conv.dilation,
        conv.groups,
        conv.bias is not None,
    )
    plain.load_state_dict(conv.state_dict())
    plain.eval()
    if any(plain.padding):
        return plain
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain)
