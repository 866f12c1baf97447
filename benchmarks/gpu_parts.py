"""What `gpu.py` measures, part by part; each function is a part, in a process of its own."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import first_step
import input_pipeline
import numpy as np
import torch
import waiting
from gpu import say

from lite0ca.data import dataset
from lite0ca.errors import InputError, first_line
from lite0ca.evaluation.inference import Network
from lite0ca.formats.exported_file import FORMATS
from lite0ca.images.photo_store import PhotoReader
from lite0ca.machine.console import quiet
from lite0ca.machine.cuda_graphs import Replayed
from lite0ca.machine.device import Precision, describe, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.processor import cores, cpu_name
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.settings.config import AUGMENTATIONS, Config
from lite0ca.settings.systems import SYSTEMS
from lite0ca.speed.timing import Setup
from lite0ca.training.epoch import train_step
from lite0ca.training.state import State

SYSTEM, CLASSES, SIZE = "EfficientNet_Lite0_CA", 4, 224
WARM_UP = 3  # calls that are not timed
MOST = 240  # photos, to see how fast pictures are made
STAND_IN = 3000  # images/s of the device that sleeps
END_S = 25  # of a training: before its time budget begins to count, and after it is over
Answer = Callable[[torch.Tensor], torch.Tensor]


class Wanted:
    """What was asked for, and where a figure is noted."""

    def __init__(self, typed: argparse.Namespace):
        self.device = device_of(typed.device)
        self.metadata, self.limit = typed.metadata, typed.train_limit
        self.seconds, self.batch_size = typed.seconds, typed.batch_size
        self.began, self.most_s, self.figures = time.monotonic(), 60 * typed.minutes, typed.figures

    def note(self, what: str, name: str, figure) -> None:
        with open(self.figures, "a", encoding="utf-8") as file:
            file.write(json.dumps([what, name, figure]) + "\n")

    @property
    def flags(self) -> list[str]:
        """Of a training, beside its recipe."""
        flags = ["--metadata", self.metadata, "--device", self.device.type]
        flags += ["--num-workers", str(max(1, cores() - 2))]
        if self.limit:
            flags += ["--train-limit", self.limit, "--valid-limit", self.limit, "--epochs", 2]
            flags += ["--batch-size", self.batch_size]
        return list(map(str, flags))


def main(typed: argparse.Namespace) -> int:
    try:
        globals()[typed.part](Wanted(typed))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def synchronized(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def once_s(call: Callable[[], object], device: torch.device) -> float:
    began = synchronized(device)
    call()
    return synchronized(device) - began


def median_s(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Median seconds of a call, for about so many seconds after the warm-up."""
    for _ in range(WARM_UP):
        call()
    took, end = [], synchronized(device) + seconds
    while len(took) < 3 or time.perf_counter() < end:
        took.append(once_s(call, device))
    return float(np.median(took))


def steps(wanted: Wanted) -> None:
    """Images/s of training steps; what a first step costs, and one of a shape that is new."""
    device, images = wanted.device, wanted.batch_size
    say(f"{describe(device)}, {cores()} cores of {cpu_name()}, torch {torch.__version__}")
    say(f"{SYSTEM}, steps of {images} random images, {SIZE} pixels")
    keep_freed_memory()
    photos = torch.randint(256, (images, SIZE, SIZE, 3), dtype=torch.uint8)
    if device.type == "cuda":
        photos = photos.pin_memory()  # as --preset kaggle does
    numbers = torch.randint(CLASSES, (images,))
    for amp, exact in ((True, True), (True, False), (False, True)):
        torch.backends.cudnn.deterministic = exact
        config = Config.of(batch_size=images, ema=True)
        precision = Precision.of(device, amp)
        state = State.new(config, CLASSES, precision)
        state.model.train()

        def step(first=0, state=state, config=config, precision=precision):
            train_step(state, photos[first:], numbers[first:], config, precision, None)

        name = "mixed" if amp else "float32"
        name += ", deterministic" if exact else ", not deterministic"
        first_s = once_s(step, device)
        rate = images / median_s(step, device, wanted.seconds)
        another_s = once_s(partial(step, 1), device)  # one image fewer: cuDNN chooses again
        wanted.note("first step s", name, first_s)
        wanted.note("first step of another shape s", name, another_s)
        wanted.note("training images/s", name, rate)
        say(
            f"{name:24} {rate:9,.0f} images/s; the first step {first_s:.2f} s, the first of "
            f"another shape {another_s:.2f} s"
        )


def shapes(wanted: Wanted) -> None:
    """Where a network's first step in a new shape takes its time: cuDNN makes each layer ready for
    it. Without cuDNN there is nothing to make ready, and each step may take longer.
    """
    channels, precision = 96, Precision.of(wanted.device, True)
    kinds = ("1 x 1", 1, 1), ("3 x 3", 3, 1), ("3 x 3 depthwise", 3, channels)
    for name, kernel, groups in kinds:
        for cudnn, exact in ((True, True), (True, False), (False, False)):
            torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic = cudnn, exact
            layer = torch.nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups)
            layer.to(wanted.device, memory_format=torch.channels_last)
            for side in (32, 48):  # the first one loads libraries
                images = torch.rand(16, channels, side, side, device=wanted.device)
                images = images.to(memory_format=torch.channels_last).requires_grad_()

                def there_and_back(images=images, layer=layer):
                    with precision.autocast():
                        maps = layer(images)
                    maps.float().sum().backward()

                first_s = once_s(there_and_back, wanted.device)
            later_s = median_s(there_and_back, wanted.device, wanted.seconds / 5)
            way = "deterministic" if exact else "not deterministic" if cudnn else "without cuDNN"
            wanted.note("a layer's first pass ms", f"{name}, {way}", 1e3 * first_s)
            wanted.note("a layer's later passes ms", f"{name}, {way}", 1e3 * later_s)
            say(
                f"{name:15} {way:17} {1e3 * first_s:8.1f} ms at first, {1e3 * later_s:.2f} ms later"
            )


class Forms:
    """One network in many forms: milliseconds of one image, images/s of many, how far it is off."""

    def __init__(self, wanted: Wanted):
        torch.backends.cudnn.deterministic = False  # as it is where nobody trains
        self.wanted = wanted
        torch.manual_seed(0)  # the same network and images in each part
        self.model = build_model(SYSTEMS[SYSTEM], CLASSES, SIZE).eval()
        images = torch.rand(wanted.batch_size, 3, SIZE, SIZE)
        images = images.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            self.expected = self.model(images)
        self.images = images.to(wanted.device)
        self.asked_for = sorted({1, wanted.batch_size})
        say(f"{SYSTEM}, {SIZE} pixels; the last figure is the largest difference to a CPU's logits")

    def on_device(self) -> LeafClassifier:
        return self.model.to(self.wanted.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def time(self, name: str, answer: Answer, number: int, amp: bool = False) -> None:
        """A line, and a figure; what a form does not know how to do is said."""
        name = f"{name}, {'mixed' if amp else 'float32'}"
        batch, expected = self.images[:number], self.expected[:number]
        try:
            first_s = once_s(lambda: answer(batch), self.wanted.device)
            off = (answer(batch).float().cpu() - expected).abs().max().item()
            seconds = median_s(lambda: answer(batch), self.wanted.device, self.wanted.seconds)
        except Exception as error:  # such as no compiler: the other forms go on
            say(f"{name}: left out: {first_line(error)}")
            return
        if number == 1:
            self.wanted.note("one image ms", name, 1e3 * seconds)
        else:
            self.wanted.note(f"images/s, {number} at once", name, number / seconds)
        rate = f"{1e3 * seconds:8.2f} ms {number / seconds:9,.0f} images/s"
        say(f"{name:39} {number:4} at once {rate}, the first time {first_s:.2f} s; {off:.1e}")


def answers(wanted: Wanted) -> None:
    """What `predict` does, and what it would do without CUDA graphs."""
    forms = Forms(wanted)
    model, on_cuda = forms.on_device(), wanted.device.type == "cuda"
    for amp in (False, True)[: 1 + on_cuda]:
        for name, graph in (("eager", False), ("CUDA graph", True))[: 1 + on_cuda]:
            setup = Setup(Precision(wanted.device, amp), torch.get_num_threads(), graph)
            for number in forms.asked_for:
                forms.time(name, first_of(setup.asked(model)), number, amp)
    photos_answered(model, wanted)


def photos_answered(model: LeafClassifier, wanted: Wanted) -> None:
    """As `predict` asks: uint8 photos in the CPU's memory -> logits and distances there."""
    channels = sum(
        model.backbone.feature_info[number]["num_chs"] for number in strided(model.backbone)
    )
    model.distance = TrainingDistance(torch.randn(channels), torch.randn(channels, channels))
    asked = Network(model, Precision.for_answers(wanted.device, None))
    recorded, launched = asked.replayed, Replayed(asked.replayed.ask, torch.device("cpu"))
    for number in (1, min(32, wanted.batch_size)):
        photos = np.random.default_rng(0).integers(0, 256, (number, SIZE, SIZE, 3), np.uint8)
        took = []
        for asked.replayed in (launched, recorded):
            ask = partial(asked.answers, photos)
            took.append(1e3 * median_s(ask, wanted.device, wanted.seconds))
        for name, figure in zip(("kernel by kernel", "as predict does it"), took):
            wanted.note("photos to logits and distances ms", f"{number}, {name}", figure)
        say(
            f"{number:2} photos to logits and distances: {took[0]:.2f} ms kernel by kernel, "
            f"{took[1]:.2f} ms as predict does it ({took[0] / took[1]:.1f} times)"
        )


def compiled(wanted: Wanted) -> None:
    """torch.compile with CUDA graphs of its own, one image: each precision is compiled anew."""
    if wanted.device.type != "cuda":
        say("left out: of interest on cuda alone")
        return
    forms = Forms(wanted)
    model = torch.compile(forms.on_device(), mode="reduce-overhead", dynamic=False)
    for amp in (False, True):
        setup = Setup(Precision(wanted.device, amp), torch.get_num_threads())
        forms.time("torch.compile, reduce-overhead", first_of(setup.asked(model)), 1, amp)


def exported(wanted: Wanted) -> None:
    """The ONNX file with ONNX Runtime's own kernels, then with TensorRT, which builds anew for each
    size of a batch; from images in the CPU's memory to logits there.
    """
    if not FORMATS["onnx"].is_installed("onnx"):
        say("left out: onnx and onnxruntime are not installed")
        return
    forms, onnx = Forms(wanted), FORMATS["onnx"].module("onnx")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder, "model.onnx")
        onnx.write(forms.model, {"image_size": SIZE}, path)
        content = path.read_bytes()
    for place in ("cuda", "tensorrt") if wanted.device.type == "cuda" else ("cpu",):
        try:
            with quiet():
                session = onnx.Session(content, torch.get_num_threads(), place)
        except Exception as error:  # of whatever library is missing there
            say(f"left out: {first_line(error)}")
            continue
        for number in forms.asked_for:
            forms.time(f"ONNX Runtime, {place}", partial(of_session, session), number)


def first_of(ask: Callable[[torch.Tensor], tuple]) -> Answer:
    return lambda images: ask(images)[0]


def of_session(session, images: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(session(images.cpu().numpy())[0])


def kaggle(wanted: Wanted) -> None:
    training("--preset kaggle", wanted)


def strong(wanted: Wanted) -> None:
    training("--preset kaggle --augmentation strong", wanted)


def robust(wanted: Wanted) -> None:
    training("--preset robust", wanted)


def training(recipe: str, wanted: Wanted) -> None:
    """From the command to the run folder, the first epoch and the end; waiting of later epochs."""
    minutes = max(wanted.most_s - END_S, 10) / 60
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lite0ca", "train", *recipe.split(), *wanted.flags]
        command += ["--output-dir", folder, "--save-history", "--time-budget", f"{minutes:.2f}"]
        began, marks, stopped = time.monotonic(), {}, ""
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                for mark in ("run: ", "epoch "):
                    if line.startswith(mark):
                        marks.setdefault(mark, time.monotonic() - began)
                stopped = line.strip() if line.startswith("stopped: ") else stopped
        seconds = time.monotonic() - began
        if process.returncode:
            raise InputError(f"{' '.join(command)}: exit code {process.returncode}")
        found = list(Path(folder).glob("*/history.json"))
        kept = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
    waits, rate = (
        float(np.median(kept.get(name, [])[1:] or [math.nan]))
        for name in ("data_wait_share", "images_per_s")
    )
    begun, ended = marks.get("run: ", math.nan), marks.get("epoch ", math.nan)
    figures = {"first step s": begun, "epoch 1 s": ended, "end s": seconds}
    wanted.note("trainings", recipe, {**figures, "waits": waits, "images/s": rate})
    say(
        f"first step from {begun:.1f} s, epoch 1 at {ended:.1f} s, end {seconds:.1f} s; from epoch "
        f"2 on it waits {waits:.0%} of the steps' time, {rate:,.0f} images/s; {stopped}"
    )


def first(wanted: Wanted) -> None:
    beginning("step", "the device warmed up meanwhile", wanted)


def cold(wanted: Wanted) -> None:
    beginning("cold", "not warmed up", wanted)


def beginning(way: str, name: str, wanted: Wanted) -> None:
    """From the command to the first step, --preset kaggle, stage by stage."""
    flags = ["--preset", "kaggle", *wanted.flags]
    runs = {way: [first_step.one_run(first_step.HERE, flags, way)]}
    first_step.table(runs, "first", first_step.TOTAL)
    first_step.steps_of(runs)
    ((run,),) = runs.values()
    seconds = sum(wall for wall, _ in run["first"].values())
    wanted.note("to the first step s", name, seconds)
    wanted.note("to the end of the first step s", name, seconds + run["steps"][0])


def pictures(wanted: Wanted) -> None:
    """As a loader process makes them, on one core (`input_pipeline.py`)."""
    data = dataset.load(Config.of(metadata=wanted.metadata))
    most = min(MOST, wanted.limit or MOST, len(data.rows))
    files = list(map(str, data.rows["absolute_path"].sample(most, random_state=0)))
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    say(f"{len(files)} photos -> pictures of {SIZE} pixels")
    with tempfile.TemporaryDirectory() as folder:
        kept = input_pipeline.empty_cache(folder, files, SIZE)
        for how, reader in (("from the cache", kept), ("decoded", PhotoReader(SIZE))):
            for kind, seconds in input_pipeline.pictures(files, SIZE, reader):
                rate = len(files) / seconds
                wanted.note("pictures per CPU second", f"{kind}, {how}", rate)
                say(f"{kind}, {how}: {rate:,.0f} pictures a CPU second")


def loaders(wanted: Wanted) -> None:
    """The device that sleeps (`waiting.py`): batches anew in every epoch, and as one stream."""
    say(f"a device of {STAND_IN:,} images/s")
    for kind in AUGMENTATIONS:
        limits = {"train_limit": wanted.limit, "valid_limit": wanted.limit} if wanted.limit else {}
        settings = {"metadata": wanted.metadata, "augmentation": kind, **limits}
        settings |= {"epochs": 3, "batch_size": wanted.batch_size}
        config = Config.of(**settings, num_workers=max(1, cores() - 1))
        for way, epochs in waiting.shares(config, STAND_IN, rounds=1).items():
            share, images_per_s = map(float, np.median(epochs, axis=0))
            wanted.note("a stand-in waits", f"{kind}, {way}", share)
            say(f"{kind}, {way}: waits {share:.1%}, {images_per_s:,.0f} images/s with scoring")
