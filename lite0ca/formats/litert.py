"""LiteRT (.tflite), for phones: pictures are NHWC, one at a time; int8 by ai-edge-quantizer."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from lite0ca.formats.litert_metadata import graphs_in, metadata_in, with_metadata
from lite0ca.formats.metadata import DISTANCE

if TYPE_CHECKING:
    import torch
    from torch import nn

TOP = 127  # steps of the largest weight
# In the names of operations, which are called after their module or the output that they give.
OF_DISTANCE = "(TrainingDistance|output_1)"


def write(network: nn.Module, metadata: dict, path: Path) -> None:
    """Normalised float32 (1, S, S, 3) -> `logits` (1, classes), and `distance` (1, 1) if `metadata`
    names it as an output.
    """
    path.write_bytes(with_metadata(converted(network, metadata), metadata))


def converted(network: nn.Module, metadata: dict) -> bytes:
    """The plain float32 file."""
    import litert_torch
    import torch

    class InColumns(torch.nn.Module):
        """Distances as (1, 1): Google's Task Library takes each output for one a class."""

        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor):
            logits, distances = self.network(images)
            return logits, distances.unsqueeze(1)

    size = metadata["image_size"]
    whole = InColumns().eval() if DISTANCE in metadata.get("outputs", {}) else network
    with warnings.catch_warnings(action="ignore"):
        channels_last = litert_torch.to_channel_last_io(whole, args=[0]).eval()
        model = litert_torch.convert(channels_last, (torch.zeros(1, size, size, 3),))
        with tempfile.TemporaryDirectory() as folder:
            model.export(f"{folder}/model.tflite")
            return Path(folder, "model.tflite").read_bytes()


def write_int8(network: nn.Module, metadata: dict, path: Path, images: torch.Tensor) -> None:
    """Static int8: activations, weights (channel by channel); the classifier is float32, the
    distance, and the input too, since Google's Task Library takes float32 or uint8 pictures only.

    `images` are (N, 3, S, S) normalised, to calibrate with.
    """
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    plain = converted(network, metadata)
    with warnings.catch_warnings(action="ignore"):
        work = quantizer.Quantizer(plain, recipe.static_wi8_ai8())
        # Logits beyond those of the calibration would be cut off.
        operations, none = qtyping.TFLOperationName, algorithm_manager.AlgorithmName.NO_QUANTIZE
        for operation in (operations.INPUT, operations.FULLY_CONNECTED, operations.OUTPUT):
            work.update_quantization_recipe(".*", operation, algorithm_key=none)
        every = operations.ALL_SUPPORTED
        work.update_quantization_recipe(f".*{OF_DISTANCE}.*", every, algorithm_key=none)
        interpreter = Interpreter(model_content=plain)
        ((key, names),) = interpreter.get_signature_list().items()
        examples = [{names["inputs"][0]: nhwc(image[None])} for image in images.numpy()]
        # `work.calibrate` takes moving averages as ranges, which cut off what a rare photo shows.
        calibrator = Calibrator(plain, qsv_update_func=min_max_update)
        rules = recipe_manager.RecipeManager()
        rules.load_quantization_recipe(work.get_quantization_recipe())
        calibrator.calibrate({key: examples}, rules)
        ranges = calibrator.get_model_qsvs()
        # All that a pixel can be, whatever these photos show: a step is then one grey level.
        pixels = ranges[interpreter.get_input_details()[0]["name"]]
        # One number for all channels, as gptq makes them.
        mean, std = metadata["mean"][0], metadata["std"][0]
        pixels["min"] = np.full_like(pixels["min"], (0 / 255 - mean) / std)
        pixels["max"] = np.full_like(pixels["max"], (255 / 255 - mean) / std)
        content = bytes(work.quantize(ranges).quantized_model)
    path.write_bytes(with_metadata(content, metadata))


def nhwc(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


class Session:
    """A .tflite file, opened on the CPU: `metadata`, and the call."""

    def __init__(self, content: bytes, threads: int):
        self.metadata = metadata_in(content)
        if graphs_in(content) > 1:
            raise ValueError("it has more than one graph, so perhaps a loop without end")
        self.interpreter = Interpreter(model_content=content, num_threads=threads)
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        outputs = {output["name"]: output for output in self.interpreter.get_output_details()}
        self.distance = outputs.pop(DISTANCE, None)
        (self.logits,) = outputs.values()
        if self.input["shape"].size != 4:
            raise ValueError("it takes no pictures")

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, 3, S, S) normalised -> (B, classes) logits, (B,) distances, one picture after the
        other.
        """
        answers = [self.one(nhwc(image[None])) for image in images]
        logits, *distances = (np.concatenate(values) for values in zip(*answers))
        return logits, distances[0].reshape(-1) if distances else None

    def one(self, image: np.ndarray) -> list[np.ndarray]:
        self.interpreter.set_tensor(self.input["index"], to_type(image, self.input))
        self.interpreter.invoke()
        outputs = [self.logits] + ([] if self.distance is None else [self.distance])
        return [to_float(self.interpreter.get_tensor(one["index"]), one) for one in outputs]


def to_type(values: np.ndarray, tensor: dict) -> np.ndarray:
    """float32 -> what the tensor holds; integers by its scale and zero point."""
    kind = tensor["dtype"]
    if kind == np.float32:
        return values
    scale, zero = tensor["quantization"]
    limits = np.iinfo(kind)
    return np.clip(np.round(values / scale + zero), limits.min, limits.max).astype(kind)


def to_float(values: np.ndarray, tensor: dict) -> np.ndarray:
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)
