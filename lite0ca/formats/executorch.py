"""ExecuTorch (.pte) with XNNPACK, for phones and edge boards: one picture at a time."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime, Verification
from torch import nn

from lite0ca.model.attention import InferenceCoordAttn
from lite0ca.model.distance import TrainingDistance
from lite0ca.model.network import LeafClassifier, WithDistance

Whole = TypeVar("Whole", bound=nn.Module)
TOP = 127  # steps of the largest weight
METADATA = "facts"  # a method of the file that takes nothing and returns JSON


def write(network: nn.Module, metadata: dict, path: Path) -> None:
    """Normalised float32 (1, 3, S, S) -> logits (1, classes), and distances (1,) if it has them."""
    lower(captured(with_state(network), metadata), metadata, path)


def write_int8(
    network: LeafClassifier | WithDistance, metadata: dict, path: Path, images: torch.Tensor
) -> None:
    """Static int8 by PT2E, but for attention, classifier and distance; calibrates on (N, 3, S, S)
    `images`.

    XNNPACK's quantiser knows ReLU as a part of a convolution, but not ReLU6: what lies before it
    would be rounded, in far larger steps. A range that ends at 6 cuts off what is above as well.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    network, up_to_6 = without_relu6(with_state(network))
    quantizer = XNNPACKQuantizer().set_global(precision(up_to_6))
    classifier = network.network if isinstance(network, WithDistance) else network
    in_float32 = [classifier.attention, classifier.get_classifier()]
    kinds = (InferenceCoordAttn, TrainingDistance)
    in_float32 += [module for module in network.modules() if isinstance(module, kinds)]
    names = tuple(name for name, module in network.named_modules() if module in in_float32)
    quantizer.set_filter_function(lambda node: not lies_in(node, names))
    with warnings.catch_warnings(action="ignore"):
        observed = prepare_pt2e(captured(network, metadata).module(), quantizer)
        with torch.inference_mode():
            for image in images:
                observed(image[None])
        quantized = convert_pt2e(observed)
    lower(captured(quantized, metadata), metadata, path)


def with_state(network: Whole) -> Whole:
    """A copy whose buffers are all in its state: XNNPACK's partitioner finds no others."""
    network = copy.deepcopy(network)
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer)
    return network


def without_relu6(network: Whole) -> tuple[Whole, bool]:
    """(a copy with ReLU for ReLU6, True), or the network itself if it has ReLU of its own."""
    kinds = {type(module) for module in network.modules()}
    if nn.ReLU6 not in kinds or nn.ReLU in kinds:
        return network, False
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, nn.ReLU())
    return network, True


def precision(up_to_6: bool):
    """int8 as XNNPACK computes it: a scale a tensor, and one a channel of the weights.

    With `up_to_6` what is never negative, being behind a ReLU, ends at 6: to calibrate with, too.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
    from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    class Observer(MinMaxObserver):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.clamp(max=6) if up_to_6 and x.min() >= 0 else x)

    # The default's smallest scale, 2^-12, is more than some channels' weights need.
    smallest = {"eps": 2.0**-30}
    activations = QuantizationSpec(
        torch.int8, Observer.with_args(**smallest), -128, 127, torch.per_tensor_affine
    )
    weights = QuantizationSpec(
        torch.int8,
        PerChannelMinMaxObserver.with_args(**smallest),
        -127,
        127,
        torch.per_channel_symmetric,
        ch_axis=0,
    )
    return QuantizationConfig(activations, activations, weights, None)


def lies_in(node: torch.fx.Node, names: tuple[str, ...]) -> bool:
    """Does an operation of a captured network come from one of its modules?"""
    within = [name for name, _ in node.meta.get("nn_module_stack", {}).values()]
    return any(name in names for name in within)


def captured(network: nn.Module, metadata: dict) -> torch.export.ExportedProgram:
    size = metadata["image_size"]
    return torch.export.export(network, (torch.zeros(1, 3, size, size),))


def lower(program: torch.export.ExportedProgram, metadata: dict, path: Path) -> None:
    text = json.dumps(metadata, ensure_ascii=False)
    with warnings.catch_warnings(action="ignore"):
        logging.getLogger("executorch").setLevel(logging.ERROR)
        edge = to_edge_transform_and_lower(
            program, partitioner=[XnnpackPartitioner()], constant_methods={METADATA: text}
        )
        with open(path, "wb") as file:
            edge.to_executorch().write_to_file(file)


class Session:
    """A .pte file, opened on the CPU: `metadata`, and the call."""

    def __init__(self, content: bytes, threads: int):
        _unsafe_reset_threadpool(threads)  # one pool for the whole process
        self.program = Runtime.get().load_program(
            content, verification=Verification.InternalConsistency
        )
        self.metadata = {}
        if METADATA in self.program.method_names:
            self.metadata = json.loads(self.program.load_method(METADATA).execute([])[0])
        self.method = self.program.load_method("forward")

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, 3, S, S) normalised -> (B, classes) logits, (B,) distances, one picture after the
        other.
        """
        answers = [self.method.execute([torch.from_numpy(image[None])]) for image in images]
        logits, *distances = (torch.cat(values).numpy() for values in zip(*answers))
        return logits, distances[0] if distances else None
