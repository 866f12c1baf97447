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
# # Study: does attention help, and does the model hold outside the lab?
#
# The guide compares systems by one run each and names a winner. Here every arm is trained over
# several seeds on real leaves (`make study`), and what each run answered to each test photo is kept
# as CSV in the repository. This notebook computes everything from those files. You will
# - see what attention brings, with an interval that knows photos and seeds,
# - take the background away from the leaves and see which answers stay,
# - train on plain backgrounds, score in the field, and see how far scores from a lab carry.

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
study = "benchmarks/study"  # the folder that `make study` writes; yours, if you ran your own

# %%
from lite0ca import compare, notebook
from lite0ca.errors import InputError

notebook.begin()
runs = compare.runs_of(study)
if runs.empty:
    raise InputError(f"{study}: no {compare.RUNS}; clone the repository, or run make study")
trained = runs.dropna(subset=["epochs"])
hours = trained["train_seconds"].sum() / 3600
print(f"{len(trained)} runs of {trained['arm'].nunique()} arms, {hours:.1f} hours of training")

# %% [markdown]
# ## Conditions
# Recipe of each arm; all start from ImageNet weights. Near-duplicate photos share a split.

# %%
settings = ["split", "preset", "attention", "reduction", "epochs", "image_size", "base_lr"]
conditions = trained.groupby("arm", sort=False)[[*settings, "parameters"]].first()
print(*sorted(set(trained["cpu"])), "| torch", *sorted(set(trained["torch"])))
conditions.assign(seeds=trained.groupby("arm", sort=False).size())

# %% [markdown]
# ## Scores
# Mean and standard deviation over the seeds. The first row of each split is the floor: a random
# forest on six colour numbers, which looks at no leaf.

# %% tags=["nbval-check-output"]
scores = compare.summary(runs)
shown = ["n", "valid_f1", "test_f1", "calibration_error"]
print(scores[shown].to_string())

# %% [markdown]
# ## Does attention help?
# Macro-F1 of each arm minus that of the network without attention. Guess first: how many of these
# intervals will not touch zero?
#
# The interval is a paired bootstrap over groups of near-duplicate photos in which the seeds are
# drawn as well: 95 % of such test sets and such seeds give a difference inside.

# %% tags=["nbval-check-output"]
kinds = ["ca", "ca-open", "ca-stage", "eca", "bot", "ca+bot", "ca, reduction 8", "ca, reduction 32"]
arms = [arm for arm in kinds if arm in set(trained["arm"])]
against_none = compare.effects(study, "none", arms)
print(against_none.round(3).to_string())

# %%
from lite0ca import plots

label = "test macro-F1 minus that without attention"
notebook.picture(plots.effects(against_none, "What attention brings", label))

# %% [markdown]
# "No difference shown" is a result: with so many photos and seeds an effect smaller than the
# interval cannot be told from none.
#
# `ca-open` starts with gates that let everything pass. The paper's do not: two fresh sigmoid gates
# leave a quarter of each feature, which no pretrained backbone has seen.
#
# ## Without the background
# The same test photos, where the leaf can be told from a plain background: as they are, and with
# everything but the leaf blurred, recoloured, or painted grey. A network that looks at leaves stays
# level; one that has learned tables and paper falls.

# %%
from lite0ca.background import KINDS

columns = [f"background_{kind}_f1" for kind in KINDS]
wanted = ["none", "ca", "fast", "basic", "robust"]
given = runs[runs["split"] == "given"].groupby("arm", sort=False)[columns].mean()
given = given.reindex([arm for arm in wanted if arm in given.index]).set_axis(KINDS, axis=1)
given.round(3)

# %%
notebook.picture(plots.by_background(given, "What is left when only the leaf is"))

# %% [markdown]
# Does the preset `robust` earn its longer training? Its score minus that of `basic`, on the test
# photos and on those with another background:

# %% tags=["nbval-check-output"]
import pandas as pd

gains = {
    photos: compare.effects(study, "basic", ["robust"], photos)
    for photos in ("test", "recoloured", "removed")
}
print(pd.concat(gains, names=["photos"]).round(3).to_string())

# %% [markdown]
# ## Trained in the lab, asked in the field
# Photos with a plain background train, photos taken in fields test. No arm has met such a photo.
# Chance is 0.25.
#
# "Adapted" are runs of `robust` after `python -m lite0ca adapt`: the statistics of their BatchNorm
# moved halfway to those of the photos that are asked about, without a label and without training.

# %% tags=["nbval-check-output"]
field = scores.loc["field"]
print(field[["n", "valid_f1", "test_f1", "test_accuracy"]].to_string())

# %%
others = [arm for arm in field.index[1:] if arm != "none, field"]
against = compare.effects(study, "none, field", others)
label = "field macro-F1 minus that of none"
notebook.picture(plots.effects(against, "From the lab to the field", label))

# %% [markdown]
# ## Healthy fields known, diseased ones not
# Now half of the healthy fields train as well, so that in training whatever shows a field is
# healthy. Guess first: what will a network say to a diseased leaf in a field?
#
# `robust` puts leaves before such scenes. The share of diseased leaves that are called healthy
# tells whether that helps.

# %% tags=["nbval-check-output"]
print(scores.loc["scenes"][["n", "valid_f1", "test_f1", "test_accuracy"]].to_string())
table = pd.read_csv(f"{study}/{compare.ANSWERS.format('scenes')}")
healthy = table.loc[table["label"] == "healthy", "truth"].iloc[0]
answers = table[table["truth"] != healthy].filter(regex=" test$")
called_healthy = (answers == healthy).mean()
print("\ndiseased, called healthy")
print(called_healthy.groupby(called_healthy.index.str.replace(r" \d+ test$", "", regex=True))
      .mean().round(2).to_string())  # fmt: skip

# %% [markdown]
# `valid_f1` beside `test_f1` is what a score on photos of one's own kind promises, and what is kept
# of it elsewhere. Before you trust a model on your farm, score it on your photos:
# `python -m lite0ca evaluate RUN --data-dir my_photos`.
#
# ## Are its probabilities honest?
# Expected calibration error on the test split after temperature scaling (`calibration_error`
# above): the gap between confidence and share of right answers. `python -m lite0ca evaluate RUN`
# draws the reliability plot of a run.

# %%
calibration = trained[trained["split"] == "given"].groupby("arm", sort=False)
calibration[["calibration_error", "confidence", "test_accuracy"]].mean().round(3)

# %% [markdown]
# ## What next
# - `03_train` trains one of these arms: `overrides = {"attention": "none"}`, say.
# - `make study` repeats all this on your data: `make study DATA=my/metadata.csv`.
