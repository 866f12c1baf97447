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
# # Train: one preset, start to finish
#
# You will
# - choose a preset and see every setting it stands for,
# - train with one call and read the curves,
# - ask it about photos, and see where it is sure and wrong,
# - learn how the recipes came about, and what makes training on a CPU fast.
#
# Headless: `papermill notebooks/03_train.ipynb out.ipynb -p preset robust -p metadata my.csv`, or
# several presets and seeds with `lite0ca batch`.

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
field = None  # a folder of photos of another place, to label and to fit the run to

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# A preset is a set of differences from the defaults, with its reason:

# %%
notebook.presets()

# %% [markdown]
# ## Train
# One line an epoch; a star marks a new best macro-F1 on the valid split, and the line says whether
# data or compute is the bottleneck. At the end the test photos are scored, once. Interrupt the cell,
# or set `"time_budget": 500` (minutes): it saves between two steps, and
# `overrides = {"resume": "results/RUN"}` goes on from there. On T4 x2 `overrides = {"devices": 2}`
# trains on both.

# %%
from lite0ca.errors import InputError
from lite0ca.training.fit import fit

result = fit(config)
if not result.history:
    raise InputError(f"no epoch is finished; go on with overrides = {{'resume': '{result.run}'}}")

# %%
from lite0ca.plots.runs import training_curves
from lite0ca.plots.scores import confusion

metrics = result.metrics
title = f"{result.run.name}, {metrics['data']}"
notebook.picture(training_curves(result.history, metrics["best_epoch"], title))

# %% [markdown]
# Train and valid loss falling together: more epochs may help. Valid rising while train falls:
# overfitting; raise `dropout`, `weight_decay` or get more leaves. Both flat: the learning rate.
#
# ## How the preset `fast` came about
# On 1,542 rice-leaf photos (1,080 to train on; pretrained, three epochs that grow from 128 to 224
# pixels, label smoothing 0.1) the best valid macro-F1 of one run a row, seed 42. The guide's
# `basic` comes to 0.849 there, in fifteen epochs of 224 pixels.
#
# | base / head rate | batch | warm-up, epochs | other | macro-F1 |
# | --- | --- | --- | --- | --- |
# | 3e-4 / 1e-3 | 32 | 1 | | 0.805 |
# | 3e-4 / 1e-3 | 32 | 1 | head first, 5 passes ([gone](../docs/log.md)) | 0.834 |
# | 5e-4 / 3e-3 | 32 | 1 | | 0.838 |
# | 1e-3 / 1e-3 | 32 | 1 | | 0.843 |
# | 1e-3 / 3e-3 | 32 | 0.3 | | 0.850 |
# | 1e-3 / 1e-3 | 16 | 0.3 | | 0.872 |
# | 1e-3 / 1e-3 | 16 | 0.3 | from 96 pixels | 0.830 |
#
# The learning rates do most of it: the guide's are twenty times too low for three epochs. Smaller
# pictures save time: at 128 pixels a step takes 0.4 of what it takes at 224. One run differs from
# the next by 0.02 to 0.03, so neighbours in that table are equal. The row with batch 16, up to 192
# pixels, is `fast`: a seventh to an eighth of `basic`'s time, from start to end of the command with
# the photo cache filled before (seeds 1, 2, 3). All of this was measured before the augmentation had
# camera grain; `make recipes DATA=my/metadata.csv` measures it and takes `fast` apart.
#
# So `fast` is quick, and no more: over seeds its score on test photos and that of `basic` are
# within noise of each other, and with another background it is the lower one. How all presets
# score stands in the [README's results](../README.md#results).
#
# `robust` came later, for photos from elsewhere, and is the best of them: half of its pictures are
# shown from nearer and in any light. Where the background is plain it cuts out four in five of
# those leaves and puts them before something else, mostly a part of a photo without a plain
# background. Since 0.6 half of all its pictures are shrunk first, mirrored at the edges: whole photos
# of fields show leaves smaller than parts of photos do. What that brings:
# [07_study](07_study.ipynb). What brought nothing: [docs/log.md](../docs/log.md).
#
# Its leaf masks are found once a training and shared by the loader processes, one stream of
# batches goes through all epochs, so none begins with empty queues, and the costliest steps of the
# augmentation are OpenCV's. In turn, in `strong` pictures a CPU second (200 rice-leaf photos, medians
# of nine rounds): masks found each time, kept, and all of that. In the first none are shrunk yet:
#
# | pixels | found each time | kept | all |
# | --- | --- | --- | --- |
# | 224 | 172 | 286 | 585 |
# | 256 | 160 | 247 | 541 |
#
# `make waiting DATA=my/metadata.csv` measures how long a fast device waits, `make loader` what a
# picture costs. What each step does, in microseconds of CPU a picture at 224 pixels, and its share:

# %%
from lite0ca.data import dataset
from lite0ca.images.reading import read_image, side_for
from lite0ca.speed.augmentation_steps import costs_of_steps

files = dataset.load(config).rows["absolute_path"].head(48)
photos = [read_image(file, side_for(224)) for file in files]
costs_of_steps(photos).round({"standard": 0, "strong": 0, "share": 2})

# %% [markdown]
# Noise was a quarter of it when each value was drawn anew; colour, the crop and JPEG are what is
# left.
#
# ## On photos it has never seen
# Valid chose the best epoch, so only test (where there is one) is untouched evidence. `fit` has
# scored it above, once; the run's folder has the scores as JSON, the matrix below as a picture, and
# `report.html`, one page to send. Here are its answers, photo by photo.

# %%
from lite0ca.evaluation.predictions import answers_of

machine = {name: getattr(config, name) for name in ("device", "amp", "num_workers")}
answers = answers_of(result.run, result.scores["split"], **machine)
answers[["path", "label", "answer", "confidence"]].head(3)

# %%
import lite0ca

asked = lite0ca.load(result.run)  # knows what people call the classes
scores = result.scores
names = [asked.names[label] for label in scores["classes"]]
title = f"{scores['split']}: macro-F1 {scores['macro_f1']:.3f}"
notebook.picture(confusion(scores["confusion"], names, title))

# %% [markdown]
# ## Ask it
# About one photo, or many, of what `lite0ca.load` gave; an answer below the probability from which
# the run was right in 95 of 100 validation photos is not sure. Outside a notebook:
# `lite0ca predict RUN a.jpg folder`.

# %%
photos = answers["absolute_path"].tolist()
asked.predict(photos[0])

# %%
several = asked.predict(photos[::10])
several.drop(columns=["path", "problem"]).round(3)

# %% [markdown]
# ## Sure and wrong
# The mistakes with the highest confidence. Look for what they share: a wrong label in the data, a
# second disease on the leaf, an odd ground.

# %%
from lite0ca.images.reading import read_image
from lite0ca.plots.photos import wall

wrong = answers[answers["label"] != answers["answer"]]
surest = wrong.nlargest(12, "confidence")
columns = surest[["label", "answer", "confidence"]].itertuples(index=False)
titles = [f"{true}\nsaid {said}\n{sure:.2f}".replace("_", " ") for true, said, sure in columns]
photos = [read_image(path) for path in surest["absolute_path"]]
print(f"{len(wrong)} of {len(answers)} wrong")
notebook.picture(wall(photos, titles, columns=4), format="jpeg") if photos else None

# %% [markdown]
# ## A field of your own
# A run knows the places that its photos are from. Of photos unlike those it says so, and is not
# sure: set `field` above to a folder of your own photos and look. Ten labels of each disease bring
# most of what is lost there ([07_study](07_study.ipynb)).
#
# These photos are worth a label, of those in `field`: click, and `to_label/labels.csv` is written.

# %%
run = str(result.run)
notebook.labelling(run, field, output_dir="to_label") if field else print("field is not set")

# %% [markdown]
# Then run this cell: it trains the late stages on them, beside the training photos, and says what
# that is worth. A folder a class is as good: `data_dir=field`.

# %%
from lite0ca.adaptation.with_labels import adapt_to_labels

adapt_to_labels(run, None, metadata="to_label/labels.csv") if field else print("field is not set")

# %% [markdown]
# ## What it cost
# The first number to look at when training is slow is the share of time spent waiting for data, in
# each epoch's line.

# %%
import pandas as pd

cost = {
    "epochs": metrics["epochs"],
    "training, s": round(metrics["train_seconds"], 1),
    "training, images/s": round(metrics["train_images_per_s"]),
    "parameters": f"{metrics['num_params']:,}",
    "best_model.pt, MB": round(metrics["size_mb"], 1),
    f"inference at batch {metrics['fps_batch_size']}, images/s": round(metrics["fps"]),
    "on": metrics["fps_device"],
}
pd.Series(cost, name="this run").to_frame()

# %% tags=["nbval-check-output"]
print("\n".join(sorted(path.name for path in result.run.iterdir())))

# %% [markdown]
# ## What makes training on a CPU fast
# Every run sets two things. First, channels-last memory, and glibc told to keep freed memory; large
# tensors otherwise come as fresh pages at every step. One training step at batch 48, 224 pixels,
# random images, two cores of an AMD EPYC (AVX-512); a process a row, rows in turn over three
# rounds, median of the last three of five steps of each round (n = 9 with glibc's defaults, 6 with
# kept memory):
#
# | memory layout | allocator | images/s | ratio |
# | --- | --- | --- | --- |
# | NCHW | glibc's defaults | 7.9 | 1 |
# | channels-last | glibc's defaults | 14.8 | 1.9 |
# | NCHW | keeps freed memory | 16 | 2.0 |
# | channels-last | keeps freed memory | 25 | 3.2 |
#
# Second, OpenMP's threads that wait give up their core after 1,000 turns of spinning
# (`GOMP_SPINCOUNT`, unless you set it): loader processes and other runs need it. Training steps of
# batch 16 at 128 pixels on the same cores, alone and two processes side by side, two rounds in
# turn, images/s of each:
#
# | turns of spinning | alone | two at once |
# | --- | --- | --- |
# | GNU's default | 74, 70 | 19, 16 |
# | 50,000 | 74, 77 | 5, 5 |
# | 10,000 | 76, 73 | 16, 17 |
# | 1,000 | 72, 67 | 33, 35 |
# | 0 (`OMP_WAIT_POLICY=PASSIVE`) | 51, 54 | 38, 39 |
#
# bfloat16, `compile` and parts of a batch bring no speed on a CPU: [docs/log.md](../docs/log.md).
#
# ## Beside other tools
# One network (`tf_efficientnet_lite0`, random weights, float32), the same 192 photos in batches of
# 48 at 224 pixels, the same two cores, two loader processes, each tool's own augmentation and loop;
# the second epoch, medians of two rounds in turn (`make peers DATA=my/metadata.csv` measures this):
#
# | tool | images/s | this project is times as fast | range |
# | --- | --- | --- | --- |
# | this project | 24.3 | 1 | |
# | timm 1.0.31, the loop of its `train.py`, `--channels-last` | 16.9 | 1.4 | 1.43 to 1.45 |
# | timm 1.0.31, the same without | 9.2 | 2.7 | 2.4 to 3.0 |
# | Ultralytics 8.4.190, its loop with Lite0 | 8.5 | 2.9 | 2.7 to 3.1 |
# | fastai 2.8.12 | 5.6 | 4.4 | 4.2 to 4.5 |
# | Ultralytics, YOLO26-cls of as many multiply-accumulates | 26.6 | 0.92 | 0.90 to 0.93 |
# | Ultralytics, YOLO26n-cls as it comes (half as many) | 27.6 | 0.88 | 0.88 |
#
# The last two are other networks: dense convolutions, which a CPU trains faster than depthwise
# ones.
