"""CPU seconds of a command that answers one photo, beside a bare `import torch`, in turns.

`python benchmarks/startup.py [--run RUN] [--rounds 5]`. Without a run, one with random weights is
made and exported: what is counted does not depend on what it has learned. CPU seconds of all
threads, since wall time is whatever else runs here.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from lite0ca.machine.processor import cores, cpu_name

FIRST = "import torch"  # the row that the others are held against


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--run", type=Path, help="one with an exported ONNX file")
    parser.add_argument("--rounds", type=int, default=5)
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder, "sample")
        call("-m", "lite0ca", "sample", sample)
        run = typed.run or made_run(sample, Path(folder, "results"))
        photo = next(sample.glob("*/*.jpg"))
        plain = Path(folder, "plain")  # the same run, not exported
        plain.mkdir()
        shutil.copy(run / "best_model.pt", plain)
        commands = {
            FIRST: ["-c", "import torch"],
            "lite0ca --version": ["-m", "lite0ca", "--version"],
            "predict, with an ONNX file": ["-m", "lite0ca", "predict", run, photo],
            "predict, best_model.pt alone": [
                *("-m", "lite0ca", "predict", plain, photo, "--device", "cpu")
            ],
            "lite0ca.load(RUN).predict(photo)": [
                *("-c", f"import lite0ca; lite0ca.load({str(run)!r}).predict({str(photo)!r})")
            ],
        }
        seconds = {name: [] for name in commands}
        for command in commands.values():  # fills the disk's cache, and Python's
            call(*command)
        for _ in range(typed.rounds):
            for name, command in commands.items():
                seconds[name].append(call(*command))
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "onnxruntime"))
    print(f"{cpu_name()}, {cores()} cores; Python {platform.python_version()}, {packages}")
    base = statistics.median(seconds[FIRST])
    print(f"{'CPU seconds, median of ' + str(typed.rounds):34} {'':>6} {'range':>14} {'ratio':>6}")
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{name:34} {median:6.2f} {spread:>14} {median / base:6.2f}")


def made_run(sample: Path, results: Path) -> Path:
    """A run of one step, with its ONNX file."""
    data = ["--metadata", sample / "metadata.csv", "--output-dir", results]
    call("-m", "lite0ca", "train", "--epochs", 1, "--train-limit", 8, "--valid-limit", 8, *data)
    (run,) = results.iterdir()
    call("-m", "lite0ca", "export", run)
    return run


def call(*arguments) -> float:
    """The CPU seconds of Python with these arguments."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = os.times()
    user = after.children_user - before.children_user
    system = after.children_system - before.children_system
    return user + system


if __name__ == "__main__":
    main()
