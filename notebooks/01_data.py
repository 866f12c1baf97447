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
# # Data: what is in the pictures, and what a score on them can mean
#
# You will
# - see how many photos of which class there are, and look at them,
# - prove that no leaf stands on both sides of a split,
# - follow a photo on its way to the network,
# - find out how far six colour numbers get without looking at any leaf.
#
# As it stands this runs on the **drawn sample**: 404 pictures that show whether the code works.
# Set `metadata` or `data_dir` to your photos. On Kaggle: attach a data set and set `metadata` to
# `None`.

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

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# ## How many
# Every file is read once here, so a bad one shows now and not in epoch 3. Data without a split
# gets one: 70/15/15, by class, near-duplicates kept together.

# %%
from lite0ca.data import dataset, split
from lite0ca.images.reading import problem_of, read_image, size_of
from lite0ca.images.threads import in_threads
from lite0ca.plots.photos import class_counts
from lite0ca.plots.scores import confusion

data = split.for_training(dataset.load(config), config)
rows = data.rows

# %% tags=["nbval-check-output"]
import pandas as pd

pd.crosstab(rows["label"], rows["split"], margins=True)

# %%
notebook.picture(class_counts(rows["label"], rows["split"]))

# %% [markdown]
# An uneven set needs macro-F1, which counts every class alike; accuracy alone hides a class that is
# never answered. That is why every score of this project comes with both.
#
# ## Look at them
# Before any network: can *you* tell the classes apart? What beside the leaf differs, such as
# ground, light, distance?

# %%
from lite0ca.plots.photos import wall

some = rows.sample(frac=1, random_state=config.seed).groupby("label").head(6).sort_values("label")
photos = [read_image(path) for path in some["absolute_path"]]
titles = some["label"].str.replace("_", " ").tolist()
notebook.picture(wall(photos, titles), format="jpeg")

# %% [markdown]
# ## Sizes and bad files
# Photos far smaller than the image size are blown up and carry less than they seem to.

# %% tags=["nbval-check-output"]
sizes = in_threads(size_of, rows["absolute_path"].tolist())
pd.DataFrame(sizes, columns=["width", "height"]).describe().loc[["count", "min", "50%", "max"]]

# %% [markdown]
# What a damaged file looks like: the first half of a good one. Training stops with its name, or
# leaves it out with `skip_bad_images`.

# %%
import tempfile

whole_photo = Path(rows["absolute_path"][0]).read_bytes()
with tempfile.TemporaryDirectory() as folder:
    damaged = Path(folder, "damaged.jpg")
    damaged.write_bytes(whole_photo[: len(whole_photo) // 2])
    print(problem_of(damaged).replace(folder, "folder"))

# %% [markdown]
# ## The same leaf twice
# One leaf photographed again, turned or cropped, is no new evidence. If its photos stand on both
# sides of a split, the test rewards memory. The groups come from the data's `group` column, or from
# a search: photos with similar colours are candidates, and OpenCV's SIFT keypoints, of the photo or
# of its mirror image, have to agree on one rotation, scale and shift.

# %%
if "group" not in rows:
    from lite0ca.data.near_duplicates import find_groups

    rows = rows.assign(group=find_groups(rows["absolute_path"].tolist()))
members = rows["group"].value_counts()
print(f"{len(rows):,} photos of {len(members):,} leaves; the most of one leaf: {members.max()}")

# %% [markdown]
# The proof that none crosses: how many splits does the group with the most splits touch? Data with
# its own split is taken as it is, so for such data this is a finding and not a promise.

# %% tags=["nbval-check-output"]
crossing = rows.groupby("group")["split"].nunique()
print(f"{(crossing > 1).sum()} of {len(crossing):,} groups are in two splits or more")

# %%
alike = rows[rows["group"].isin(members.index[:3])].groupby("group").head(4)
photos = [read_image(path) for path in alike["absolute_path"]]
titles = [f"{label} ({part})".replace("_", " ") for label, part in alike[["label", "split"]].values]
notebook.picture(wall(photos, titles), format="jpeg")

# %% [markdown]
# Does the search find groups that are known? On the first 60 photos, without being told:

# %%
from lite0ca.data.near_duplicates import find_groups

first = rows.head(60)
groups = [first["group"].to_numpy(), find_groups(first["absolute_path"].tolist())]
known, found = (group[:, None] == group[None] for group in groups)  # photos x photos
pairs = [(same.sum() - len(first)) // 2 for same in (known, found, known & found)]
print("{} known pairs; {} found, {} of them known".format(*pairs))

# %% [markdown]
# On 1,542 real photos, whose 259 groups of two or more were found by another SIFT search over all
# pairs:
#
# | | groups found whole | pairs found | pairs that are listed | held-out photos with a listed near-duplicate in train |
# | --- | --- | --- | --- | --- |
# | 64-bit perceptual hash, distance 8 or less | 26 of 259 | 111 of 2,032 | 4 % | |
# | this repository | 220 of 259 | 1,738 of 2,032 | 89 % | 46 of 462 |
# | no grouping | 0 | 0 | | 233 of 462 |
#
# Without grouping, half of the held-out photos had a twin in training. The search took 62 s for
# 1,542 photos on two cores and grows with their number. A `group` column in the CSV is taken as it
# is and costs nothing; so does a run's `data.csv` put beside the photos.

# %% [markdown]
# ## What training sees
# A leaf has no up and no left, so all eight orientations are fair. The light changes in the field,
# so brightness and colour move a little; hue hardly, since it tells diseases apart.

# %%
from lite0ca.images.augmentation import augmentation
from lite0ca.images.loaders import train_loader

photo = read_image(rows["absolute_path"][0])
augment = augmentation(config.image_size)
augmented = [augment(image=photo)["image"] for _ in range(11)]
titles = ["as it is", *["augmented"] * len(augmented)]
notebook.picture(wall([photo, *augmented], titles), format="jpeg")

# %% [markdown]
# One batch. Guess its shape and type before you run the cell: does it hold 0 to 1, or 0 to 255?

# %% tags=["nbval-check-output"]
batch, numbers = next(train_loader(data.part("train"), data.label2id, config).of_epoch(0))
print(tuple(batch.shape), batch.dtype, tuple(numbers.shape), numbers.dtype)

# %% [markdown]
# Bytes, height before channels: a quarter of the memory of float32 on the way to the device. The
# model normalises there, with the mean and deviation that its own weights were trained with.
#
# ## From the file to the batch
# Each photo is decoded once, at a scale near the one needed, and kept: on disk (below
# `~/.cache/lite0ca`, at most `cache_limit_gb`; the oldest gives way), else in memory, else not at
# all. Loader processes share the file, and an entry counts only with its checksum, so a kill or a
# full disk costs a second decoding. Pictures with and without the cache are equal to the bit.
#
# Beside torchvision's `ImageFolder` with Pillow and the same augmentation, 224 pixels, two loader
# processes on two cores of an Intel Xeon, 240 photos as they are and blown up to 1,500 pixels,
# medians of three rounds in turn (`make loader DATA=my/metadata.csv` measures this):
#
# | images/s | 1,500 pixels | ratio | 224 to 300 pixels | ratio |
# | --- | --- | --- | --- | --- |
# | torchvision, first epoch | 77 | 1 | 242 | 1 |
# | here, first epoch, which fills the cache | 274 | 3.5 | 609 | 2.5 |
# | here, later epochs | 897 | 11.6 | 1,024 | 4.2 |
# | here, later epochs without a cache | 327 | 4.2 | 775 | 3.2 |
#
# Decoding at a smaller scale changes 1,500-pixel JPEGs by 0.8 of 255 grey levels on average at 224
# pixels (2.7 in the worst of 60); photos with a shorter side up to 317 pixels do not change.
#
# 100,000 photos (hard links to these): 8 to 10 s from the start of Python to the first step once
# the system has read the folder, 12.6 s the first time. Then the main process holds 390 MB of its
# own and each loader process 33 MB, after one batch as after forty.
#
# ## The floor: six colour numbers
# **Every user of a leaf set needs this number.** Mean and deviation of red, green and blue: no
# shape, no spot, no leaf. A random forest on them shows how much the *room* gives away. A network
# has to beat it by far before anything it says is about disease.

# %%
from lite0ca.evaluation.color_baseline import color_answers
from lite0ca.evaluation.metrics import as_text, report

part = "test" if (rows["split"] == "test").any() else "valid"
asked = rows[rows["split"] == part]
answers = color_answers(data.part("train"), asked)
truth, answered = (pd.Series(x).map(data.label2id).to_numpy() for x in (asked["label"], answers))
scores = report(truth, answered, data.classes, asked["group"].to_numpy())
print(as_text(scores))

# %%
title = f"six colour numbers on {part}: macro-F1 {scores['macro_f1']:.2f}"
notebook.picture(confusion(scores["confusion"], data.classes, title))

# %% [markdown]
# Guessing gives one divided by the number of classes. The first row of the [README's
# results](../README.md#results) is this floor on real photos: most of what such a set asks can be
# answered from its colours alone. Read every score of a network beside this one, and test on photos
# from another place.
