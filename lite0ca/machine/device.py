"""Where it computes: cpu, cuda or mps, with mixed precision or without."""

from __future__ import annotations

import contextlib
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lite0ca.errors import InputError
from lite0ca.machine.processor import cores, cpu_name

early: threading.Thread | None = None  # what `begin` has begun


def begin(name: str) -> None:
    """Have cuda load what its first calls wait for, in a thread beside imports: its context, cuBLAS
    and cuDNN, seconds from a disk that has not read them yet. `device_of` waits for it.
    """
    global early
    if name in ("auto", "cuda"):
        early = threading.Thread(target=touch, args=["cuda"], daemon=True)
        early.start()


def touch(device: str) -> None:
    """A convolution, a product and their gradients, of zeros: no random number is drawn."""
    with contextlib.suppress(Exception):  # `device_of` says what is wrong with a device
        filters = torch.zeros(8, 3, 3, 3, device=device, requires_grad=True)
        classes = torch.zeros(4, 8, device=device, requires_grad=True)
        with torch.autocast(device):
            maps = F.conv2d(torch.zeros(2, 3, 32, 32, device=device), filters)  # B C h w
            F.linear(maps.mean((2, 3)), classes).sum().backward()


def device_of(name: str, devices: int = 1) -> torch.device:
    """The device of `--device`; auto takes cuda, else mps, else cpu.

    Raises `InputError` if there is none, or not so many.
    """
    if early:
        early.join()
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
    if name == "cpu" and devices > cores():
        raise InputError(f"--devices {devices}: no more than cores on a CPU, here {cores()}")
    return torch.device(name)


def idle_gpus(device: torch.device) -> str | None:
    """What to say of the GPUs that a training on one does not use; None if there are none."""
    if device.type != "cuda" or (count := torch.cuda.device_count()) < 2:
        return None
    return (
        f"1 of {count} GPUs is used: --devices {count} trains on all (in a notebook: "
        f'overrides = {{"devices": {count}}})'
    )


def describe(device: torch.device) -> str:
    """The device as a benchmark names it: 'cpu, 2 threads, AMD EPYC'."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads, {cpu_name()}"
    return device.type


@dataclass(frozen=True)
class Precision:
    """Mixed precision, or not: what `--amp` means on a device."""

    device: torch.device
    amp: bool

    @classmethod
    def of(cls, device: torch.device, amp: bool | None) -> Precision:
        return cls(device, device.type == "cuda" if amp is None else amp)

    @classmethod
    def for_answers(cls, device: torch.device, amp: bool | None) -> Precision:
        """Mixed only if that is asked for: with 8 bits of mantissa the distance to the training
        photos is 1 to 5 % another, and a photo near the limit may be sure or not.
        """
        return cls(device, bool(amp))

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
