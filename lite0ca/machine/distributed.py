"""The processes of one training: which of them this is, and what they do together.

`torchrun` starts them and says so in the environment; without it there is one, and everything
here is nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable

import torch
import torch.distributed as dist

from lite0ca.machine.signals import end_with_parent
from lite0ca.machine.torchrun import first, on_this_machine, started

PATIENCE = datetime.timedelta(minutes=30)  # rank 0 may search for near-duplicates that long


def number() -> int:
    """The rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first_on_this_machine() -> bool:
    return not started() or os.environ["LOCAL_RANK"] == "0"


def machine() -> str:
    """Which of the ranks' machines this is; they are numbered."""
    return os.environ.get("GROUP_RANK", "0")


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def use_own_gpu() -> None:
    """Make "cuda" mean this rank's GPU, before anything touches another."""
    if started() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


@contextlib.contextmanager
def joined(device: torch.device):
    """In the group of ranks, if `torchrun` started this process, and silent but on rank 0.

    nccl between GPUs, gloo between CPUs. If a rank dies the others fail; they do not hang.
    """
    if not started() or dist.is_initialized():
        yield
        return
    end_with_parent(os.getppid())  # or it would wait for the others, when torchrun was killed
    with contextlib.ExitStack() as stack:
        if not first():
            silence = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(silence))
            os.environ["TQDM_DISABLE"] = "1"
        if device.type == "cpu":  # torchrun gives each rank one thread
            torch.set_num_threads(max(1, os.cpu_count() // on_this_machine()))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        stack.callback(dist.destroy_process_group)
        yield


def wait() -> None:
    """Until every rank is here."""
    if count() > 1:
        dist.barrier()


def from_first(work: Callable):
    """What `work()` gives on rank 0, on every rank; if it raises there, it raises everywhere."""
    if count() == 1:
        return work()
    answer = [None, None]
    if first():
        try:
            answer[0] = work()
        except Exception as error:
            answer[1] = error
    dist.broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def from_all(value) -> list:
    """The values of all ranks, in their order."""
    if count() == 1:
        return [value]
    values = [None] * count()
    dist.all_gather_object(values, value)
    return values


def largest(value: float, device: torch.device) -> float:
    """The largest of the ranks' values."""
    if count() == 1:
        return value
    shared = torch.tensor(float(value), device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return shared.item()


def added(values: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks; in place."""
    if count() > 1:
        dist.all_reduce(values)
    return values


@torch.no_grad()
def average_statistics(module: torch.nn.Module) -> None:
    """BatchNorm's running statistics become their mean over the ranks."""
    for buffer in module.buffers() if count() > 1 else ():
        if buffer.is_floating_point():
            buffer.copy_(added(buffer.clone()) / count())


def gathered(rows: torch.Tensor, total: int, device: torch.device) -> torch.Tensor:
    """All rows, (total, ...) on the CPU; this rank has numbers rank, rank + ranks, ... of them.

    They travel by `device`, the one that the ranks' group is for.

    No row is there twice: a rank with one row less sends a row that is cut off.
    """
    if count() == 1:
        return rows
    longest = -(-total // count())
    padded = rows.new_zeros(longest, *rows.shape[1:], device=device)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    return torch.stack(parts, dim=1).flatten(0, 1)[:total].cpu()  # longest ranks ... -> total ...
