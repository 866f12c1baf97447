"""Memory: kept by the C allocator, measured at its peak, and what is free."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

try:
    import resource
except ImportError:  # Windows
    resource = None

SHARE, ADDRESSES_A_CORE = 0.75, 2**27  # what `within_free_memory` grants


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


@contextlib.contextmanager
def nothing_collected():
    """Around imports. All that they make stays, and Python's collector would look through it again
    and again: a sixth of the time of importing torch and timm, and 0.2 s each later time.
    """
    was_on, first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first:  # nothing that is worth collecting is there yet
            gc.freeze()
        if was_on:
            gc.enable()


def peak_memory_mb(work: Callable[[], None], device: torch.device) -> float | None:
    """The most memory that `work` holds at once beyond what is held now; None where unknown.

    On a CPU by Linux's own peak of the process, so it counts what libraries allocate as well.
    """
    if device.type == "cuda":
        import torch

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


@contextlib.contextmanager
def within_free_memory():
    """Meanwhile a request beyond most of the free memory fails: Linux would grant it, and then kill
    whoever is largest. For what strangers' files ask for; without effect where it cannot be had.
    """
    free = free_memory_gb() * 1e9
    if not free or resource is None:
        yield
        return
    # Of addresses, not of memory: each thread takes some that it never touches.
    more = int(SHARE * free) + ADDRESSES_A_CORE * (os.cpu_count() or 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([address_space() + more, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def address_space() -> int:
    """Bytes of this process's addresses, most of which are no memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()
