"""ONNX: written by torch's exporter, made int8 and run by ONNX Runtime, which needs no torch."""

from __future__ import annotations

import copy
import json
import math
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime

from lite0ca.errors import InputError, first_line
from lite0ca.formats.metadata import DISTANCE, LOGITS, PROBABILITIES
from lite0ca.machine.console import quiet

if TYPE_CHECKING:
    import torch
    from torch import nn

FIRST_DYNAMO_OPSET = 18  # asked for less, torch's exporter writes 18 with only a warning
INT8_OPSET = 13  # at least: it brought scales for each channel
IMAGES, PHOTO = "images", "photo"
WORTH_HALVING = 256  # weights: of fewer, the file would not be smaller
# ONNX Runtime's int8 on x86 without VNNI adds pairs of products in 16 bits, and larger weights
# overflow them: 64 * 255 * 2 < 2**15.
TOP = 64
FATAL = 4  # ONNX Runtime prints what is less, in colour, beside our own line
onnxruntime.set_default_logger_severity(FATAL)
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# Without TF32 its answers are the CPU's. To search all algorithms of cuDNN would take seconds for
# each new size of a batch, and TensorRT takes a minute for a file, which it keeps.
OPTIONS = {
    "cuda": {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"},
    "tensorrt": {"trt_engine_cache_enable": True},
}


def write(network: nn.Module, metadata: dict, path: Path, opset: int | None = None) -> None:
    """Normalised float32 `images` (batch, 3, S, S) -> `logits` (batch, classes), and what else
    `metadata` names as outputs, one file.

    Opsets below 18 come from torch's legacy exporter. Raises `InputError` if an opset cannot be
    had.
    """
    import torch

    size = metadata["image_size"]
    example = torch.zeros(2, 3, size, size)
    outputs = list(metadata.get("outputs", [LOGITS]))
    names = {"input_names": [IMAGES], "output_names": outputs}
    if opset is None or opset >= FIRST_DYNAMO_OPSET:
        batch = ({0: torch.export.Dim("batch")},)
        exported(network, example, path, opset, dynamic_shapes=batch, dynamo=True, **names)
    else:
        batch = {name: {0: "batch"} for name in (IMAGES, *outputs)}
        exported(network, example, path, opset, dynamic_axes=batch, dynamo=False, **names)
    store(path, metadata)


def refuse_opset(opset: int, int8: bool, photo: bool) -> None:
    """Raise `InputError`, before any work, for an opset that cannot be had for all that is asked.

    A network of one layer shows what torch writes.
    """
    if int8 and opset < INT8_OPSET:
        raise InputError(
            f"--int8 needs --opset {INT8_OPSET} or more: older ones have no scale a channel"
        )
    if photo and opset < FIRST_DYNAMO_OPSET:
        raise InputError(
            f"--with-preprocessing and --web need --opset {FIRST_DYNAMO_OPSET} or more: torch "
            "writes a file for photos of any size with no older one"
        )
    from torch import nn

    with tempfile.TemporaryDirectory() as folder:
        write(nn.Conv2d(3, 2, 1), {"image_size": 8}, Path(folder, "probe.onnx"), opset)


def write_with_preprocessing(
    network: nn.Module, metadata: dict, path: Path, opset: int | None = None
) -> None:
    """uint8 RGB `photo` (height, width, 3) of any size -> calibrated `probabilities` (classes,),
    and what else `metadata` names as outputs.
    """
    import torch

    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    exported(
        network,
        torch.zeros(300, 400, 3, dtype=torch.uint8),
        path,
        opset,
        dynamic_shapes=(any_size,),
        dynamo=True,
        input_names=[PHOTO],
        output_names=list(metadata.get("outputs", [PROBABILITIES])),
    )
    store(path, metadata)


def exported(network, example, path: Path, opset: int | None, dynamo: bool, **names) -> None:
    import torch

    options = {"external_data": False} if dynamo else {}
    network = copy.deepcopy(network)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # torch's exporter undoes it: a quarter of its time
    with warnings.catch_warnings(action="ignore"):  # of deprecations inside torch
        try:
            torch.onnx.export(
                network, (example,), str(path), opset_version=opset, dynamo=dynamo, verbose=False,
                **options, **names,
            )  # fmt: skip
        except Exception as error:  # ValueError, the exporter's own, and of what writes IR
            if opset is None:
                raise
            reason = first_line(error)[:200]
            raise InputError(f"--opset {opset}: torch cannot write it ({reason})") from None
    refuse_other_opset(path, opset)


def refuse_other_opset(path: Path, opset: int | None) -> None:
    if opset is not None and (written := opset_of(path)) != opset:
        import torch

        raise InputError(f"--opset {opset}: torch {torch.__version__} writes opset {written}")


def opset_of(path: Path) -> int:
    model = onnx.load(path)
    return next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))


def store(path: Path, metadata: dict) -> None:
    """Write what the file is into its metadata: a JSON value a key."""
    model = onnx.load(path)
    text = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    onnx.helper.set_model_props(model, text)
    onnx.save(model, path)


def write_half(photo: Path, metadata: dict, path: Path) -> None:
    """An ONNX file again, its weights as float16: half the size. They are computed with as float32.

    `metadata` is what it says of itself then.
    """
    model = onnx.load(photo)
    back = []
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and math.prod(weights.dims) >= WORTH_HALVING:
            name, stored = weights.name, f"{weights.name}_half"
            values = onnx.numpy_helper.to_array(weights).astype(np.float16)
            weights.CopyFrom(onnx.numpy_helper.from_array(values, stored))
            back.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*back, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    store(path, metadata)


def write_int8(
    network: nn.Module, metadata: dict, path: Path, images: torch.Tensor, opset: int | None = None
) -> None:
    """Static int8: activations and, channel by channel, weights; the classifier stays float32, and
    so does what is done with the feature maps to get a distance of them.

    `images` are (N, 3, S, S) normalised, to calibrate with.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        plain, prepared = Path(folder, "plain.onnx"), Path(folder, "prepared.onnx")
        write(network, metadata, plain, opset)
        quant_pre_process(str(plain), str(prepared))
        # Logits beyond those of the calibration would be cut off, and near ones become equal.
        graph = onnx.load(prepared).graph
        classifier = {node.name for node in graph.node if node.op_type in ("Gemm", "MatMul")}
        distance = nodes_before(graph, DISTANCE) - nodes_before(graph, LOGITS)
        quantization.quantize_static(
            str(prepared),
            str(path),
            OneByOne(images.numpy()),  # pyright: ignore[reportArgumentType]
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # weights of at most `TOP` steps
            nodes_to_exclude=[*classifier, *distance],
        )
    refuse_other_opset(path, opset)
    store(path, metadata)


def nodes_before(graph: onnx.GraphProto, output: str) -> set[str]:
    """The names of the nodes that an output is computed by; none if there is no such output."""
    makers = {name: node for node in graph.node for name in node.output}
    found, left = set(), [output]
    while left:
        node = makers.get(left.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            left += node.input
    return found


class OneByOne:
    """Hands the calibration images to ONNX Runtime, as a `CalibrationDataReader` does."""

    def __init__(self, images: np.ndarray):
        self.images = iter(images)

    def get_next(self) -> dict | None:
        image = next(self.images, None)
        return None if image is None else {IMAGES: image[None]}


def check_graph(model: onnx.ModelProto) -> None:
    """Raise `ValueError` for what no export writes: it could run without end, or read other files.

    Loops and branches are nodes with a graph inside, and a function may be of calls of another.
    """
    if model.functions:
        raise ValueError("it has functions of its own")
    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        if any(one.HasField("g") or one.graphs for one in node.attribute):
            raise ValueError(f"it has a loop or a branch ({node.op_type})")
        if any(one.HasField("sparse_tensor") or one.sparse_tensors for one in node.attribute):
            raise ValueError("it has sparse weights")
        tensors += [one.t for one in node.attribute if one.HasField("t")]
        tensors += [tensor for one in node.attribute for tensor in one.tensors]
    if model.graph.sparse_initializer:
        raise ValueError("it has sparse weights")
    if any(one.external_data for one in tensors):
        raise ValueError("its weights lie in another file")


def refuse_without(device: str) -> None:
    """Raise `InputError` where this ONNX Runtime was not built for a device."""
    if device != "cpu" and hasattr(onnxruntime, "preload_dlls"):
        with quiet():  # it tells what it does not find
            # CUDA and cuDNN as pip installs them, with torch say. Where CUDA is a plugin of ONNX
            # Runtime there is no such provider before.
            onnxruntime.preload_dlls()
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise InputError(
            f"--device {device}: onnxruntime {onnxruntime.__version__} has no {PROVIDERS[device]}: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu; or ask the run itself"
        )


def providers_for(device: str) -> list[tuple[str, dict]]:
    """What computes on a device, and what takes over an operation that it does not know."""
    chosen = {name: (PROVIDERS[name], OPTIONS.get(name, {})) for name in PROVIDERS}
    if device == "tensorrt":
        from lite0ca.machine.environment import cache_folder  # torch

        folder = cache_folder() / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)  # ONNX Runtime makes none of its parents
        kept = {"trt_engine_cache_path": str(folder)}
        provider, options = chosen[device]
        return [(provider, options | kept), chosen["cuda"], chosen["cpu"]]
    return [chosen[device]] + ([chosen["cpu"]] if device == "cuda" else [])


class Session:
    """An ONNX file, opened on a device: `metadata`, and the call.

    Raises `InputError` if ONNX Runtime would answer elsewhere than on the device.
    """

    def __init__(self, content: bytes, threads: int, device: str = "cpu"):
        check_graph(onnx.load_model_from_string(content))
        refuse_without(device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = FATAL
        # Or it answers on the CPU where another provider fails, which it tells only its log.
        self.session = onnxruntime.InferenceSession(
            content, options, providers=providers_for(device), enable_fallback=0
        )
        if self.session.get_providers()[0] != PROVIDERS[device]:
            raise InputError(
                f"--device {device}: onnxruntime {onnxruntime.__version__} cannot load its "
                f"{PROVIDERS[device]}: onnxruntime.ai/docs/execution-providers says which CUDA and "
                "cuDNN it needs; or ask the run itself"
            )
        stored = self.session.get_modelmeta().custom_metadata_map
        self.metadata = {key: json.loads(value) for key, value in stored.items()}
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.takes_photos = self.input == PHOTO

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, 3, S, S) normalised -> (B, classes) logits, (B,) distances; of photos 0..255 their
        probabilities' log.
        """
        if not self.takes_photos:
            return self.answered(images)
        photos = images.transpose(0, 2, 3, 1).round().astype(np.uint8)  # B S S 3
        probabilities, distances = zip(*(self.of_photo(photo) for photo in photos))
        logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
        return logits, None if distances[0] is None else np.array(distances)

    def of_photo(self, photo: np.ndarray) -> tuple[np.ndarray, float | None]:
        """uint8 RGB (H, W, 3) of any size -> probabilities (classes,), the distance."""
        probabilities, distance = self.answered(photo)
        return probabilities, None if distance is None else distance.item()

    def answered(self, given: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """What is asked about -> the first output, and the distances if there are some."""
        answer = dict(zip(self.outputs, self.session.run(None, {self.input: given})))
        distance = answer.pop(DISTANCE, None)
        (first,) = answer.values()
        return np.asarray(first), None if distance is None else np.asarray(distance)
