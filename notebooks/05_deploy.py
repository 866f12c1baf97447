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
# # Deploy: one run, every format, each checked
#
# You will
# - export a trained run, and see each file scored in its own runtime,
# - compare size, speed and score, and see what 8 bits cost and why,
# - find the few lines that call each file from Android, iOS, Python, C++ and the browser.
#
# The same from the command line: `lite0ca export results/RUN --format all --int8`.

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
formats = "onnx"  # all: needs pip install 'lite0ca[deploy]'
int8 = True

# %%
from lite0ca import notebook

config = notebook.settings(preset, overrides, metadata, data_dir)
notebook.table(config)  # what differs from the defaults; all=True shows every setting

# %% [markdown]
# ## A trained run
# What was trained on drawings says nothing about leaves; it shows the way. Name your own run above
# for figures that count.

# %%
from lite0ca.training.fit import fit

if run is None:
    run = notebook.attached_run(overrides, metadata, data_dir) or fit(config).run

# %% [markdown]
# ## Export
# Each file is loaded in its own runtime and asked about the test split. A float32 file must give
# the same answers, with logits within 0.001; an int8 file the same answer to 99 % of the photos. A
# float32 file that fails is not kept, an int8 file is; the command ends with exit code 4. The last
# row of the table is torch itself on photos with one grey level of noise, to hold int8 against.
# Guess first which file will be the smallest, and which the fastest.

# %%
from lite0ca.export.export import export
from lite0ca.formats.exported_file import formats_named

folder, rows = export(str(run), formats_named(formats), int8, None, photo=True, output_dir=None)

# %%
from lite0ca.export.verification import as_table

as_table(rows).set_index("form")

# %%
from lite0ca.plots.speed import exported_files

notebook.picture(exported_files(rows, f"{Path(run).name}, batch 1"))

# %% [markdown]
# ## Measured on a run of real leaves
# The run of `fast` with seed 1 and its 231 test photos, 192 pixels, on two cores of an Intel Xeon
# (AVX-512, VNNI), both in use; ms at batch 1, images/s at batch 16, five rounds in turn; torch
# 2.14.1, onnxruntime 1.32, openvino 2026.4.1, ai-edge-litert 2.3, executorch 1.5.1:
#
# | file | size, MB | macro-F1 | same answer | logits differ by | ms | times torch | images/s |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | torch | 15.0 | 0.874 | | | 22.4 | 1 | 130 |
# | ONNX, opset 20 | 14.9 | 0.874 | 100 % | 2e-5 | 2.9 | 7.6 | 356 |
# | ONNX from the photo on | 15.1 | 0.874 | 100 % | 4e-5 | 4.5 | 5.0 | 220 |
# | OpenVINO | 14.8 | 0.874 | 100 % | 2e-5 | 2.8 | 8.1 | 393 |
# | LiteRT | 14.7 | 0.874 | 100 % | 2e-5 | 2.9 | 7.9 | 343 |
# | ExecuTorch, XNNPACK | 14.7 | 0.874 | 100 % | 2e-5 | 3.3 | 6.8 | 297 |
# | ONNX int8 (fails) | 4.2 | 0.870 | 98.3 % | 0.5 | 2.2 | 10.1 | 534 |
# | OpenVINO int8 | 4.5 | 0.870 | 99.6 % | 0.5 | 1.7 | 13.4 | 961 |
# | LiteRT int8 (fails) | 4.4 | 0.874 | 98.7 % | 0.5 | 2.1 | 10.5 | 472 |
# | ExecuTorch int8 (fails) | 4.9 | 0.883 | 97.8 % | 0.4 | 3.0 | 7.6 | 333 |
# | torch, photos ±1 grey level | | 0.866 | 97.8 % | 1 | | | |
#
# int8 costs no score here: macro-F1 moves by -0.4 to +0.9 points. Three of its files fail all the
# same, since they change three to five of 231 answers where two are allowed. One grey level of
# noise changes as many. (The answers of LiteRT's int8 file were counted again after a fix; its
# speed is that of the run before.)
#
# ## What float32 loses on the way: nothing
# Before it is written the network is rewritten: BatchNorm goes into the convolution before it,
# TensorFlow's "same" padding is computed once, and Coordinate Attention works without its
# concatenation, split and transposes. How many modules are left, and does it still answer the same?

# %% tags=["nbval-check-output"]
import torch

from lite0ca.export.fusion import fused
from lite0ca.model.network import build_model

torch.manual_seed(0)
model = build_model(config.system, classes=4).eval()
shipped = fused(model, 224)
photos = torch.rand(2, 3, 224, 224)
with torch.inference_mode():
    torch.testing.assert_close(shipped(photos), model(photos), rtol=1e-4, atol=1e-5)
norms = [sum("BatchNorm" in type(m).__name__ for m in n.modules()) for n in (model, shipped)]
print(f"the same answer; {norms[0]} norms before, {norms[1]} after")

# %% [markdown]
# ## Why 8 bits need more than rounding
# An int8 tool scales each filter's largest weight to 127 and rounds the others to the nearest.
# Take the 32 filters of Lite0's stem, 27 weights each, on a surface that is evenly 200 of 255. An
# edge filter should hardly answer there; its 27 rounding errors add up instead. GPTQ
# ([Frantar et al. 2022](https://arxiv.org/abs/2210.17323)) rounds one weight after the other and
# lets those to come make up for the error, weighted by what the layer really sees.

# %% tags=["nbval-check-output"]
from lite0ca.export.gptq import on_grid
from lite0ca.model.weights import load_imagenet

load_imagenet(model)
weight = fused(model, 224).backbone.conv_stem[-1].weight.data.flatten(1).double()  # 32 27
scale = weight.abs().amax(dim=1, keepdim=True) / 127
nearest = (weight / scale).round() * scale
surface = torch.full((27,), 200 / 127.5 - 1, dtype=torch.float64)
moments = torch.outer(surface, surface) + 0.01 * torch.eye(27)
ours = on_grid(weight, moments.unsqueeze(0), 127)
for name, rounded in (("nearest", nearest), ("GPTQ", ours)):
    error = ((rounded - weight) @ surface).abs().mean()
    print(f"{name}: the stem is wrong by {error:.4f} on average")

# %% [markdown]
# The second trap sits between the blocks: int8 has one step for all channels of a tensor, and the
# largest channel sets it. There nothing bends the features, so each channel is divided by its range
# and whatever reads it multiplies by it; float32 answers as before. The third sits at the input:
# Lite0 wants (pixel - 127.5) / 127.5, and int8 knows no half steps, so every pixel of every photo
# is half a step off. The int8 files take pixel - 128 instead, which int8 holds exactly, and the
# stem's bias carries the difference.
#
# On 462 photos of rice leaves (valid and test of `basic`, seed 2, 224 pixels) the error of the
# logits, root mean square against their own spread, and the same answers: weights in 8 bits rounded
# to the nearest 0.38 and 90.3 %; with GPTQ and the mean of each channel put back 0.06 and 98.7 %.
# With activations in 8 bits as well, simulated: 0.14; with even channels 0.11 and 97.8 %. That is
# still short of 99 %: in that model 2 % of the photos hang by less than 0.05 of the spread.
#
# What is left comes from the activations of the first two stages, where a few channels are read
# with weights of 10 to 30. It is hardly a fault of int8: on the same photos torch itself changes
# 5.0 % of its answers when each value moves by at most one grey level, 2.2 % when the photo is
# saved again as a JPEG of quality 98, 5.4 % when it moves by a pixel. So training adds grain now:
# noise, blur and JPEG, as other cameras have them.
#
# Three traps more lie in the tools, each found by asking two of them about the same network:
# - x86 without VNNI adds two 8-bit products in 16 bits, which overflow. One ONNX file gave 40
#   photos the same answers on a CPU with VNNI, and 80 % of them on the same CPU emulated without.
#   Weights of 7 bits instead of 8 fit: then both give the same bits.
# - Ranges of activations taken as means over photos, as LiteRT's tool does, cut off what a rare
#   photo shows. Here they are the extremes.
# - XNNPACK knows ReLU, not ReLU6. A network calibrated with ReLU has never been cut off at 6, and
#   all its ranges are too wide: 63 % same answers; with the cut 98 %.
#
# ## The guide's `quantize_dynamic`
# It turns the linear layers into int8, and Lite0 has one. What is saved?

# %%
import tempfile
import warnings

parameters = {name: p.numel() for name, p in model.named_parameters()}
linear = sum(n for name, n in parameters.items() if "classifier" in name)
print(f"{linear / sum(parameters.values()):.2%} of the parameters are in linear layers")
with warnings.catch_warnings(action="ignore"):  # torch says that it will go away
    dynamic = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
for name, network in (("float32", model), ("quantize_dynamic", dynamic)):
    with tempfile.NamedTemporaryFile() as file:
        torch.save(network.state_dict(), file)
        print(f"{name}: {file.tell() / 1e6:.2f} MB")

# %% [markdown]
# ## A photo in, probabilities out
# Most apps that answer wrongly resize or normalise wrongly. The file with `_photo` in its name
# takes uint8 RGB of any size and does both inside, as training did.

# %%
import json

import numpy as np
import onnxruntime
import pandas as pd

file = next(folder.glob("*_photo.onnx"))
session = onnxruntime.InferenceSession(str(file))
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
photo = np.full((300, 400, 3), 128, np.uint8)  # or np.asarray(Image.open(...).convert("RGB"))
probabilities, distance = session.run(["probabilities", "distance"], {"photo": photo})
print(f"{distance[0]:.1f} times as far from the training photos as 95 of 100 leaves like them")
pd.Series(probabilities, classes, name="probability").map("{:.1%}".format).to_frame()

# %% [markdown]
# ## Beside other tools' exports
# One image of 224 pixels, one thread of an AMD EPYC with AVX2 and neither AVX-512 nor VNNI (`make
# peers-exports`; five rounds in turn, other work stopped, random weights). Peak is the speed of a
# float32 matrix product in torch on that core:
#
# | ONNX file by | million MACs | ONNX Runtime, ms | times ours | share of peak | OpenVINO, ms | times ours | share of peak |
# | --- | --- | --- | --- | --- | --- | --- | --- |
# | lite0ca, Lite0 CA | 387 | 17.2 | 1 | 80 % | 17.3 | 1 | 80 % |
# | the guide's way, Lite0 CA | 387 | 17.7 | 1.03 | 78 % | 17.3 | 1.00 | 80 % |
# | timm, Lite0 without CA | 384 | 19.6 | 1.14 | 70 % | 16.3 | 0.94 | 84 % |
# | Ultralytics, YOLO26-cls of like MACs | 397 | 16.5 | 0.96 | 86 % | 17.9 | 1.03 | 79 % |
# | Ultralytics, YOLO26n-cls | 195 | 8.3 | 0.48 | 84 % | 9.9 | 0.57 | 70 % |
# | lite0ca, Lite0 CA, int8 | 387 | 13.7 | 0.79 | 101 % | 11.9 | 0.69 | 116 % |
# | timm, Lite0, int8 by `quantize_static` | 384 | 20.6 | 1.19 | 67 % | 19.2 | 1.11 | 72 % |
#
# In float32 nobody has much left to gain: good runtimes are at 70 to 86 % of the peak, and ours is
# even with the others. Torch itself takes 35.2 ms here, 39 %: 2.0 times our float32 file and 2.9
# times our best int8 one, where the Intel CPU above gives 8 and 13. In int8 ours takes two thirds
# of the time that ONNX Runtime's own tool needs. YOLO26n-cls is twice as fast as Lite0 with half
# the operations.
#
# ## Call it
# Every file says of itself what it takes: classes, size, mean, std, temperature. Below, `pixels`
# are uint8 RGB of the whole photo squeezed to the file's size. `distance` is more than 1 where a
# photo is unlike those that the run learned from: an answer is sure up to there, and if its
# probability is `sure_from` or more.
#
# **Python, ONNX Runtime 1.20 or newer**
# ```python
# images = ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None].astype("float32")
# logits, distance = session.run(["logits", "distance"], {"images": images})
# ```
#
# **NVIDIA GPUs, the ONNX file again.** `lite0ca predict FILE.onnx PHOTO --device cuda` asks ONNX
# Runtime's CUDA (`pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`), `export RUN
# --device cuda` holds its answers against the run's, `bench --forms RUN/export --device cuda`
# times it. On Jetson and T4 TensorRT makes an engine of it, which takes a minute and is kept:
# ```bash
# trtexec --onnx=EfficientNet_Lite0_CA.onnx --saveEngine=leaf.engine --noTF32 \
#     --minShapes=images:1x3x224x224 --optShapes=images:1x3x224x224 --maxShapes=images:32x3x224x224
# ```
# ```python
# kept = {"trt_engine_cache_enable": True, "trt_engine_cache_path": "engines"}
# providers = [("TensorrtExecutionProvider", kept), "CUDAExecutionProvider", "CPUExecutionProvider"]
# session = onnxruntime.InferenceSession(file, providers=providers)
# assert session.get_providers()[0] == "TensorrtExecutionProvider"  # or it goes on without a word
# ```
# With `trtexec --fp16`, or `trt_fp16_enable`, it is faster, and its distances are other ones: count
# first how many answers stay.
#
# **Android, LiteRT 2 (`com.google.ai.edge.litert:litert`), Kotlin**; the labels lie in the file
# ```kotlin
# val model = CompiledModel.create(context.assets, "EfficientNet_Lite0_CA.tflite",
#     CompiledModel.Options(Accelerator.CPU))
# val inputs = model.createInputBuffers(); val outputs = model.createOutputBuffers()
# inputs[0].writeFloat(rgb.map { (it / 255f - 0.5f) / 0.5f }.toFloatArray())  // height, width, RGB
# model.run(inputs, outputs)
# val logits = outputs[0].readFloat(); val distance = outputs[1].readFloat()[0]
# ```
#
# **iOS, ONNX Runtime (`onnxruntime-objc`), Swift**; the `_photo` file
# ```swift
# let session = try ORTSession(env: env, modelPath: path, sessionOptions: nil)
# let photo = try ORTValue(tensorData: rgb, elementType: .uInt8, shape: [height, width, 3])
# let answer = try session.run(withInputs: ["photo": photo],
#                              outputNames: ["probabilities", "distance"], runOptions: nil)
# ```
#
# **C++, OpenVINO 2025 or newer**; without the hint it computes in bfloat16 where the CPU has it,
# and logits move by some tenths
# ```cpp
# ov::Core core;
# auto compiled = core.compile_model("EfficientNet_Lite0_CA.xml", "CPU",
#                                    ov::hint::inference_precision(ov::element::f32));
# auto request = compiled.create_infer_request();
# request.set_input_tensor(ov::Tensor(ov::element::f32, {1, 3, 224, 224}, images));
# request.infer();
# const float* logits = request.get_tensor("logits").data<float>();
# const float distance = *request.get_tensor("distance").data<float>();
# ```
#
# **C++, ExecuTorch 1** (`extension/module`, `extension/tensor`)
# ```cpp
# Module module("EfficientNet_Lite0_CA.pte");
# auto images = from_blob(pixels, {1, 3, 224, 224});
# const auto answer = *module.forward(images);
# const auto logits = answer.at(0).toTensor(), distance = answer.at(1).toTensor();
# ```
#
# **Browser, onnxruntime-web**; or the whole page: `lite0ca export RUN --web page`. The
# page takes, chooses, drops or pastes a photo, or points the camera; English and Vietnamese;
# offline after the first visit, installable. Try it with `python -m http.server --directory page`.
# Phones need https: over plain http in a local network photos work, the live camera and offline use
# do not.
# ```js
# const session = await ort.InferenceSession.create("EfficientNet_Lite0_CA_photo.onnx");
# const photo = new ort.Tensor("uint8", rgb, [height, width, 3]);
# const { probabilities, distance } = await session.run({ photo });
# ```
#
# The Kotlin, Swift, C++ and TensorRT lines are from the runtimes' documentation; only Python and the
# browser (Chromium) are run by this project's tests. TFLite's metadata and labels were read with
# Google's tflite-support 0.4.4, whose Task Library answered with the float32 and the int8 file. No
# real phone was tried.
