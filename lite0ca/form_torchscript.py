"""TorchScript, for programs with libtorch: traced and frozen. torch itself has deprecated it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

FACTS = "facts.json"


def write(network: nn.Module, facts: dict, path: Path) -> None:
    """Normalised float32 (batch, 3, S, S) -> logits (batch, classes)."""
    size = facts["image_size"]
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(network, torch.zeros(2, 3, size, size)))
        torch.jit.save(traced, str(path), _extra_files={FACTS: json.dumps(facts)})


class Session:
    """A TorchScript file, opened on the CPU: `facts`, and the call."""

    def __init__(self, path: Path, threads: int):
        stored = {FACTS: ""}
        with warnings.catch_warnings(action="ignore"):
            self.network = torch.jit.load(str(path), "cpu", _extra_files=stored)
        self.facts = json.loads(stored[FACTS] or "{}")
        self.threads = threads

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, S, S) normalised -> (B, classes) logits."""
        torch.set_num_threads(self.threads)
        return self.network(torch.from_numpy(images)).numpy()
