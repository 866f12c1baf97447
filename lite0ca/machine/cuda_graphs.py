"""CUDA graphs: what is computed for batches of one shape is recorded once, then launched as one.

A photo is some 200 small kernels. To launch them one by one takes a CPU several times as long as
they take a GPU: 4.3 ms a photo on an H100, in float32 and in mixed precision alike. A batch of 100
and more keeps the GPU busy meanwhile, and gains nothing.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import torch

from lite0ca.errors import first_line

Answers = tuple[torch.Tensor | None, ...]
Ask = Callable[[torch.Tensor], Answers]
Record = Callable[[Ask, torch.Tensor], Ask]

MOST = 4  # shapes that are recorded; batches of others are launched kernel by kernel
WARM_UP = 3  # passes before one is recorded: cuDNN and cuBLAS choose their kernels in the first
# torch records one graph at a time in a process, and recordings share memory while they run.
ALONE = threading.Lock()


class Replayed:
    """`ask(batch)` -> tensors, asked on cuda as a recording from the second batch of a shape on.

    So a single photo, or the last batch of a folder, is not worth a recording. `batch` and what it
    returns are on the device; each answer is the caller's own. What `ask` computes with may change
    in place, as `load_state_dict` does, and must stay where it is. It is recorded without
    gradients, and hooks of its modules are not called: who needs these asks a network itself. All
    threads use one CUDA stream.

    Elsewhere than on cuda nothing is recorded; `record` is what records there in a test. Where
    recording fails that is said once, and no other shape is tried.
    """

    def __init__(self, ask: Ask, device: torch.device, record: Record | None = None):
        self.ask, self.recordings, self.seen = ask, {}, set()
        self.record = recorded if record is None and device.type == "cuda" else record

    def __call__(self, batch: torch.Tensor) -> Answers:
        with ALONE:
            if (replay := self.recording_for(batch)) is not None:
                # The next replay writes over what this one returns.
                return tuple(None if one is None else one.clone() for one in replay(batch))
        return self.ask(batch)

    def recording_for(self, batch: torch.Tensor) -> Ask | None:
        """None where there is none: the first batch of a shape, one shape too many, no cuda."""
        if self.record is None or torch.is_grad_enabled():
            return None
        kind = (batch.shape, batch.dtype)
        if kind not in self.seen:
            self.seen.add(kind)
        elif kind not in self.recordings and len(self.recordings) < MOST:
            try:
                self.recordings[kind] = self.record(self.ask, batch)
            except RuntimeError as error:  # no memory, or an operation that cannot be recorded
                self.record = None
                shape = " x ".join(map(str, batch.shape))
                print(
                    f"batches of {shape} are not recorded as a CUDA graph, which is slower: "
                    f"{first_line(error)[:200]}",
                    flush=True,
                )
                return None
        return self.recordings.get(kind)


def recorded(ask: Ask, batch: torch.Tensor) -> Ask:
    """A CUDA graph of `ask` for batches of this shape. What it returns is written over by the next
    replay of any recording. Raises `RuntimeError` if it cannot be recorded.
    """
    side = side_stream()
    side.wait_stream(torch.cuda.current_stream())
    # Not in inference mode: the state of torch's random numbers would be its for good, and then no
    # graph could be recorded for training. No kept casts: they would be freed before a replay.
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast("cuda", enabled=torch.is_autocast_enabled("cuda"), cache_enabled=False),
        torch.cuda.stream(side),
    ):
        given = batch.clone()
        for _ in range(WARM_UP):
            ask(given)
        graph = torch.cuda.CUDAGraph()
        # What other threads do meanwhile on the device does not spoil it.
        with torch.cuda.graph(graph, memory(), side, capture_error_mode="thread_local"):
            answers = ask(given)
    torch.cuda.current_stream().wait_stream(side)

    def replay(batch: torch.Tensor) -> Answers:
        given.copy_(batch)
        graph.replay()
        return answers

    return replay


@functools.cache
def side_stream() -> torch.cuda.Stream:
    """One for all recordings: cuBLAS keeps memory for each stream."""
    return torch.cuda.Stream()


@functools.cache
def memory():
    """The pool of all recordings. No two run at once, so what one has no use for at a point of its
    run is another's: together they take what the largest does, and their inputs and answers.
    """
    return torch.cuda.graph_pool_handle()
