"""One image through each tool's exported file: ours, the guide's, timm's, Ultralytics'.

    python benchmarks/exports_against_peers.py

Every tool writes ONNX as its documentation says, four classes, one image size, random weights
(speed does not depend on them). Each file is run by ONNX Runtime and by OpenVINO, in float32, with
one thread and with as many as torch takes; all take turns in each round, in this process, and the
ratios are of medians. The last row is the network as it is trained, in torch; the share is of a
float32 matrix product by torch in the same rounds.

int8: ours, and ONNX Runtime's `quantize_static` as it comes on timm's file, since neither timm nor
Ultralytics writes int8 ONNX. How well our int8 answers is the export's own proof, not this
benchmark's.

The peers are installed for this benchmark alone (`make peers-exports`); one that is missing is
named and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pandas as pd
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from lite0ca.export.fusion import fused
from lite0ca.formats import onnx as onnx_format
from lite0ca.machine.device import CPU
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.processor import cpu_name
from lite0ca.model.network import build_model, mac_count, parameter_count
from lite0ca.settings.systems import SYSTEMS
from lite0ca.speed.exported_files import PEAK, SIDE, MatrixProduct
from lite0ca.speed.timing import Setup, measured, using

CLASSES, CALIBRATION = 4, 16
OWN, EAGER, ORT = "lite0ca, Lite0 CA", "torch, eager", "ONNX Runtime"


@dataclass(frozen=True)
class File:
    """What a tool wrote, and the network that it is of, which counts for its operations."""

    path: Path
    network: nn.Module


def metadata(size: int) -> dict:
    return {"image_size": size}


def own(system: str) -> Callable:
    def write(path: Path, size: int) -> nn.Module:
        network = build_model(SYSTEMS[system], CLASSES, size).eval()
        onnx_format.write(fused(network, size), metadata(size), path)
        return network

    return write


def own_int8(path: Path, size: int) -> nn.Module:
    network = build_model(SYSTEMS["EfficientNet_Lite0_CA"], CLASSES, size).eval()
    photos = torch.rand(CALIBRATION, 3, size, size) * 2 - 1
    onnx_format.write_int8(fused(network, size), metadata(size), path, photos)
    return network


def guide(path: Path, size: int) -> nn.Module:
    """`torch.onnx.export(..., opset_version=11)` of the network as it is trained."""
    network = build_model(SYSTEMS["EfficientNet_Lite0_CA"], CLASSES, size).eval()
    torch.onnx.export(
        network, (torch.randn(1, 3, size, size),), str(path), opset_version=11, dynamo=False
    )
    return network


def timm_export(path: Path, size: int) -> nn.Module:
    """As timm's onnx_export.py does."""
    import timm
    from timm.utils.onnx import onnx_export

    network = timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES, exportable=True)
    onnx_export(network.eval(), str(path), input_size=(3, size, size))
    return network


def timm_int8(path: Path, size: int) -> nn.Module:
    """What ONNX Runtime's documentation does with a float32 file, with its defaults."""
    plain, prepared = path.with_suffix(".plain"), path.with_suffix(".prepared")
    network = timm_export(plain, size)
    quant_pre_process(str(plain), str(prepared))
    name = onnx.load(prepared).graph.input[0].name
    photos = [{name: np.random.rand(1, 3, size, size).astype("float32")}] * CALIBRATION
    quantize_static(str(prepared), str(path), Reader(photos))
    return network


class Reader(CalibrationDataReader):
    def __init__(self, photos: list[dict]):
        self.photos = iter(photos)

    def get_next(self) -> dict | None:
        return next(self.photos, None)


def ultralytics(scale: list | None) -> Callable:
    def write(path: Path, size: int) -> nn.Module:
        os.environ |= {"YOLO_OFFLINE": "true", "YOLO_CONFIG_DIR": str(path.parent)}
        import yaml
        from ultralytics import YOLO
        from ultralytics.nn.tasks import yaml_model_load

        settings = yaml_model_load("yolo26n-cls.yaml") | {"nc": CLASSES}
        if scale:
            settings["scales"]["n"] = scale
        description = path.with_name(f"yolo26n-cls-{path.stem}.yaml")  # the n names the scale
        description.write_text(yaml.safe_dump(settings), encoding="utf-8")
        yolo = YOLO(str(description))
        Path(yolo.export(format="onnx", imgsz=size)).rename(path)
        return yolo.model

    return write


FILES = {
    OWN: own("EfficientNet_Lite0_CA"),
    "lite0ca, Lite0": own("EfficientNet_Lite0"),
    "the guide's export, Lite0 CA": guide,
    "timm, Lite0": timm_export,
    "Ultralytics, YOLO26n-cls": ultralytics(None),
    "Ultralytics, YOLO26-cls of like MACs": ultralytics([0.5, 0.35, 1024]),  # depth, width
    "lite0ca, Lite0 CA, int8": own_int8,
    "timm, Lite0, int8 by quantize_static": timm_int8,
}


def by_onnxruntime(path: Path, threads: int) -> Callable:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.numpy()})


def by_openvino(path: Path, threads: int) -> Callable:
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
    model = core.read_model(path)
    model.reshape([1, *model.input(0).partial_shape[1:]])
    precise = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", precise).create_infer_request()
    return lambda images: request.infer([images.numpy()])


RUNTIMES = {ORT: by_onnxruntime, "OpenVINO": by_openvino}


def written(folder: Path, size: int) -> dict[str, File]:
    """Each tool's file; whoever is not installed is named on stderr and left out."""
    files = {}
    for number, (name, write) in enumerate(FILES.items()):
        path = folder / f"{number}.onnx"
        try:
            with warnings.catch_warnings(action="ignore"):
                files[name] = File(path, write(path, size))
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return files


def compare(files: dict[str, File], size: int, rounds: int, seconds: float) -> pd.DataFrame:
    """A row a file and runtime: milliseconds of one image, and the ratio to ours."""
    rows = {}
    for threads in sorted({1, torch.get_num_threads()}):
        setup = Setup(CPU, threads)
        models = {
            (name, runtime): open_file(file.path, threads)
            for name, file in files.items()
            for runtime, open_file in RUNTIMES.items()
        }
        models |= {(OWN, EAGER): files[OWN].network, PEAK: MatrixProduct()}
        with using(setup, {OWN: files[OWN].network}):
            times = measured(models, setup, size, 1, rounds, seconds)
        peak_macs_per_s = SIDE**3 / np.median(times.pop(PEAK)[0])
        plural = "s" if threads > 1 else ""
        for key, (single, _) in times.items():
            macs = mac_count(files[key[0]].network, size)
            row = rows.setdefault(key, {"million MACs": f"{macs / 1e6:,.0f}"})
            row["parameters"] = f"{parameter_count(files[key[0]].network):,}"
            same = key[1] if key[1] in RUNTIMES else ORT  # ours in the same runtime
            latency, ours = (1e3 * np.median(one) for one in (single, times[OWN, same][0]))
            row[f"ms, {threads} thread{plural}"] = f"{latency:.2f}"
            row[f"times ours, {threads} thread{plural}"] = f"{latency / ours:.2f}"
            row[f"share of peak, {threads}"] = f"{macs / latency * 1e3 / peak_macs_per_s:.0%}"
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["file", "runtime"]).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224, help="(default: 224)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each file (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn (default: 0.5)")
    settings = parser.parse_args()
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print(f"note: other work is running here, the load is {os.getloadavg()[0]:.1f}")
    keep_freed_memory()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        files = written(Path(folder), settings.image_size)
        table = compare(files, settings.image_size, settings.rounds, settings.seconds)
    columns = list(table.columns)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in table.itertuples(index=False):
        print(f"| {' | '.join(map(str, row))} |")
    packages = {"torch": torch, "onnxruntime": onnxruntime, "openvino": openvino}
    versions = ", ".join(f"{name} {package.__version__}" for name, package in packages.items())
    print(f"\n{cpu_name()}, {settings.image_size} pixels, batch 1, {versions}")


if __name__ == "__main__":
    main()
