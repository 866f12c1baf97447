"""OpenVINO's IR, for Intel's and AMD's CPUs: two files, .xml and .bin."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from lite0ca.formats import onnx as onnx_format
from lite0ca.formats import seal
from lite0ca.formats.metadata import DISTANCE

if TYPE_CHECKING:
    import torch
    from torch import nn

ROOM = "lite0ca"  # of our metadata in the file's runtime information
TOP = onnx_format.TOP
LOOPS = {"If", "Loop", "TensorIterator"}  # none in what is exported; a stranger's may have no end


def write(network: nn.Module, metadata: dict, path: Path) -> None:
    """Normalised float32 `images` (batch, 3, S, S) -> `logits`, and what else `metadata` names as
    outputs; weights stay float32.
    """
    save(converted(network, metadata), metadata, path)


def write_int8(network: nn.Module, metadata: dict, path: Path, images: torch.Tensor) -> None:
    """Static int8 but for the classifier; calibrates on (N, 3, S, S) normalised `images`.

    Made from our int8 ONNX file, whose weights are exact. NNCF, OpenVINO's own tool, has steps of
    1/63.5 of a channel's largest weight, which no rounding before it can meet.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "int8.onnx")
        onnx_format.write_int8(network, unsealed(metadata), plain, images)
        save(openvino.convert_model(plain), metadata, path)


def converted(network: nn.Module, metadata: dict) -> openvino.Model:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.onnx")
        onnx_format.write(network, unsealed(metadata), plain)
        return openvino.convert_model(plain)


def unsealed(metadata: dict) -> dict:
    """Of the ONNX file on the way: its metadata goes into ours, which has a seal of its own."""
    return {name: value for name, value in metadata.items() if name != seal.NAME}


def save(model: openvino.Model, metadata: dict, path: Path) -> None:
    for key, value in metadata.items():
        model.set_rt_info(json.dumps(value, ensure_ascii=False), [ROOM, key])
    openvino.save_model(model, path, compress_to_fp16=False)


@functools.cache
def core() -> openvino.Core:
    """One for the process. Each one's CPU plugin gives signals a stack of its own, and when it ends
    puts back the one before; where another has ended first that one is gone, and the next signal
    is a segmentation fault.
    """
    return openvino.Core()


class Session:
    """An IR, opened on the CPU: `metadata`, and the call."""

    def __init__(self, content: bytes, weights: bytes, threads: int):
        self.threads = threads
        self.model = core().read_model(content, weights)
        if loops := LOOPS & {one.get_type_name() for one in self.model.get_ops()}:
            raise ValueError(f"it has a loop or a branch ({min(loops)})")
        stored = self.model.get_rt_info([ROOM]).value if self.model.has_rt_info([ROOM]) else {}
        self.metadata = {key: json.loads(one) for key, one in stored.items()}
        named = [DISTANCE in output.get_names() for output in self.model.outputs]
        self.logits, self.distance = named.index(False), named.index(True) if any(named) else None
        self.for_batch = functools.cache(self.compiled)

    def compiled(self, batch: int):
        """For a batch size: known shapes run faster than open ones."""
        model = self.model.clone()
        model.reshape([batch, *model.input(0).partial_shape[1:]])
        # float32 is float32: some CPUs would take bfloat16 unasked.
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        settings |= {"INFERENCE_NUM_THREADS": self.threads}
        return core().compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, 3, S, S) normalised -> (B, classes) logits, (B,) distances."""
        answer = self.for_batch(len(images)).infer([images])
        distances = None if self.distance is None else answer[self.distance].copy()
        return answer[self.logits].copy(), distances
