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
# - see score against latency and against size, with the Pareto front,
# - read the guide's figures beside the measured ones.
#
# As it stands the images are small and the rounds few, so that it runs in a minute. For figures to
# quote set `pixels = 224`, `batch_size = 32`, `rounds = 5`, `seconds = 0.5`, or run
# `python -m lite0ca bench`.

# %%
# Where lite0ca is not installed: from Kaggle's attached wheels (no internet needed), or a checkout.
import importlib.util
import subprocess
import sys
from pathlib import Path

spec = importlib.util.find_spec("lite0ca")
if spec is None or spec.origin is None:  # a clone in this folder is no package yet
    inputs = Path("/kaggle/input")
    wheels = [w for p in ("*", "datasets/*/*") for w in inputs.glob(f"{p}/lite0ca-*.whl")]
    places = [Path(p).resolve() for p in ("..", ".", "lite0ca")]
    checkouts = [p for p in places if Path(p, "lite0ca/__main__.py").is_file()]
    if not wheels and not checkouts:
        raise ModuleNotFoundError("attach the data set of wheels (kaggle/README.md), or clone")
    what = ["--no-index", "--no-deps", *wheels[0].parent.glob("*.whl")] if wheels else checkouts[:1]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *map(str, what)], check=True)
    importlib.invalidate_caches()

# %% tags=["parameters"]
preset = "sample"  # or fast, robust, basic, kaggle, gtx1660s, max-speed, quick-test, mobile
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
notebook.table(config)

# %% [markdown]
# ## The same answer first
# Layouts and precisions may only be compared if they give the same answer. Channels-last memory
# against the default one:

# %% tags=["nbval-check-output"]
import torch

from lite0ca.model import build_model

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

from lite0ca.train import fit

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
from lite0ca import bench

timing = replace(config, image_size=pixels)
table = bench.benchmark(tuple(systems), timing, batch_size, rounds, seconds, results)
title = bench.title_of(timing, table)
print(title)
print(bench.as_text(table))

# %%
from lite0ca import plots

notebook.picture(plots.speeds(table, title), dpi=70)

# %%
fastest = bench.fastest(table)
notebook.picture(plots.accuracy_against_cost(fastest, bench.SCORE, title), dpi=70)

# %% [markdown]
# ## The guide's figures beside these
# The guide states neither data set, nor batch size, nor runtime, so its columns are quotations.

# %%
from lite0ca import guide

beside = fastest.set_index("system")[["parameters", "images_per_s", bench.SCORE, *guide.COLUMNS]]
beside[beside["guide_accuracy_percent"] != ""].round(3)

# %% [markdown]
# ## Where Lite0 CA stands
# Times the speed of Lite0 CA on this machine, in this run:

# %%
import pandas as pd

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
# MobileNetV3-Small is faster than Lite0 on a CPU, not slower as the guide has it, and so is
# MobileNetV4-Conv-Small. What speaks for Lite0 are its plain operators, which its authors chose for
# int8 and accelerators; whether that holds is not measured here.
