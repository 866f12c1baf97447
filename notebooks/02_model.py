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
# # Model: EfficientNet-Lite0, and Coordinate Attention by hand
#
# You will
# - see the stages of Lite0 with the shapes that pass between them,
# - write Coordinate Attention yourself and find it equal to the package's,
# - learn what `reduction` really does, and see where a trained model looks.

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
run = None  # a finished run's folder, whose attention is shown; None: a short training

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# ## From photo to logits
# Lite0 is EfficientNet-B0 made plain for phones: MBConv blocks with ReLU6, no squeeze-and-excite.
# Neither Fused-MBConv nor Swish, as the guide has it. Guess first: how many pixels of the photo
# stand behind one cell of the last feature map?

# %%
import torch

from lite0ca.model.network import build_model, mac_count, parameter_count

if (config.system.backbone, config.system.attention) != ("tf_efficientnet_lite0.in1k", "ca"):
    raise ValueError("this notebook takes EfficientNet-Lite0 with Coordinate Attention apart")
torch.manual_seed(config.seed)
model = build_model(config.system, classes=4, image_size=config.image_size).eval()

# %% tags=["nbval-check-output"]
import pandas as pd

backbone, rows = model.backbone, []
photo = torch.zeros(1, 3, 224, 224)  # B C H W
stages = {"stem": backbone.conv_stem}
stages |= {f"stage {number}": stage for number, stage in enumerate(backbone.blocks, 1)}
stages |= {"head convolution": backbone.conv_head}
for name, stage in stages.items():
    photo = stage(photo)
    rows.append((name, *photo.shape[1:], parameter_count(stage)))
pd.DataFrame(rows, columns=["stage", "C", "H", "W", "parameters"])

# %% [markdown]
# 224 pixels become 7 cells: 32 pixels a cell. More than a quarter of the weights sit in the last
# two rows, before attention sees anything.

# %% tags=["nbval-check-output"]
activations = sorted({type(m).__name__ for m in backbone.modules() if "ReLU" in type(m).__name__})
gates = [name for name, m in backbone.named_modules() if "SqueezeExcite" in type(m).__name__]
print(f"activations: {activations}, squeeze-and-excite blocks: {len(gates)}")

# %% [markdown]
# ## Coordinate Attention by hand
# Pooling a map to one number a channel forgets where things were. Coordinate Attention (Hou et al.
# 2021, arXiv 2103.02907) pools along each axis instead, so that the gate of a cell is a product:
# one number for its row, one for its column. `parts` are the layers of the package's block.


# %%
def gates_of(x, parts):
    """The gates of rows (B, C, h, 1) and of columns (B, C, 1, w) for a map x (B, C, h, w)."""
    h, w = x.shape[2:]
    rows = x.mean(dim=3, keepdim=True)  # B C h 1
    columns = x.mean(dim=2, keepdim=True).transpose(2, 3)  # B C w 1
    both = torch.cat([rows, columns], dim=2)  # B C h+w 1
    both = parts.act(parts.bn1(parts.conv1(both)))  # B max(8, C // reduction) h+w 1
    rows, columns = both.split([h, w], dim=2)
    columns = columns.transpose(2, 3)  # B max(8, C // reduction) 1 w
    return parts.conv_h(rows).sigmoid(), parts.conv_w(columns).sigmoid()


def coordinate_attention(x, parts):
    rows, columns = gates_of(x, parts)
    return x * rows * columns  # B C h w


# %% [markdown]
# Equal to the package's block, or all of the above is a story:

# %% tags=["nbval-check-output"]
from lite0ca.model.attention import coordinate_attention as packages_attention

block = packages_attention(1280, reduction=16).eval()
features = torch.randn(2, 1280, 7, 6)  # not square, so that rows and columns cannot be mixed up
with torch.inference_mode():
    torch.testing.assert_close(coordinate_attention(features, block), block(features))
print("equal")

# %% [markdown]
# A surprise: what does a *fresh* block do to its features? Two sigmoids near zero each give a half.

# %% tags=["nbval-check-output"]
with torch.inference_mode():
    share = (block(features) / features).median().item()
print(f"a fresh block passes {share:.2f} of each feature")

# %% [markdown]
# So fine-tuning starts from features at a quarter of their size; the classifier has to grow into
# that.
#
# ## What `reduction` does
# The guide calls reduction 8 "ultra lightweight" and 32 "more capacity". The bottleneck has
# `max(8, channels // reduction)` channels. Which of the three is the largest?

# %% tags=["nbval-check-output"]
from dataclasses import replace

from lite0ca.settings.systems import SYSTEMS

lite0_ca, lite0 = SYSTEMS["EfficientNet_Lite0_CA"], SYSTEMS["EfficientNet_Lite0"]
sizes = {f"reduction {r}": replace(lite0_ca, reduction=r) for r in (8, 16, 32)}
sizes["no attention"] = lite0
sizes = {name: parameter_count(build_model(system, 4)) for name, system in sizes.items()}
pd.Series(sizes, name="parameters").to_frame()

# %% [markdown]
# The guide has it backwards, and its presets `max-speed` and `mobile` pick the heaviest block.
#
# ## What it costs
# Parameters do not depend on the image size; multiply-accumulates grow with the pixels.

# %% tags=["nbval-check-output"]
cost = [
    (size, *(round(mac_count(build_model(s, 4, size), size) / 1e6) for s in (lite0, lite0_ca)))
    for size in (192, 224, 256)
]
columns = ["pixels", "million MACs, no attention", "million MACs, CA"]
pd.DataFrame(cost, columns=columns).set_index("pixels")

# %% [markdown]
# ## The weights are trained
# "Pretrained" that quietly was not is a classic. The proof: features of the loaded weights must
# tell the classes apart better than those of random weights, with only a linear layer trained.

# %%
from lite0ca.data import dataset, split
from lite0ca.images.loaders import score_loader
from lite0ca.machine.device import to_device
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.weights import load_imagenet

keep_freed_memory()
data = split.for_training(dataset.load(config), replace(config, train_limit=160, valid_limit=60))
loaders = [score_loader(data.part(part), data.label2id, config) for part in ("train", "valid")]
cpu = torch.device("cpu")

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@torch.inference_mode()
def features_of(net, loader):
    """Pooled features (N, 1280) of the backbone and class numbers (N,)."""
    batches = [(net.normalize(to_device(photos, cpu)), numbers) for photos, numbers in loader]
    pooled = [net.backbone.forward_features(x).mean(dim=(2, 3)) for x, _ in batches]
    return torch.cat(pooled).numpy(), torch.cat([numbers for _, numbers in batches]).numpy()


def probe(net):
    train, valid = (features_of(net, loader) for loader in loaders)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return linear.fit(*train).score(*valid)


# %%
random_score = probe(model)
print("weights:", load_imagenet(model))
pretrained_score = probe(model)
print(f"valid accuracy of a linear layer: random {random_score:.2f}, loaded {pretrained_score:.2f}")
assert pretrained_score > random_score

# %% [markdown]
# ## Where a trained model looks
# A short training, or the `run` you name above. Bright: the product of the row gate and the column
# gate, averaged over the channels. At 7 x 7 cells or fewer this is a coarse lamp, no microscope.

# %%
from lite0ca.formats.opening import open_model
from lite0ca.training.fit import fit

run = run or fit(config).run
about, trained = open_model(run)

# %%
from lite0ca.images.reading import read_image
from lite0ca.images.resizing import squeezed
from lite0ca.plots.photos import wall, with_heat

some = data.part("valid").groupby("label").head(2)
size = about["config"]["image_size"]
photos = [squeezed(read_image(p), size) for p in some["absolute_path"]]
batch = torch.stack([torch.from_numpy(photo) for photo in photos])  # B H W 3
with torch.inference_mode():
    maps = trained.backbone.forward_features(trained.normalize(to_device(batch, cpu)))  # B C h w
    rows, columns = gates_of(maps, trained.attention)
lamps = (rows * columns).mean(dim=1).numpy()  # B h w

# %%
lit = [with_heat(photo, lamp) for photo, lamp in zip(photos, lamps)]
pairs = [picture for pair in zip(photos, lit) for picture in pair]
titles = [title for label in some["label"] for title in (label.replace("_", " "), "its gates")]
notebook.picture(wall(pairs, titles, columns=8), format="jpeg")

# %%
spread = lamps.max(axis=(1, 2)) / lamps.min(axis=(1, 2))
print(f"brightest cell / darkest cell of a photo: median {pd.Series(spread).median():.2f}")

# %% [markdown]
# The pictures stretch every map from its darkest to its brightest cell; the ratio tells how much
# that is worth. Near 1 the gate hardly prefers any place, and what looks like attention is contrast
# stretching.
#
# ## Where the guide is wrong
# Its commands run here as they stand. These of its claims do not hold:
#
# | the guide says | true, or measured here |
# | --- | --- |
# | Fused-MBConv blocks, Swish | timm's and Google's Lite0 is MBConv with ReLU6, no squeeze-and-excite (above) |
# | 4.7M parameters | 3,686,132 with 4 classes and CA at reduction 16 (above); 4.65M is the net of 1,000 classes, without CA |
# | about 0.4 GFLOPs | 387 million multiply-accumulates at 224 pixels, 384 million without CA (above) |
# | reduction 8 is "ultra lightweight", 32 "more capacity" | the reverse (above) |
# | 90-92 % accuracy; the data set is not stated | its recipe is the row `basic` of the [README's results](../README.md#results); accuracies stand in [07_study](07_study.ipynb) |
# | 612 FPS on a T4, about 80 on a CPU; batch size and runtime are not stated | depends on both: [04_benchmark](04_benchmark.ipynb). Every run states batch, size and device beside `fps` |
# | on a CPU faster than MobileNetV3-Small CA | the reverse: [04_benchmark](04_benchmark.ipynb) |
# | risk of NaN very low, since gradients are clipped | clipping cannot mend a NaN: runs go back to the last good epoch ([reliability](../docs/reliability.md#nan)) |
# | `quantize_dynamic({Linear})` speeds the CPU up | Lite0 has one linear layer, 5,124 of its parameters: [05_deploy](05_deploy.ipynb) |
# | TFLite by `from_keras_model(model)` | a call of Keras, which cannot take a torch module; `export --format litert` does |
# | `opset_version=11` | obsolete; `--opset 11` is there for old runtimes |
# | always turn `--pretrained` on, which is off by default | kept off as in the guide; a run without it says that its weights are random |
