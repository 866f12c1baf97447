"""A network cut in two behind stride 16, so that its last stages can be trained by themselves."""

from __future__ import annotations

import torch
from torch import fx, nn

from lite0ca.errors import InputError
from lite0ca.model.distance import STRIDES, strided
from lite0ca.model.network import LeafClassifier

CUT = STRIDES[-1]


class Tracer(fx.Tracer):
    """Layers stay whole; only what runs one after the other is taken apart."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential)


def late_stages(model: LeafClassifier) -> nn.Module:
    """What follows the last feature map at stride 16: (B, C, h, w) -> logits (B, classes).

    Its layers are the model's own: what trains one trains the other. Raises `InputError` for a
    backbone whose stages cannot be told apart.
    """
    backbone = model.backbone
    stages = [stage for stage in backbone.feature_info if stage["reduction"] == CUT]
    name = type(backbone).__name__
    if not stages or not hasattr(backbone, "forward_intermediates"):
        raise InputError(f"{name}: has no feature map at stride {CUT} to train from")
    late = fx.GraphModule(model, Tracer().trace(model))
    graph, inside = late.graph, f"backbone.{stages[-1]['module']}."
    behind = [node for node in graph.nodes if f"{node.target}.".startswith(inside)]
    if not behind:
        raise InputError(f"{name}: its stage {stages[-1]['module']} is not one after the other")
    (images,) = (node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_before(images):
        maps = graph.placeholder("maps")
    behind[-1].replace_all_uses_with(maps)
    graph.eliminate_dead_code()
    graph.erase_node(images)
    late.delete_all_unused_submodules()
    late.recompile()
    return late


def early_maps(model: LeafClassifier, images: torch.Tensor) -> list[torch.Tensor]:
    """(B, 3, H, W) normalised -> the maps (B, C, h, w) up to stride 16, without what follows."""
    return model.backbone.forward_intermediates(
        images, indices=strided(model.backbone), stop_early=True, intermediates_only=True
    )
