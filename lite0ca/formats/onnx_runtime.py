"""ONNX Runtime: which files it is given, and where it computes."""

from __future__ import annotations

import onnx
import onnxruntime

from lite0ca.errors import InputError
from lite0ca.machine.console import quiet

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


def opened(content: bytes, threads: int, device: str) -> onnxruntime.InferenceSession:
    """A file, ready to answer on a device.

    Raises `ValueError` for a file that no export writes, `InputError` if ONNX Runtime would answer
    elsewhere than on the device.
    """
    check_graph(onnx.load_model_from_string(content))
    refuse_without(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    # Or it answers on the CPU where another provider fails, which it tells only its log.
    session = onnxruntime.InferenceSession(
        content, options, providers=providers_for(device), enable_fallback=0
    )
    if session.get_providers()[0] != PROVIDERS[device]:
        raise InputError(
            f"--device {device}: onnxruntime {onnxruntime.__version__} cannot load its "
            f"{PROVIDERS[device]}: onnxruntime.ai/docs/execution-providers says which CUDA and "
            "cuDNN it needs; or ask the run itself"
        )
    return session


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
