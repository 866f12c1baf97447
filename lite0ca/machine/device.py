"""The one place that knows the machine: device, cores, allocator, Kaggle's folders, versions."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from lite0ca import __version__
from lite0ca.errors import InputError

KAGGLE_INPUT = Path("/kaggle/input")
PACKAGES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless", "numpy")
PACKAGES += ("pandas", "scikit-learn", "pillow")


def device_of(name: str, devices: int = 1) -> torch.device:
    """The device of `--device`; auto takes cuda, else mps, else cpu.

    Raises `InputError` if there is none, or not so many.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    elif (name == "cuda" and not cuda) or (name == "mps" and not mps):
        raise InputError(f"--device {name}: torch {torch.__version__} sees none here; use auto")
    if name == "cuda":
        try:
            torch.zeros(1, device="cuda").add(1).item()
        except RuntimeError as error:  # such as Kaggle's P100: "no kernel image is available"
            raise InputError(
                f"--device cuda: torch {torch.__version__} does not run on this "
                f"{torch.cuda.get_device_name()} ({str(error).splitlines()[0]}); on Kaggle choose "
                "T4 x2, or use --device cpu"
            ) from None
    if name == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"--devices {devices}: torch sees {torch.cuda.device_count()} GPUs here")
    if name == "mps" and devices > 1:
        raise InputError(f"--devices {devices}: there is one mps device; use --device cpu")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """The device as a benchmark names it: 'cpu, 2 threads, AMD EPYC'."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads, {cpu_name()}"
    return device.type


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def keep_freed_memory() -> None:
    """Let the C allocator reuse large blocks instead of returning each to the system.

    A training step on a CPU allocates and frees the same large tensors over and over; with
    glibc's defaults each comes as fresh pages, and the page faults cost half of the time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    libc = ctypes.CDLL(None)
    # Before glibc 2.35 the largest threshold was 32 MB, and a larger one is refused.
    libc.mallopt(mmap_threshold, 2**31 - 1) or libc.mallopt(mmap_threshold, 2**25)
    libc.mallopt(trim_threshold, -1)  # never; at 2**30 a batch of 96 was still trimmed each step
    libc.mallopt(top_pad, 2**26)
    # What an earlier run in this process left is given back: loader processes would share it, and
    # each of its pages be copied at the next write, gigabytes in all.
    gc.collect()
    libc.malloc_trim(0)


def peak_memory_mb(work: Callable[[], None], device: torch.device) -> float | None:
    """The most memory that `work` holds at once beyond what is held now; None where unknown.

    On a CPU by Linux's own peak of the process, so it counts what libraries allocate as well.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    if device.type != "cpu" or not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # kept memory would hide what is taken
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = status_mb("VmRSS")
    work()
    return status_mb("VmHWM") - before


def status_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def free_memory_gb() -> float:
    """Memory that can be had without others losing theirs: Linux's estimate, a container's limit.

    0 where neither is known.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        return 0.0
    try:
        folder = Path("/sys/fs/cgroup")
        limit = int((folder / "memory.max").read_text(encoding="ascii"))  # ValueError: "max"
        free = min(free, limit - int((folder / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    return free / 1e9


def cache_folder() -> Path:
    """Where files may lie that can be made again; not among what Kaggle keeps of a session."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lite0ca"


def shows_progress() -> bool:
    """Whether somebody watches: a terminal, or a notebook that is not a batch run.

    TQDM_DISABLE=1, tqdm's own variable, says no: for notebooks that papermill runs.
    """
    if os.environ.get("TQDM_DISABLE"):
        return False
    batch = os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch"
    return (in_notebook() and not batch) or sys.stderr.isatty()


def in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has imported it before anything else
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def bar(steps, title: str, total: int | None = None):
    """`steps`, with a tqdm bar where somebody watches."""
    with warnings.catch_warnings(action="ignore"):  # of a missing ipywidgets: plain bars will do
        from tqdm.auto import tqdm

    # A notebook paints what is written to stderr red, and a bar that is gone leaves a red stripe.
    file = sys.stdout if in_notebook() else sys.stderr
    return tqdm(steps, title, total, leave=False, file=file, disable=not shows_progress())


def kaggle_folders() -> list[Path]:
    """The data sets attached to a Kaggle session, in the old mount layout and the new one."""
    patterns = ("*", "datasets/*/*", "competitions/*")
    found = [folder for pattern in patterns for folder in sorted(KAGGLE_INPUT.glob(pattern))]
    above = {KAGGLE_INPUT / "datasets", KAGGLE_INPUT / "competitions"}
    return [folder for folder in found if folder.is_dir() and folder not in above]


def environment(device: torch.device) -> dict:
    """What a result depends on beside its settings: versions, device, threads, commit."""
    return {
        "lite0ca": __version__,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "packages": versions(PACKAGES),
        "platform": platform.platform(),
        "device": describe(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def git_commit() -> str | None:
    """The commit of this checkout, with "-dirty" behind it where it was changed; else None."""
    folder = Path(__file__).resolve().parents[2]  # of the package
    if not (folder / ".git").exists():  # installed, perhaps into a folder of another repository
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty"]
    command += ["--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """What is installed of them; None for what is not."""
    found = dict.fromkeys(packages)
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@dataclass(frozen=True)
class Precision:
    """Mixed precision, or not: what `--amp` means on a device."""

    device: torch.device
    amp: bool

    @classmethod
    def of(cls, device: torch.device, amp: bool | None) -> Precision:
        return cls(device, device.type == "cuda" if amp is None else amp)

    @property
    def dtype(self) -> torch.dtype:
        half = self.device.type == "cuda" and torch.cuda.get_device_capability()[0] < 8
        return torch.float16 if half else torch.bfloat16

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.dtype, enabled=self.amp)


CPU = Precision(torch.device("cpu"), amp=False)


def to_device(photos: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 (B, H, W, 3) -> uint8 (B, 3, H, W) on the device, in channels-last memory."""
    return photos.to(device, non_blocking=True).permute(0, 3, 1, 2)
