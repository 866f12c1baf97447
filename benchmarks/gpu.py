"""What a GPU does with this project: `python benchmarks/gpu.py --metadata my/metadata.csv`.

Training steps in each precision and what `cudnn.deterministic` costs, one image in every form that
is at hand, how long a training takes from its command to its first step and how long its device
waits for data. Prints as it goes, needs no network, takes under eight minutes. On a CPU it runs as
well (`--device cpu --seconds 0.1 --batch-size 4 --train-limit 40`), to see that it does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import waiting

from lite0ca.errors import InputError
from lite0ca.machine.device import Precision, describe, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.processor import cores, cpu_name
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.config import Config
from lite0ca.settings.systems import SYSTEMS
from lite0ca.training.epoch import train_step
from lite0ca.training.state import State

SYSTEM, CLASSES, SIZE = "EfficientNet_Lite0_CA", 4, 224
WARM_UP = 3  # calls that are not timed
Answer = Callable[[torch.Tensor], torch.Tensor]


def say(text: str = "") -> None:
    print(text, flush=True)


def synchronized(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def median_s(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Median seconds of a call, for about so many seconds after the warm-up."""
    for _ in range(WARM_UP):
        call()
    took, end = [], synchronized(device) + seconds
    while len(took) < 3 or time.perf_counter() < end:
        began = synchronized(device)
        call()
        took.append(synchronized(device) - began)
    return float(np.median(took))


def training_steps(device: torch.device, batch_size: int, seconds: float) -> float:
    """Images/s of the training step, random pixels; returns those of the default."""
    say(f"\n{SYSTEM}, training steps of {batch_size} random images, {SIZE} pixels")
    photos = torch.randint(256, (batch_size, SIZE, SIZE, 3), dtype=torch.uint8)
    numbers = torch.randint(CLASSES, (batch_size,))
    rates = {}
    for amp in (False, True):
        for exact in (True, False):
            torch.backends.cudnn.deterministic = exact
            config = Config.of(batch_size=batch_size, ema=True)
            precision = Precision.of(device, amp)
            state = State.new(config, CLASSES, precision)
            state.model.train()

            def step(state=state, config=config, precision=precision):
                train_step(state, photos, numbers, config, precision, None)

            rates[amp, exact] = batch_size / median_s(step, device, seconds)
            name = "mixed precision" if amp else "float32"
            ways = "deterministic" if exact else "not deterministic"
            say(f"{name:16} {ways:18} {rates[amp, exact]:9,.0f} images/s")
    torch.backends.cudnn.deterministic = True
    return rates[device.type == "cuda", True]


def forms(model: LeafClassifier, device: torch.device) -> Iterator[tuple[str, Answer]]:
    """(name, images (B, 3, S, S) -> logits (B, classes)) of each form that this machine has."""
    yield "eager", model
    if device.type == "cuda":
        yield "CUDA graph", cuda_graph(model)
        yield "torch.compile, reduce-overhead", torch.compile(model, mode="reduce-overhead")
    try:
        import onnxruntime
    except ImportError:
        return
    wanted = {"TensorrtExecutionProvider", "CUDAExecutionProvider"}
    if device.type != "cuda":
        wanted = {"CPUExecutionProvider"}
    for provider in onnxruntime.get_available_providers():
        if provider in wanted:
            yield f"ONNX Runtime, {provider}", onnx_session(model, provider)


def cuda_graph(model: LeafClassifier) -> Answer:
    """The forward pass recorded once for each shape; replaying it costs one launch."""
    recorded = {}

    def answer(images: torch.Tensor) -> torch.Tensor:
        if images.shape not in recorded:
            given = images.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # cudnn chooses its kernels before they are recorded
                for _ in range(WARM_UP):
                    model(given)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = model(given)
            recorded[images.shape] = graph, given, logits
        graph, given, logits = recorded[images.shape]
        given.copy_(images)
        graph.replay()
        return logits

    return answer


def onnx_session(model: LeafClassifier, provider: str) -> Answer:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        on_cpu = build_model(SYSTEMS[SYSTEM], CLASSES, SIZE).eval()
        on_cpu.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
        torch.onnx.export(
            on_cpu,
            (torch.rand(2, 3, SIZE, SIZE),),
            path,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        session = onnxruntime.InferenceSession(path, providers=[provider])
    name = session.get_inputs()[0].name

    def answer(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {name: images.cpu().numpy()})[0])

    return answer


@torch.inference_mode()
def answers(device: torch.device, batch_size: int, seconds: float) -> None:
    """Milliseconds of one image and images/s of many, in each form, and how far it is off."""
    say(f"\n{SYSTEM}, answers, {SIZE} pixels; largest difference to eager float32 logits")
    torch.backends.cudnn.deterministic = False
    model = build_model(SYSTEMS[SYSTEM], CLASSES, SIZE).eval()
    model.to(device, memory_format=torch.channels_last)
    images = torch.rand(batch_size, 3, SIZE, SIZE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    expected = model(images[:8]).float().cpu()
    for amp in (False, True) if device.type == "cuda" else (False,):
        with Precision.of(device, amp).autocast():
            for name, answer in forms(model, device):
                off = (answer(images[:8]).float().cpu() - expected).abs().max().item()
                one, many = (
                    median_s(lambda b=batch: answer(images[:b]), device, seconds)  # noqa: B023
                    for batch in (1, batch_size)
                )
                kind = "mixed" if amp else "float32"
                took = f"{1e3 * one:7.2f} ms {batch_size / many:9,.0f} images/s"
                say(f"{name:34} {kind:8} {took} {off:.1e}")
    torch.backends.cudnn.deterministic = True


def trainings(data: list[str], device: torch.device, extra: list[str]) -> None:
    """From the command to the run folder, the first epoch and the end; waiting of later epochs."""
    say("\ntrainings, from the command; `waits` is the share of the steps' time, epoch 2 and on")
    for recipe in ("--preset kaggle", "--preset kaggle --augmentation strong", "--preset robust"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "lite0ca", "train", *recipe.split(), *data, *extra]
            command += ["--device", device.type, "--output-dir", folder, "--save-history"]
            command += ["--num-workers", str(max(1, cores() - 2))]
            began, marks = time.monotonic(), {}
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout:
                    for mark in ("run: ", "epoch "):
                        if line.startswith(mark):
                            marks.setdefault(mark, time.monotonic() - began)
            seconds = time.monotonic() - began
            if process.returncode:
                raise InputError(f"{' '.join(command)}: exit code {process.returncode}")
            (history,) = Path(folder).glob("*/history.json")
            kept = json.loads(history.read_text(encoding="utf-8"))
            waits = np.median(kept["data_wait_share"][1:] or [np.nan])
            rate = np.median(kept["images_per_s"][1:] or [np.nan])
            say(
                f"{recipe:40} first step from {marks['run: ']:.1f} s, epoch 1 at "
                f"{marks['epoch ']:.1f} s, end {seconds:.1f} s; waits {waits:.0%}, "
                f"{rate:,.0f} images/s"
            )


def loaders(data: dict, device_rate: float, batch_size: int, extra: dict) -> None:
    """The stand-in for a device, as fast as this one trains, and at 70 % of what loaders give."""
    for kind in ("standard", "strong"):
        config = Config.of(
            **{
                "epochs": 4,
                "batch_size": batch_size,
                "num_workers": max(1, cores() - 1),
                **extra,
                **data,
            },
            augmentation=kind,
        )
        for rate in (device_rate, device_rate / 4):
            found = waiting.shares(config, rate, rounds=1)
            for way, epochs in found.items():
                share, images_per_s = np.median(epochs, axis=0)
                say(
                    f"{kind}, a device of {rate:,.0f} images/s, {way}: waits {share:.1%}, "
                    f"{images_per_s:,.0f} images/s with scoring"
                )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--metadata", required=True, help="a data set, with split and group")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--train-limit", type=int, help="photos, to see that it runs")
    parser.add_argument("--batch-size", type=int, default=128, help="images (default: 128)")
    arguments = parser.parse_args(argv)
    batch_size = arguments.batch_size
    extra = {}
    if arguments.train_limit:
        limit = arguments.train_limit
        extra = {"train_limit": limit, "valid_limit": limit, "epochs": 2}
    flags = [word for key, value in extra.items()
             for word in (f"--{key.replace('_', '-')}", str(value))]  # fmt: skip
    try:
        device = device_of(arguments.device)
        keep_freed_memory()
        say(f"{describe(device)}, {cores()} cores of {cpu_name()}, torch {torch.__version__}")
        rate = training_steps(device, batch_size, arguments.seconds)
        answers(device, batch_size, arguments.seconds)
        trainings(["--metadata", arguments.metadata], device, flags)
        say("\nloaders")
        loaders({"metadata": arguments.metadata}, rate, batch_size, extra)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
