"""TorchScript, for programs with libtorch: traced and frozen. torch itself has deprecated it."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

FACTS = "facts.json"
# A TorchScript file is a program. Its operations on tensors are harmless; these reach files, other
# libraries and other machines.
DANGEROUS = re.compile(r"\b(save|from_file)\s*\(|\bops\.(?!prim\b)\w+")


def write(network: nn.Module, facts: dict, path: Path) -> None:
    """Normalised float32 (batch, 3, S, S) -> logits (batch, classes)."""
    size = facts["image_size"]
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(network, torch.zeros(2, 3, size, size)))
        # On a full disk torch's own writer ends the process, so it writes into memory.
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files={FACTS: json.dumps(facts)})
    path.write_bytes(content.getvalue())


def refuse_programs(path: Path) -> None:
    """Raise `ValueError` before a file's code runs, if it does more than compute."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".py") and (found := DANGEROUS.search(archive.read(name).decode())):
                raise ValueError(f"it does more than compute: {found[0].strip()}")


class Session:
    """A TorchScript file, opened on the CPU: `facts`, and the call."""

    def __init__(self, path: Path, threads: int):
        refuse_programs(path)
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
