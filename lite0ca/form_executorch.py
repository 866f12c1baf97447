"""ExecuTorch (.pte) with XNNPACK, for phones and edge boards: one picture at a time."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime, Verification
from torch import nn

FACTS = "facts"  # a method of the file that takes nothing and returns JSON


def write(network: nn.Module, facts: dict, path: Path) -> None:
    """Normalised float32 (1, 3, S, S) -> logits (1, classes)."""
    lower(captured(network, facts), facts, path)


def write_int8(network: nn.Module, facts: dict, path: Path, images: torch.Tensor) -> None:
    """Static int8 by PT2E; `images` are (N, 3, S, S) normalised, to calibrate with."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(True))
    with warnings.catch_warnings(action="ignore"):
        observed = prepare_pt2e(captured(network, facts).module(), quantizer)
        with torch.inference_mode():
            for image in images:
                observed(image[None])
        quantized = convert_pt2e(observed)
    lower(captured(quantized, facts), facts, path)


def captured(network: nn.Module, facts: dict) -> torch.export.ExportedProgram:
    size = facts["image_size"]
    return torch.export.export(network, (torch.zeros(1, 3, size, size),))


def lower(program: torch.export.ExportedProgram, facts: dict, path: Path) -> None:
    text = json.dumps(facts, ensure_ascii=False)
    with warnings.catch_warnings(action="ignore"):
        logging.getLogger("executorch").setLevel(logging.ERROR)
        edge = to_edge_transform_and_lower(
            program, partitioner=[XnnpackPartitioner()], constant_methods={FACTS: text}
        )
        with open(path, "wb") as file:
            edge.to_executorch().write_to_file(file)


class Session:
    """A .pte file, opened on the CPU: `facts`, and the call."""

    def __init__(self, path: Path, threads: int):
        _unsafe_reset_threadpool(threads)  # one pool for the whole process
        self.program = Runtime.get().load_program(
            path, verification=Verification.InternalConsistency
        )
        self.facts = {}
        if FACTS in self.program.method_names:
            self.facts = json.loads(self.program.load_method(FACTS).execute([])[0])
        self.method = self.program.load_method("forward")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, S, S) normalised -> (B, classes) logits, one picture after the other."""
        answers = [self.method.execute([torch.from_numpy(image[None])])[0] for image in images]
        return np.concatenate([answer.numpy() for answer in answers])
