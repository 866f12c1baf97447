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
# # Explain: right for the right reasons?
#
# You will
# - see on which places of a photo an answer hangs, for right and for wrong answers,
# - cut the background away and count the answers that go with it,
# - look at the surest mistakes, and at labels that may themselves be the mistake.
#
# Needs two libraries more: `pip install 'lite0ca[explain]'`.

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
preset = "sample"  # of the run that is trained here if `run` is None; for your photos "robust"
overrides = {}  # settings over the preset, such as {"epochs": 5}
metadata = "sample"  # the drawn one; your CSV; None: data/metadata.csv, or what Kaggle attached
data_dir = None  # or a folder with a sub-folder a class; then metadata is not used
run = None  # a run folder, such as "results/EfficientNet_Lite0_CA_24_11_2026_0915"

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# ## A trained run
# What was trained on drawings says nothing about leaves; it shows the way. Name your own run above
# for answers that count.

# %%
from lite0ca.formats.opening import open_model
from lite0ca.training.fit import fit

if run is None:
    run = notebook.attached_run(overrides, metadata, data_dir) or fit(config).run
about, model = open_model(run)
label2id = about["label2id"]

# %%
from lite0ca.evaluation.predictions import answers_of

machine = {"num_workers": config.num_workers}
answers = answers_of(run, "test", **machine)
wrong = answers[answers["answer"] != answers["label"]].sort_values("confidence", ascending=False)
print(f"{len(wrong)} of {len(answers)} answers on the test split are wrong")

# %% [markdown]
# ## What an answer hangs on
# Grad-CAM: which cells of the last feature map speak for the class that was answered? Bright cells
# do. Upper row: right answers, one of each class; lower row: the surest wrong ones.
#
# Guess first: will the bright cells lie on lesions, on the leaf, or beside it?

# %%
import torch

from lite0ca.evaluation.explanation import grad_cam
from lite0ca.images.reading import read_image
from lite0ca.images.resizing import squeezed
from lite0ca.plots.photos import wall, with_heat


def shown(rows):
    """Photos of some rows, each beside itself in the light of its map; and their titles."""
    size = about["config"]["image_size"]
    photos = [squeezed(read_image(p), size) for p in rows["absolute_path"]]
    batch = torch.stack([torch.from_numpy(photo) for photo in photos])  # B H W 3
    maps = grad_cam(model, batch, torch.tensor(rows["answer"].map(label2id).to_numpy()))
    told = [f"{row.label}\n{row.answer} {row.confidence:.2f}" for row in rows.itertuples()]
    titles = [text.replace("_", " ") for one in told for text in (one, "")]
    pairs = [(photo, with_heat(photo, heat)) for photo, heat in zip(photos, maps)]
    return [photo for pair in pairs for photo in pair], titles


# %%
import pandas as pd

right = answers[answers["answer"] == answers["label"]].groupby("label").head(1)
both = pd.concat([right, wrong.head(4)])
notebook.picture(wall(*shown(both), columns=8), format="jpeg")

# %% [markdown]
# Each photo stands beside itself in that light; above it its label, and below that the answer with
# its probability. A map of 7 x 7 cells or fewer is a coarse lamp: it can tell leaf from table, not
# lesion from vein.
#
# ## Without the background
# Pictures explain single answers; this counts. On photos with a plain background the leaf is cut
# out, and everything around it is blurred, recoloured or painted grey. A model that looks at leaves
# answers as before. How many answers will change? (Leaf and table are told apart by colour: a pale
# lesion at the very edge of a leaf can be cut away with the table.)

# %%
from functools import partial

from lite0ca.evaluation.metrics import macro_f1
from lite0ca.evaluation.predictions import answered, with_answers
from lite0ca.images.background import KINDS, with_background
from lite0ca.images.loaders import score_loader

plain = answered(run, "test", machine, background="unchanged")
first = plain.rows


def on_background(kind):
    """The answers about the same photos, with what is around the leaf changed."""
    change = partial(with_background, kind=kind)
    photos = score_loader(first, label2id, plain.config, change=change)
    return with_answers(first, photos, about, model, plain.config)


# %%
found = {"unchanged": first} | {kind: on_background(kind) for kind in KINDS[1:]}
pd.DataFrame(
    {
        "macro-F1": [
            macro_f1(a["label"].map(label2id), a["answer"].map(label2id)) for a in found.values()
        ],
        "same answer": [(a["answer"] == first["answer"]).mean() for a in found.values()],
    },
    index=list(found),
).round(3)

# %% tags=["nbval-check-output"]
print(f"{len(first)} of {len(answers)} test photos have a plain background")

# %%
some = first.groupby("label").head(1)
photos = [read_image(path) for path in some["absolute_path"]]
changed = [with_background(photo, kind, seed=1) for kind in KINDS for photo in photos]
titles = [kind for kind in KINDS for _ in photos]
notebook.picture(wall(changed, titles, columns=len(photos)), format="jpeg")

# %% [markdown]
# ## The surest mistakes
# Wrong answers with high probability: either the photo misleads, or the label does.

# %%
worst = wrong.head(12)
titles = [
    f"{row.label}\nsaid {row.answer}\n{row.confidence:.2f}".replace("_", " ")
    for row in worst.itertuples()
]
photos = [read_image(path) for path in worst["absolute_path"]]
notebook.picture(wall(photos, titles), format="jpeg") if photos else None

# %% [markdown]
# ## Labels that may be wrong
# Confident learning compares each label with what the model, which has not seen these photos, takes
# the photo for. It finds candidates: a person who knows rice has to look at them. Training photos
# are left out, since the model has learned their labels, wrong ones as well.

# %%
from lite0ca.evaluation.explanation import suspects

unseen = pd.concat([answers_of(run, "valid", **machine), answers])
doubtful = suspects(unseen, label2id)
print(f"{len(doubtful)} of {len(unseen)} labels of valid and test are doubtful")

# %%
top = doubtful.head(12)
titles = [f"{r.label}?\n{r.answer}".replace("_", " ") for r in top.itertuples()]
photos = [read_image(path) for path in top["absolute_path"]]
notebook.picture(wall(photos, titles), format="jpeg") if photos else None

# %%
doubtful[["path", "label", "answer", "label_quality"]].head(12).round(3)

# %% [markdown]
# ## What next
# - `07_study`: does attention help, and what holds outside the lab? Measured over seeds.
# - `lite0ca evaluate RUN --background removed` counts the same from the command line.
