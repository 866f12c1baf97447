"""All forms of one model side by side: latency, throughput, share of what the CPU can do; on cuda
those that run there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from lite0ca.errors import InputError, printable
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.opening import open_file, open_model
from lite0ca.formats.run_files import run_folder
from lite0ca.machine.cuda_graphs import Replayed
from lite0ca.machine.device import CPU, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.network import mac_count
from lite0ca.speed.timing import Setup, measured, summary, using

TORCH, PEAK = "torch", "matrix product"
SIDE = 1024  # of the square matrices that are multiplied to find the CPU's peak


class MatrixProduct(nn.Module):
    """What this CPU does at best: float32 matrices, which torch gives to MKL or OpenBLAS."""

    def __init__(self):
        super().__init__()
        self.matrices = torch.rand(2, SIDE, SIDE)

    def forward(self, _images: torch.Tensor) -> torch.Tensor:
        return self.matrices[0] @ self.matrices[1]


def benchmark_on_cuda(folder: str, batch_size: int, rounds: int, seconds: float) -> pd.DataFrame:
    """A row for torch, launched kernel by kernel and as CUDA graphs, and for each ONNX file with
    ONNX Runtime's CUDA and TensorRT; says which of them do not run here.

    Of all of them from images in the CPU's memory to answers there, float32 (torch and TensorRT
    with TF32 in it, as is their default). Raises `InputError` if there is nothing to time.
    """
    device = device_of("cuda")
    files, size, trained = files_of_run(folder)
    trained.to(device, memory_format=torch.channels_last)
    replayed = Replayed(lambda images: (trained(images),), device)
    models = {
        TORCH: lambda images: trained(images.to(device)).cpu(),
        f"{TORCH}, CUDA graph": lambda images: replayed(images.to(device))[0].cpu(),
    }
    for file in files:
        for place in ("cuda", "tensorrt") if format_of(file) == "onnx" else ("cuda",):
            try:
                models[f"{file.name}, {place}"] = open_file(file, device=place)[1]
            except InputError as error:
                print(printable(f"left out: {error}"), flush=True)
    # The images lie on the CPU, and so do the answers in the end: there is nothing to wait for.
    times = measured(models, Setup(CPU, torch.get_num_threads()), size, batch_size, rounds, seconds)
    rows = [{"form": name, **summary(*times[name], batch_size)} for name in models]
    return pd.DataFrame(rows).assign(times_torch=lambda t: t["latency_ms"][0] / t["latency_ms"])


def files_of_run(folder: str) -> tuple[list[Path], int, nn.Module]:
    """The exported files in a folder, their image size, and the network of their run.

    Raises `InputError` if there are none, or of several sizes.
    """
    place = Path(folder)
    files = sorted(file for file in place.glob("*") if format_of(file) and file.is_file())
    if not files:
        raise InputError(f"--forms {folder}: holds no exported file; lite0ca export RUN")
    sizes = {open_file(file)[0]["image_size"] for file in files}
    if len(sizes) > 1:
        raise InputError(f"--forms {folder}: its files take pictures of {sorted(sizes)} pixels")
    (size,) = sizes
    return files, size, open_model(run_folder(files[0]), size)[1]


def benchmark_exported_files(
    folder: str, batch_size: int, rounds: int, seconds: float
) -> pd.DataFrame:
    """A row for torch and each exported file of a run on the CPU, with one thread and with all.

    All take turns within a round, in this process. `times_torch` is the ratio of latencies,
    `gflops` counts two operations a multiply-accumulate, `share_of_peak` is of a float32 matrix
    product in the same rounds. Raises `InputError` if there is nothing to time.
    """
    files, size, trained = files_of_run(folder)
    gflop = 2 * mac_count(trained, size) / 1e9
    keep_freed_memory()
    rows = []
    for threads in sorted({1, torch.get_num_threads()}):
        setup = Setup(CPU, threads)
        models = {TORCH: trained, PEAK: MatrixProduct()}
        models |= {file.name: open_file(file, threads)[1] for file in files}
        with using(setup, {TORCH: trained}):
            times = measured(models, setup, size, batch_size, rounds, seconds)
        figures = {name: summary(*times[name], batch_size) for name in models}
        peak_gflops = 2 * SIDE**3 / 1e6 / figures.pop(PEAK)["latency_ms"]
        for name, row in figures.items():
            own = {"times_torch": figures[TORCH]["latency_ms"] / row["latency_ms"]}
            own["gflops"] = gflop / row["latency_ms"] * 1e3
            own |= {"share_of_peak": own["gflops"] / peak_gflops, "peak_gflops": peak_gflops}
            rows.append({"form": name, "threads": threads, **row, **own})
    return pd.DataFrame(rows)
