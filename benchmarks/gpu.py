"""What a GPU does with this project: `python benchmarks/gpu.py --metadata my/metadata.csv`.

Training steps in each precision and what `cudnn.deterministic` costs, one image in every form that
is at hand and how near `predict` comes to the best of them, how long a training takes from its
command to its first step and how long its device waits for data. Prints as it goes, needs no
network, takes under eight minutes. On a CPU it runs as well (`--device cpu --seconds 0.1
--batch-size 4 --train-limit 40`), to see that it does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import first_step
import numpy as np
import torch
import waiting

from lite0ca.errors import InputError
from lite0ca.evaluation.inference import Network
from lite0ca.formats.exported_file import FORMATS
from lite0ca.machine.cuda_graphs import Replayed
from lite0ca.machine.device import Precision, describe, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.processor import cores, cpu_name
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.config import Config
from lite0ca.settings.systems import SYSTEMS
from lite0ca.speed.timing import Setup
from lite0ca.training.epoch import train_step
from lite0ca.training.state import State

SYSTEM, CLASSES, SIZE = "EfficientNet_Lite0_CA", 4, 224
WARM_UP = 3  # calls that are not timed
EAGER, GRAPH = "eager", "CUDA graph"
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


def forms(model: LeafClassifier, precision: Precision) -> Iterator[tuple[str, Answer]]:
    """(name, images (B, 3, S, S) -> logits (B, classes)) of each form that this machine has."""
    on_cuda = precision.device.type == "cuda"
    yield EAGER, first(Setup(precision, torch.get_num_threads()).asked(model))
    if on_cuda:
        yield GRAPH, first(Setup(precision, torch.get_num_threads(), graph=True).asked(model))
        compiled = torch.compile(model, mode="reduce-overhead")
        yield "torch.compile, reduce-overhead", first(Setup(precision, 1).asked(compiled))
    if precision.amp or not FORMATS["onnx"].is_installed("onnx"):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        on_cpu = build_model(SYSTEMS[SYSTEM], CLASSES, SIZE).eval()
        on_cpu.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
        onnx = FORMATS["onnx"].module("onnx")
        providers = FORMATS["onnx"].module("onnx_runtime").PROVIDERS
        onnx.write(on_cpu, {"image_size": SIZE}, path)
        content = path.read_bytes()
    for place in ("cuda", "tensorrt") if on_cuda else ("cpu",):
        try:
            session = onnx.Session(content, torch.get_num_threads(), place)
        except Exception as error:  # of whatever library is missing there
            say(f"left out: {str(error).splitlines()[0]}")
            continue
        yield f"ONNX Runtime, {providers[place]}", partial(of_session, session)


def first(ask: Callable[[torch.Tensor], tuple]) -> Answer:
    return lambda images: ask(images)[0]


def of_session(session, images: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(session(images.cpu().numpy())[0])


@torch.inference_mode()
def answers(device: torch.device, batch_size: int, seconds: float) -> None:
    """Milliseconds of one image and images/s of many, in each form, and how far it is off."""
    say(f"\n{SYSTEM}, answers, {SIZE} pixels; largest difference to eager float32 logits")
    torch.backends.cudnn.deterministic = False
    model = build_model(SYSTEMS[SYSTEM], CLASSES, SIZE).eval()
    images = torch.rand(batch_size, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    on_cpu = model(images[:8])
    model.to(device, memory_format=torch.channels_last)
    images = images.to(device)
    expected = model(images[:8]).float().cpu()
    if device.type == "cuda":
        say(f"eager float32 is {(expected - on_cpu).abs().max():.1e} off the CPU's: TF32")
    milliseconds = {}
    for amp in (False, True) if device.type == "cuda" else (False,):
        for name, answer in forms(model, Precision.of(device, amp)):
            try:
                off = (answer(images[:8]).float().cpu() - expected).abs().max().item()
                one, many = (
                    median_s(lambda b=batch: answer(images[:b]), device, seconds)  # noqa: B023
                    for batch in (1, batch_size)
                )
            except Exception as error:  # such as no compiler: the other forms go on
                say(f"{name:34} left out: {str(error).splitlines()[0]}")
                continue
            milliseconds[name, amp] = 1e3 * one
            kind = "mixed" if amp else "float32"
            took = f"{1e3 * one:7.2f} ms {batch_size / many:9,.0f} images/s"
            say(f"{name:34} {kind:8} {took} {off:.1e}")
    if (GRAPH, False) in milliseconds:
        ours, best = milliseconds[GRAPH, False], min(milliseconds, key=milliseconds.get)
        say(
            f"predict's form, the CUDA graph in float32: {milliseconds[EAGER, False] / ours:.1f} "
            f"times as fast as eager, {milliseconds[best] / ours:.0%} of the speed of the best, "
            f"{best[0]}{', mixed' if best[1] else ''}"
        )
    photos_answered(model, device, min(32, batch_size), seconds)
    torch.backends.cudnn.deterministic = True


def photos_answered(model: LeafClassifier, device: torch.device, many: int, seconds: float) -> None:
    """As `predict` asks: uint8 photos in the CPU's memory -> logits and distances there."""
    channels = sum(
        model.backbone.feature_info[number]["num_chs"] for number in strided(model.backbone)
    )
    model.distance = TrainingDistance(torch.randn(channels), torch.randn(channels, channels))
    asked = Network(model, Precision.for_answers(device, None))
    for photos in (1, many):
        batch = np.random.default_rng(0).integers(0, 256, (photos, SIZE, SIZE, 3), np.uint8)
        replayed = median_s(lambda b=batch: asked.answers(b), device, seconds)
        record, asked.replayed = asked.replayed, Replayed(asked.replayed.ask, torch.device("cpu"))
        launched = median_s(lambda b=batch: asked.answers(b), device, seconds)
        asked.replayed = record
        say(
            f"{photos:2} photos to logits and distances: {1e3 * launched:.2f} ms kernel by kernel, "
            f"{1e3 * replayed:.2f} ms as predict does it ({launched / replayed:.1f} times)"
        )


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


def beginnings(data: list[str], device: torch.device, extra: list[str]) -> None:
    """From the command to the first step, stage by stage, with the device warmed up and without."""
    say("\nfrom the command to the first step, --preset kaggle: seconds")
    flags = ["--preset", "kaggle", *data, *extra, "--device", device.type]
    flags += ["--num-workers", str(max(1, cores() - 2))]
    runs = {way: [first_step.one_run(first_step.HERE, flags, way)] for way in ("step", "cold")}
    first_step.table(runs, "first", first_step.TOTAL)
    first_step.steps_of(runs)


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
        beginnings(["--metadata", arguments.metadata], device, flags)
        trainings(["--metadata", arguments.metadata], device, flags)
        say("\nloaders")
        loaders({"metadata": arguments.metadata}, rate, batch_size, extra)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
