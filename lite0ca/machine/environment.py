"""What a result depends on beside its settings: versions and commit; and Kaggle's folders."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from lite0ca import __version__
from lite0ca.machine.device import describe

KAGGLE_INPUT = Path("/kaggle/input")
PACKAGES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless", "numpy")
PACKAGES += ("pandas", "scikit-learn", "pillow")


def cache_folder() -> Path:
    """Where files may lie that can be made again; not among what Kaggle keeps of a session."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lite0ca"


def kaggle_folders() -> list[Path]:
    """The data attached to a Kaggle session, in the old mount layout and the new one."""
    patterns = ("*", "datasets/*/*", "competitions/*", "notebooks/*/*")
    found = [folder for pattern in patterns for folder in sorted(KAGGLE_INPUT.glob(pattern))]
    others = {KAGGLE_INPUT / name for name in ("datasets", "competitions", "notebooks")}
    others |= {
        run.parents[1] for run in [*kaggle_runs(), *kaggle_begun()]
    }  # whose tables name photos elsewhere
    return [folder for folder in found if folder.is_dir() and folder not in others]


def kaggle_runs() -> list[Path]:
    """The runs in attached outputs of other kernels, in both mount layouts; the newest last."""
    return runs_with("best_model.pt")


def kaggle_begun() -> list[Path]:
    """As `kaggle_runs`, with those of which no epoch is finished yet."""
    return runs_with("last.pt")


def runs_with(name: str) -> list[Path]:
    patterns = ("*", "notebooks/*/*")
    files = [f for p in patterns for f in KAGGLE_INPUT.glob(f"{p}/results/*/{name}")]
    age = lambda file: (file.stat().st_mtime, file.parent.name)  # noqa: E731
    return [file.parent for file in sorted(files, key=age)]


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
