"""A network cut in two behind stride 16, so that what follows can be trained by itself."""

from __future__ import annotations

from torch import fx, nn

from lite0ca.errors import InputError
from lite0ca.model.distance import strided
from lite0ca.model.network import LeafClassifier


class Tracer(fx.Tracer):
    """Layers stay whole; only what runs one after the other is taken apart."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential)


def early_stages(model: LeafClassifier) -> nn.Module:
    """(B, 3, H, W) normalised -> the map (B, C, h, w) that the late stages are given, and the maps
    that a distance to the training photos is read from. Its layers are the model's own.
    """
    traced, cut, _ = before_the_late_stages(model)
    stages = model.backbone.feature_info
    read = [nodes_of(traced, stages[number]["module"])[-1] for number in strided(model.backbone)]
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    output.args = ((cut, read),)
    return pruned(traced)


def late_stages(model: LeafClassifier) -> nn.Module:
    """From what they are given (B, C, h, w) to logits (B, classes).

    Its layers are the model's own: what trains one trains the other.
    """
    traced, cut, images = before_the_late_stages(model)
    with traced.graph.inserting_before(images):
        maps = traced.graph.placeholder("maps")
    cut.replace_all_uses_with(maps)
    traced.graph.eliminate_dead_code()
    traced.graph.erase_node(images)
    return pruned(traced)


def before_the_late_stages(model: LeafClassifier) -> tuple[fx.GraphModule, fx.Node, fx.Node]:
    """(the traced network, its last map at stride 16, its images).

    Raises `InputError` for a backbone whose stages cannot be told apart.
    """
    backbone = model.backbone
    name = type(backbone).__name__
    if not (read := strided(backbone)):
        raise InputError(f"{name}: shows no feature maps, so there are no stages to train alone")
    traced = fx.GraphModule(model, Tracer().trace(model))
    early = nodes_of(traced, backbone.feature_info[read[-1]]["module"])
    if not early:
        raise InputError(f"{name}: its stages cannot be told from each other")
    (images,) = (node for node in traced.graph.nodes if node.op == "placeholder")
    return traced, early[-1], images


def nodes_of(traced: fx.GraphModule, stage: str) -> list[fx.Node]:
    """What a stage of the backbone runs, by the name that timm has for it."""
    inside = f"backbone.{stage}."
    return [node for node in traced.graph.nodes if f"{node.target}.".startswith(inside)]


def pruned(traced: fx.GraphModule) -> fx.GraphModule:
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
