"""What Kaggle would refuse in a metadata file, or, worse, accept with a warning.

The names are those of the kaggle command's manual (kernels.md, datasets_metadata.md).
"""

from __future__ import annotations

import re
from pathlib import Path

# NvidiaTeslaT4 is T4 x2. The P100 is left out: Kaggle's torch has no kernels for it.
MACHINES = ("NvidiaTeslaT4", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100", "NvidiaH100")
MACHINES += ("NvidiaRtxPro6000", "TpuV5E8", "TpuV6E8")
LICENCES = ("apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "GPL-3.0", "other")
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
SOURCES = {
    "dataset_sources": f"{SLUG}/{SLUG}",
    "competition_sources": SLUG,
    "kernel_sources": f"{SLUG}/{SLUG}",
    "model_sources": rf"{SLUG}/{SLUG}/\w+/[\w.-]+/\d+",
}


def slugified(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def problems_of_kernel(content: dict, folder: Path) -> list[str]:
    """What is wrong with a kernel-metadata.json that lies in `folder`."""
    found = problems_of_id(content, (5, 50))
    shape = content.get("machine_shape")
    accelerated = content.get("enable_gpu") or content.get("enable_tpu")
    if accelerated and shape not in MACHINES:
        found.append(f"machine_shape {shape!r} is none of {MACHINES}")
    if shape and not accelerated:
        found.append(f"machine_shape {shape!r} spends quota, without a GPU or TPU enabled")
    # Where it is missing, Kaggle's code and Kaggle's manual differ on the default.
    if not isinstance(content.get("enable_internet"), bool):
        found.append("enable_internet must be true or false")
    for name, pattern in SOURCES.items():
        for source in content.get(name, []):
            if not re.fullmatch(pattern, source):
                found.append(f"{name}: {source!r} is not well formed")
    if content.get("kernel_type") != "notebook" or content.get("language") != "python":
        found.append("must be a notebook in python")
    if not (folder / str(content.get("code_file"))).is_file():
        found.append(f"code_file {content.get('code_file')!r} is not there")
    return found


def problems_of_dataset(content: dict) -> list[str]:
    """What is wrong with a dataset-metadata.json."""
    found = problems_of_id(content, (6, 50))
    names = [licence.get("name") for licence in content.get("licenses", [])]
    if len(names) != 1 or names[0] not in LICENCES:
        found.append(f"needs exactly one licence of {LICENCES}, has {names}")
    elif names == ["other"] and not content.get("description"):
        found.append("licence other must be named in a description")
    if not 20 <= len(content.get("subtitle", "")) <= 80:
        found.append("subtitle must have 20 to 80 letters")
    return found


def problems_of_id(content: dict, letters: tuple[int, int]) -> list[str]:
    title, identity = str(content.get("title")), str(content.get("id"))
    found = []
    if not letters[0] <= len(title) <= letters[1]:
        found.append(f"title {title!r} must have {letters[0]} to {letters[1]} letters")
    if not re.fullmatch(f"{SLUG}/{SLUG}", identity):
        found.append(f"id {identity!r} must be user/slug")
    elif identity.split("/")[1] != slugified(title):
        found.append(f"id {identity!r} must end in the slug of the title, {slugified(title)!r}")
    return found
