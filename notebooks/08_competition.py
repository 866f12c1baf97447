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
# # A competition: from its folder to submission.csv
#
# You will
# - train a model on each fold within the hours of one session, and go on in the next one,
# - score every photo with the model that did not see it,
# - answer the test photos and write `submission.csv`, checked against the sample.
#
# Headless: `papermill notebooks/08_competition.ipynb out.ipynb -p preset robust -p data_dir FOLDER`.

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
preset = "sample"  # for photos "robust", or "fast" in a hurry; or one of the guide's
overrides = {}  # settings over the preset, such as {"epochs": 5}
metadata = "sample"  # the drawn sample as a competition; None: what Kaggle attached
data_dir = None  # or the competition's folder: train.csv, photos, sample_submission.csv
folds = None  # 5; of the drawn sample 2
hours = 8.5  # of this session, from the next cell on; Kaggle ends it after 9
final = "folds"  # who answers: the mean of the folds, or "all": one more training on all photos
submission = "submission.csv"  # where the answers go

# %% [markdown]
# ## What is there
# A competition's folder has a table of photos and labels, the photos, those of the test, and a
# sample of the submission. Their names may be others; what was found is said.

# %%
from lite0ca import notebook
from lite0ca.submission import check_place, write_submission
from lite0ca.training.session import Session, of_all, of_folds

session = Session(hours)
config, competition = notebook.competition(preset, overrides, metadata, data_dir)
check_place(submission, competition.asked)  # somebody else's file in the way is said now
folds = folds or (2 if preset == "sample" else 5)
notebook.table(config)

# %%
import pandas as pd

from lite0ca.images.photo_batches import photo_batches, photo_paths
from lite0ca.plots.photos import wall

as_written = {"dtype": str, "keep_default_na": False}  # 007 is no 7
sample = pd.read_csv(competition.sample, **as_written)
photos = photo_paths([competition.test])
print(f"{len(sample):,} ids to answer, {len(photos):,} photos in {competition.test.name}")
((pictures, files),) = photo_batches([photos[:8]], 224, threads=0)
names = [Path(path).name for path, problem in files if problem is None]
figure = wall(pictures, names, columns=4) if names else None  # the first ones may be broken
notebook.picture(figure, format="jpeg") if names else print("none of the first 8 can be read")

# %% [markdown]
# ## Train every fold
# Near-duplicates lie in one fold, and the folds are the same in every session. Each training may
# take all the time that is left, but for a tenth that is kept for the answers (half an hour at
# most): equal shares would leave five half-trained models. Time that runs out costs nothing. Save
# the version, attach its output to this notebook (Add input, Your work) and run it again: what is
# done is taken, what was cut off goes on. Outside Kaggle, run it again where it ran.

# %%
config = config.reading(competition.source)  # named, for when it lies elsewhere next time
runs = session.train(of_folds(config, folds))
print(f"{len(runs)} of {folds} folds are done")

# %% [markdown]
# ## Out of fold
# Every photo answered by the model that was not trained on it: the most honest score that the
# training photos give. It is a little too good all the same where each model's epoch was chosen on
# its fold, as all presets but `best` do. The intervals draw leaves, not photos.

# %%
from lite0ca.evaluation import out_of_fold

machine = {name: getattr(config, name) for name in ("device", "amp", "num_workers")}
name = preset or "run"
found = out_of_fold.out_of_fold(runs, **machine) if len(runs) == folds else None
written = out_of_fold.write(found, config.output_dir, name) if found else []
print(found.as_text() if found else "a fold is missing, so there are no scores yet")

# %%
from lite0ca.images.reading import read_image
from lite0ca.plots.scores import confusion

if found:
    title = f"{name}, out of fold: macro-F1 {found.scores['macro_f1']:.3f}"
    figure = confusion(found.scores["confusion"], found.names, title)
notebook.picture(figure) if found else None

# %% [markdown]
# Each photo's answer and probabilities are in a table: look there for labels that may be wrong.
# These answers are the surest mistakes.

# %%
if found:
    rows = found.rows[found.rows["label"] != found.rows["answer"]].nlargest(8, "confidence")
    shown = rows[["label", "answer", "confidence"]].itertuples(index=False)
    titles = [f"{true}\nsaid {said}\n{sure:.2f}".replace("_", " ") for true, said, sure in shown]
    figure = wall(list(map(read_image, rows["absolute_path"])), titles, columns=4)
notebook.picture(figure, format="jpeg") if found and len(rows) else None

# %% [markdown]
# ## Who answers
# The mean of the folds' probabilities, which needs no further training. Or, with `final = "all"`,
# one model that was trained on all photos for the median best epoch of the folds: a fold's size,
# and as fast as one to answer. No photo then says how good it is; the score above is the nearest,
# and the fold of that epoch says when it is sure. On our photos one such model of `best` was no worse
# than the mean of five folds, and better in fields elsewhere ([docs/log.md](../docs/log.md)).

# %%
chosen = runs
if final == "all" and len(runs) == folds:
    chosen = session.train([of_all(config, runs)])
print("models that answer:", len(chosen))

# %% [markdown]
# ## The submission
# The sample's columns, order and ids, with answers in place of its own. It is read again and
# checked. Before all folds are done it is the answer of those that are.

# %%
import lite0ca

if chosen:
    model = lite0ca.load(list(map(str, chosen)), photos=len(sample), **machine)
    write_submission(model, competition.sample, competition.test, submission)
pd.read_csv(submission, **as_written).head(3) if chosen else None

# %% tags=["nbval-check-output"]
answers = pd.read_csv(submission, **as_written) if chosen else sample
print(list(answers.columns), len(answers), "rows")
ids = competition.asked.ids  # the number of that column
print("ids as in the sample:", answers.iloc[:, ids].equals(sample.iloc[:, ids]))

# %% [markdown]
# On Kaggle `submission.csv` lies where Submit looks for it. On the command line the same is
# `lite0ca batch robust --folds 5`, then
# `lite0ca predict RUN RUN RUN TEST_FOLDER --submission sample_submission.csv`.
