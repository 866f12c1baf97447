# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Benchmark: every system side by side
#
# You will
# - time all systems of the table on this machine, taking turns,
# - see score against latency and against size, and which systems no other beats in both,
# - read the guide's figures beside the measured ones.
#
# As it stands the images are small and the rounds few, so that it runs in a minute. For figures to
# quote set `pixels = 224`, `batch_size = 32`, `rounds = 5`, `seconds = 0.5`, or run
# `lite0ca bench`.

# %% jupyter={"source_hidden": true} _kg_hide-input=true
# Installs lite0ca where it is missing: from Kaggle's attached wheels (no internet), or a clone.
import importlib.util
import subprocess
import sys
from pathlib import Path

if not getattr(importlib.util.find_spec("lite0ca"), "origin", None):  # a clone here is no package
    inputs = Path("/kaggle/input")
    found = [w for p in ("*", "datasets/*/*") for w in inputs.glob(f"{p}/lite0ca-*.whl")]
    clones = [p for p in ("..", ".", "./lite0ca") if Path(p, "lite0ca/__main__.py").is_file()]
    if not found and not clones:
        raise ModuleNotFoundError("attach the data set of wheels (kaggle/README.md), or clone")
    what = ["--no-index", "--no-deps", *found[0].parent.glob("*.whl")] if found else clones[:1]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *what], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters"]
preset = "sample"  # for your photos "robust", or "fast" in a hurry; or one of the guide's
overrides = {}  # settings over the preset, such as {"epochs": 5}
metadata = "sample"  # the drawn one; your CSV; None: data/metadata.csv, or what Kaggle attached
data_dir = None  # or a folder with a sub-folder a class; then metadata is not used
results = None  # a folder with finished runs, whose scores are shown; None: train `score` here
score = ["EfficientNet_Lite0_CA", "EfficientNet_Lite0"]
systems = []  # names of those to time, EfficientNet_Lite0_CA among them; none: all
pixels = 64  # 224 for figures to quote
batch_size = 8  # 32
rounds = 1
seconds = 0.05

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# ## The same answer first
# Layouts and precisions may only be compared if they give the same answer. Channels-last memory
# against the default one:

# %% tags=["nbval-check-output"]
import torch

from lite0ca.model.network import build_model

torch.manual_seed(0)
model = build_model(config.system, classes=4).eval()
photos = torch.rand(2, 3, 224, 224)
with torch.inference_mode():
    plain = model(photos)
    model, photos = (x.to(memory_format=torch.channels_last) for x in (model, photos))
    turned = model(photos)
torch.testing.assert_close(plain, turned, rtol=1e-3, atol=1e-4)
print("equal")

# %% [markdown]
# ## Scores to set against speed
# From the finished runs in `results`; without it the systems of `score` are trained here. Systems
# with neither have a cost and no score.

# %%
import tempfile
from dataclasses import replace

from lite0ca.training.fit import fit

if results is None:
    Path("build").mkdir(exist_ok=True)
    results = tempfile.mkdtemp(prefix="benchmark_", dir="build")
    for name in score:
        fit(replace(config, model_name=name, output_dir=results, save_history=True))

# %% [markdown]
# ## Turns
# In each round every system answers one image, then a batch, again and again; then comes the next
# system. What else the machine does meets all of them. First with one thread, then with all; on a
# GPU in float32, then in mixed precision.

# %%
from lite0ca.speed.systems import SCORE, as_table, benchmark, fastest, title_of

timing = replace(config, image_size=pixels)
table = benchmark(tuple(systems), timing, batch_size, rounds, seconds, results)
title = title_of(timing, table)
print(title)
as_table(table).set_index(["setup", "system"])

# %%
from lite0ca.plots.speed import accuracy_against_cost, speeds

notebook.picture(speeds(table, title), dpi=70)

# %% [markdown]
# Score against cost. A system on the line is beaten by none: whatever scores higher is slower, or
# larger. Marks at the foot are the costs of systems that were not trained here.

# %%
fastest = fastest(table)
notebook.picture(accuracy_against_cost(fastest, SCORE, title), dpi=70)

# %% [markdown]
# ## The guide's figures beside these
# The guide states neither data set, nor batch size, nor runtime, so its columns are quotations.

# %%
import pandas as pd

from lite0ca.speed.systems import CLAIMS

measured = as_table(fastest).set_index("system")[["parameters", "images/s", "valid macro-F1"]]
claims = ["million parameters", "accuracy, %", "images/s, T4", "images/s, CPU"]
guide = pd.DataFrame.from_dict(CLAIMS, orient="index", columns=claims)
pd.concat({"measured here": measured, "the guide says": guide}, axis=1, join="inner")

# %% [markdown]
# ## Where Lite0 CA stands
# Times the speed of Lite0 CA on this machine, in this run:

# %%
mine = fastest.set_index("system").loc["EfficientNet_Lite0_CA"]
ratio = fastest.set_index("system")[["latency_ms", "images_per_s"]]
speed_up = pd.DataFrame(
    {
        "one image": mine["latency_ms"] / ratio["latency_ms"],
        "in batches": ratio["images_per_s"] / mine["images_per_s"],
    }
)
speed_up.sort_values("one image", ascending=False).round(1)

# %% [markdown]
# ## Figures to quote
# `lite0ca bench`: float32, channels-last, torch 2.14.1 eager, 224 pixels, 4 classes,
# random weights, two cores of an AMD EPYC (AVX-512); median over five rounds in which the systems
# take turns (n = 20 to 387 single images, 15 to 42 batches); memory beside the weights, as Linux
# counts it, with glibc's memory kept:
#
# | system | parameters | million MACs | latency of one image, 1 thread, ms (p95) | 2 threads, ms (p95) | images/s at batch 32, 2 threads | times Lite0 CA | memory of that batch, MB |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | `MobileNetV3_Small` | 1,521,956 | 55 | 6.3 (6.8) | 6.8 (7.3) | 718 | 6.5 | 232 |
# | `MobileNetV3_Small_CA` | 1,585,424 | 56 | 6.6 (7.1) | 7.2 (9.3) | 664 | 6.1 | 233 |
# | `MobileNetV3_Small_Hybrid` | 2,585,648 | 108 | 8.7 (9.3) | 9.2 (12.4) | 449 | 4.1 | 244 |
# | `MobileNetV4_Conv_Small` | 2,498,148 | 185 | 9.6 (10.0) | 8.2 (9.8) | 352 | 3.2 | 289 |
# | `MobileNetV4_Conv_Small_CA` | 2,673,048 | 186 | 10.1 (10.7) | 9.1 (10.7) | 340 | 3.1 | 293 |
# | `EfficientNet_Lite0` | 3,376,132 | 384 | 19.1 (22.0) | 14.1 (16.6) | 111 | 1.0 | 975 |
# | `EfficientNet_Lite0_CA` | 3,686,132 | 387 | 19.8 (23.0) | 14.7 (17.3) | 110 | 1.0 | 950 |
# | `ResNet18` | 11,178,564 | 1,814 | 47.1 (49.8) | 25.0 (27.1) | 59 | 0.5 | 498 |
# | `ResNet18_ECA` | 11,178,569 | 1,814 | 46.9 (48.6) | 25.2 (56.6) | 59 | 0.5 | 492 |
# | `EfficientNetV2_S` | 20,182,612 | 2,849 | 87.5 (94.2) | 65.6 (68.7) | 28 | 0.3 | 642 |
# | `EfficientNetV2_S_CA` | 20,338,892 | 2,850 | 87.8 (92.6) | 58.7 (66.0) | 27 | 0.2 | 612 |
# | `EfficientNetV2_S_Hybrid` | 25,264,972 | 3,099 | 95.3 (99.1) | 64.8 (74.1) | 25 | 0.2 | 643 |
#
# So MobileNetV3-Small answers one image 2 to 3 times as fast on this CPU and a batch 6 to 7 times
# as fast, with less than half of the parameters; the guide has it slower. Lite0 CA is 1.7 times as
# fast as ResNet18 and 4 times as fast as EfficientNetV2-S. Coordinate Attention costs Lite0 4 % of
# its latency. What speaks for Lite0 are its plain operators, no squeeze-and-excite and no swish.
#
# The same on one NVIDIA H100 (torch 2.11.0, timm 1.0.29, 224 pixels, three rounds). One image takes
# longest in the deepest networks, whatever their size:
#
# | system | one image, float32, ms | images/s at batch 128, float32 | mixed precision |
# | --- | --- | --- | --- |
# | `EfficientNet_Lite0_CA` | 4.3 | 12,298 | 18,367 |
# | `EfficientNet_Lite0` | 3.1 | 12,594 | 18,898 |
# | `MobileNetV3_Small_CA` | 3.1 | 38,477 | 29,800 |
# | `ResNet18_ECA` | 1.3 | 23,969 | 31,443 |
# | `EfficientNetV2_S_CA` | 11.0 | 6,117 | 9,166 |
# | `EfficientNetV2_S_Hybrid` | 10.1 | 5,870 | 8,697 |
