"""Weights that int8 keeps exactly: rounded layer by layer so that a layer's outputs change least.

Every int8 tool scales a channel's largest weight to 127 or so and rounds the others to the nearest.
In the stem and the depthwise convolutions of Lite0 nearest is bad: a filter that should answer
nothing on an even surface has nine or 27 rounding errors that add up to a constant. GPTQ
(Frantar et al. 2022, arXiv 2210.17323) rounds one weight after the other and lets the rest make up
for the error, by the second moments of the layer's real inputs. What comes out is float32 again,
each weight a whole multiple of its channel's scale, so every format's own rounding finds it exact.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

DAMPING = 1e-4  # of the mean diagonal, most of which is the inputs' constant part
POSITIONS = 20_000  # of a layer's inputs that its moments are taken over
# (pixel - 128) / 127.5: int8 holds it exactly. (pixel - 127.5) / 127.5, as Lite0 has it, is half a
# step beside it everywhere, which costs more than all other activations together.
MEAN, STD = 128 / 255, 0.5


class Enough(Exception):
    """The layer that is looked at has seen its input; the rest of the network need not run."""


def rounded(network: nn.Module, images: torch.Tensor, top: int, bar: Callable = iter) -> nn.Module:
    """A copy of `network` with all weights of convolutions and linear layers on an integer grid.

    `images` are (N, 3, S, S) normalised photos of the training split; the largest weight of each
    channel becomes `top` steps. A layer's inputs are those
    that the already rounded layers before it give, and its bias then brings the mean of each
    output channel back to what it was (Nagel et al. 2019, arXiv 1906.04721).
    """
    exact, network = network, copy.deepcopy(network).eval()
    layers = in_order(exact, images[:1])
    wanted_means = mean_outputs(exact, layers, images)
    for wanted, layer in bar(list(zip(wanted_means, in_order(network, images[:1])))):
        moments, mean = moments_of(network, layer, images)
        weight = layer.weight.data
        grid = on_grid(weight.flatten(1).double(), moments, top)
        layer.weight.data = grid.view_as(weight).float()
        shift = (wanted - mean_output(layer.weight.data, mean)).float()
        layer.bias = nn.Parameter(shift if layer.bias is None else layer.bias.data + shift)
    return network


def mean_output(weight: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """(O,) of (O, …) weights on mean inputs (groups, I), without the bias."""
    grouped = weight.flatten(1).double().view(len(mean), -1, mean.shape[1])  # groups O/groups I
    return (grouped * mean.unsqueeze(1)).sum(dim=2).flatten()


def taking_pixels(network: nn.Module, mean: list[float], std: list[float]) -> nn.Module:
    """A copy of `network` for pixels normalised with `MEAN` and `STD` instead of its own.

    The first convolution takes over the difference. Its padding then stands for 128 instead of
    the mean colour, so the outermost cells change a little.
    """
    network = copy.deepcopy(network)
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    shift = (first.weight.data * ((MEAN - mean) / std)).sum(dim=(1, 2, 3))  # O
    first.weight.data = first.weight.data * (STD / std)
    first.bias = nn.Parameter(shift if first.bias is None else first.bias.data + shift)
    return network


def in_order(network: nn.Module, image: torch.Tensor) -> list[nn.Module]:
    """The layers with weights, as they are run; one that is run twice stands once."""
    seen = {}
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(lambda one, *_: seen.setdefault(one)) for layer in layers]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return list(seen)


@torch.inference_mode()
def mean_outputs(
    network: nn.Module, layers: list[nn.Module], images: torch.Tensor
) -> list[torch.Tensor]:
    """`mean_output` of each layer, in one pass over the images."""
    sums, counts, seen = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0), set()

    def note(layer, inputs):
        if layer in seen:  # its first run counts, as in `moments_of`
            return
        seen.add(layer)
        some = some_columns(layer, inputs[0], len(images))
        sums[layer] = sums[layer] + some.double().sum(dim=2)
        counts[layer] += some.shape[2]

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    for batch in images.split(8):
        seen.clear()
        network(batch)
    for hook in hooks:
        hook.remove()
    return [mean_output(layer.weight.data, sums[layer] / counts[layer]) for layer in layers]


@torch.inference_mode()
def moments_of(
    network: nn.Module, layer: nn.Module, images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Second moments (groups, I, I) and means (groups, I) of the I inputs of an output channel."""
    total, sums, count = 0, 0, 0

    def note(_layer, inputs):
        nonlocal total, sums, count
        some = some_columns(layer, inputs[0], len(images))
        total = total + torch.bmm(some, some.transpose(1, 2)).double()
        sums, count = sums + some.double().sum(dim=2), count + some.shape[2]
        raise Enough

    hook = layer.register_forward_pre_hook(note)
    for batch in images.split(8):
        with contextlib.suppress(Enough):
            network(batch)
    hook.remove()
    return total / count, sums / count


def some_columns(layer: nn.Module, x: torch.Tensor, images: int) -> torch.Tensor:
    """(groups, I, B * some positions): about `POSITIONS` of all images are taken evenly."""
    columns = columns_of(layer, x)  # B groups I positions
    step = max(1, columns.shape[-1] // max(1, POSITIONS // images))
    return columns[..., ::step].permute(1, 2, 0, 3).flatten(2)


def columns_of(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(B, groups, I, positions): what the layer multiplies its weights by at each position."""
    if isinstance(layer, nn.Linear):
        return x.unsqueeze(1).unsqueeze(-1)  # B I -> B 1 I 1
    columns = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return columns.unflatten(1, (layer.groups, -1))  # B (C k k) positions -> B groups I positions


def on_grid(weight: torch.Tensor, moments: torch.Tensor, top: int) -> torch.Tensor:
    """GPTQ for (O, I) weights and (groups, I, I) moments; the largest weight of a row stays."""
    largest, where = weight.abs().max(dim=1)
    scale = largest.clamp(min=1e-12) / top  # O
    size = weight.shape[1]
    mean = moments.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-12)
    damped = moments + DAMPING * mean.view(-1, 1, 1) * torch.eye(size, dtype=moments.dtype)
    spread = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True
    )  # groups I I
    if len(moments) > 1:
        spread = spread.repeat_interleave(len(weight) // len(moments), dim=0)  # O I I
    left, result = weight.clone(), torch.empty_like(weight)
    for column in range(size):
        steps = (left[:, column] / scale).round().clamp(-top, top)
        # Tools find the scale by the largest weight, so that one must be `top` steps.
        steps = torch.where(where == column, top * weight[:, column].sign(), steps)
        result[:, column] = steps * scale
        error = (left[:, column] - result[:, column]) / spread[:, column, column]
        left[:, column:] -= error.unsqueeze(1) * spread[:, column, column:]
    return result
