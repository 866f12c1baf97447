"""What an exported file must show: the answers of the network that it was made from."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from lite0ca.errors import first_line
from lite0ca.evaluation.certainty import LIMIT
from lite0ca.evaluation.inference import answers_of_batches
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.formats.opening import open_file
from lite0ca.images.reading import read_image
from lite0ca.machine.device import CPU
from lite0ca.speed.timing import Setup, measured, summary, using

FLOAT_TOLERANCE = 1e-3  # of a logit or a distance of 1, and every answer the same
# How many answers have to stay, of forms by their last word; of the others all, and the logits.
LEAST = {"int8": 0.99, "page": 0.995}
LEAST_UNLIKE = 0.97  # of these forms: how many verdicts, unlike the training photos or not
ROUNDS, SECONDS = 5, 0.1  # of timing, each form in turn: a second a form
# Rows beside the forms
NOISY = "torch, photos +-1 grey level"
ON_CUDA = "onnx on cuda"


class Verification:
    """The answers of a trained network to the photos of a split, to hold files against."""

    def __init__(self, network: nn.Module, batches: list, rows, metadata: dict):
        self.network = network.to(CPU.device)
        self.batches, self.paths, self.metadata = batches, list(rows["absolute_path"]), metadata
        self.logits, self.distances, self.truth = self.answers(network, batches)

    def answers(self, network: nn.Module, batches: list) -> tuple[np.ndarray, ...]:
        """(logits (N, classes), distances (N,) or None, class numbers (N,))"""
        found = answers_of_batches(network, batches, CPU)
        return tuple(None if values is None else values.numpy() for values in found)

    def of(self, network: nn.Module, form: str) -> dict:
        """Scores, differences, and whether they pass. `network` is an exported file, opened."""
        logits, distances, _ = self.answers(network, self.batches)
        expected = self.logits
        if network.exported.takes_photos:  # and answers with probabilities
            expected = log_softmax(expected / self.metadata["temperature"])
        row = self.compared(logits, expected) | self.compared_distances(distances)
        problem = problem_of(row, form.split()[-1])
        if problem is None and network.exported.takes_photos:
            row |= self.of_whole_photos(network, expected)
        return row | {"passed": problem is None, "problem": problem}

    def on_cuda(self, path: Path) -> dict:
        """A row of its own for an ONNX file that passed on the CPU, as ONNX Runtime's CUDA answers.

        How fast that is `bench --forms` measures.
        """
        began = time.monotonic()
        row = {"form": ON_CUDA, "file": None}
        try:
            row |= self.of(open_file(path, device="cuda")[1], ON_CUDA)
        except Exception as error:  # whatever drivers and libraries there raise: the file is good
            row |= {"passed": False, "problem": first_line(error)[:200]}
        return row | {"seconds": time.monotonic() - began}

    def of_noisy_photos(self) -> dict:
        """The trained network itself, on photos with at most one grey level of noise.

        What an int8 file changes is to be held against this: a network that hangs on the finest
        grain loses answers to any rounding, and to any camera.
        """
        generator = torch.Generator().manual_seed(0)
        noisy = [(with_noise(photos, generator), numbers) for photos, numbers in self.batches]
        logits, distances, _ = self.answers(self.network, noisy)
        row = self.compared(logits, self.logits) | self.compared_distances(distances)
        return row | {"form": NOISY, "file": None, "passed": True, "problem": None}

    def compared(self, logits: np.ndarray, expected: np.ndarray) -> dict:
        answers, expected_answers = logits.argmax(1), expected.argmax(1)
        reference = macro_f1(self.truth, expected_answers)
        return {
            "accuracy": float((answers == self.truth).mean()),
            "macro_f1": macro_f1(self.truth, answers),
            "macro_f1_change": macro_f1(self.truth, answers) - reference,
            "agreement": float((answers == expected_answers).mean()),
            "largest_logit_difference": float(np.abs(logits - expected).max()),
        }

    def compared_distances(self, distances: np.ndarray | None) -> dict:
        """Nothing where the trained network itself does not know its training photos."""
        if self.distances is None:
            return {}
        if distances is None:
            raise ValueError("it gives no distance to the training photos")
        unlike, expected = distances > LIMIT, self.distances > LIMIT
        near = np.abs(self.distances - LIMIT) <= FLOAT_TOLERANCE
        differences = np.abs(distances - self.distances) / np.maximum(self.distances, LIMIT)
        return {
            "unlike": float(unlike.mean()),
            "unlike_agreement": float(((unlike == expected) | near).mean()),
            "largest_distance_difference": float(differences.max()),
        }

    def of_whole_photos(self, network: nn.Module, expected: np.ndarray) -> dict:
        """The file's own resizing against ours, on the photos as they lie on the disk.

        Reported, not judged: a photo much larger than the input is averaged once there and twice
        here, and a network that hangs on the finest grain answers otherwise.
        """
        of_photo = network.exported.session.of_photo
        probabilities, distances = zip(*(of_photo(read_image(path)) for path in self.paths))
        answers, far = np.stack(probabilities), {}
        if self.distances is not None:
            found = self.compared_distances(np.array(distances, np.float32))
            far = {f"photo_{name}": value for name, value in found.items()}
        return far | {
            "photo_agreement": float((answers.argmax(1) == expected.argmax(1)).mean()),
            "largest_probability_difference": float(np.abs(answers - np.exp(expected)).max()),
        }


def problem_of(row: dict, kind: str) -> str | None:
    """What a form of this kind, "int8", "page" or another, misses; None if it passes."""
    same, difference = row["agreement"], row["largest_logit_difference"]
    same_unlike = row.get("unlike_agreement", 1.0)
    farther = row.get("largest_distance_difference", 0.0)
    unlike = f"agrees on which photos are unlike the training photos for {same_unlike:.1%}"
    if kind in LEAST:
        if not same >= LEAST[kind]:
            return f"agrees on {same:.1%}, {LEAST[kind]:.1%} are needed"
        if not same_unlike >= LEAST_UNLIKE:
            return f"{unlike}, {LEAST_UNLIKE:.1%} are needed"
        return None
    if same < 1:
        return f"agrees on {same:.1%} only, logits within {difference:.2g}"
    if not difference <= FLOAT_TOLERANCE:
        return f"logits differ by {difference:.2g}, {FLOAT_TOLERANCE:g} are allowed"
    if not farther <= FLOAT_TOLERANCE:
        return f"distances differ by {farther:.2g}, {FLOAT_TOLERANCE:g} are allowed"
    return None if same_unlike == 1 else f"{unlike} only"


def with_noise(photos: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """uint8 photos, each value changed by -1, 0 or 1."""
    noise = torch.randint(-1, 2, photos.shape, generator=generator, dtype=torch.int16)
    return (photos.short() + noise).clamp(0, 255).byte()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).log_softmax(dim=1).numpy()


def with_speed(rows: list[dict], networks: dict, trained: nn.Module, image_size: int) -> list[dict]:
    """The rows with latency and throughput, torch's own first; all take turns in this process."""
    setup = Setup(CPU, torch.get_num_threads())
    models = {"torch": trained, **networks}
    with using(setup, {"torch": trained}):
        times = measured(models, setup, image_size, 16, ROUNDS, SECONDS)
    figures = {name: summary(*times[name], 16) for name in models}
    first = figures["torch"]["latency_ms"]
    rows = [{"form": "torch", "file": None, "passed": True, "problem": None}, *rows]
    for row in rows:
        if own := figures.get(row["file"] or row["form"]):
            row |= own | {"times_torch": first / own["latency_ms"]}
    return rows


def verdict(row: dict) -> str:
    """One line for a person who waits."""
    failed = "" if row["passed"] else f"FAILED: {row['problem']}; "
    if "size_mb" not in row and (row["file"] or "agreement" not in row):
        kept = "not kept" if row["file"] else "not asked"
        return f"{row['form']}: {failed}{kept} ({row['seconds']:.0f} s)"
    file = f"{row['file']}, {row['size_mb']:.1f} MB, " if row["file"] else ""
    return (
        f"{row['form']}: {failed}{file}macro-F1 {row['macro_f1']:.4f}, "
        f"same answer on {row['agreement']:.1%}, largest logit difference "
        f"{row['largest_logit_difference']:.2g} ({row['seconds']:.0f} s)"
    )


def as_table(rows: list[dict]) -> pd.DataFrame:
    """The columns that a person compares, as text, a row a form."""
    shown = {
        "form": ("form", "{}"),
        "size_mb": ("MB", "{:.1f}"),
        "accuracy": ("accuracy", "{:.3f}"),
        "macro_f1": ("macro-F1", "{:.3f}"),
        "agreement": ("same answer", "{:.1%}"),
        "unlike_agreement": ("same unlike", "{:.1%}"),
        "largest_logit_difference": ("logits differ by", "{:.1g}"),
        "latency_ms": ("ms", "{:.1f}"),
        "times_torch": ("x torch", "{:.1f}"),
        "images_per_s": ("images/s", "{:.0f}"),
    }
    return pd.DataFrame(
        {
            title: [write.format(row[name]) if name in row else "" for row in rows]
            for name, (title, write) in shown.items()
            if name != "unlike_agreement" or any(name in row for row in rows)
        }
    )
