"""The networks: attention against the paper by hand, parameters, MACs, shapes, timm's name."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import model_of
from lite0ca.machine.device import Precision
from lite0ca.model.attention import build_attention, coordinate_attention
from lite0ca.model.network import build_model, mac_count, parameter_count
from lite0ca.settings.config import Config
from lite0ca.settings.systems import FORMER_ATTENTIONS, SYSTEMS, System
from lite0ca.training.state import State


def test_coordinate_attention_is_the_papers():
    """Hou et al. 2021, equations 4 to 8, one number at a time from the layer's weights."""
    torch.manual_seed(0)
    block = coordinate_attention(channels=64, reduction=4).eval()
    nn.init.normal_(block.bn1.running_mean)
    nn.init.uniform_(block.bn1.running_var, 0.5, 2)
    x = torch.randn(2, 64, 5, 7)  # B C h w

    def conv1x1(conv, strip):  # C along the last axis
        return strip @ conv.weight[:, :, 0, 0].T + conv.bias

    rows, columns = x.mean(3).mT, x.mean(2).mT  # B h C and B w C: pooled along the other axis
    f = conv1x1(block.conv1, torch.cat([rows, columns], dim=1))  # B h+w C/r
    bn = block.bn1
    f = (f - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    f = f * (f + 3).clamp(0, 6) / 6  # h-swish
    gate_h = conv1x1(block.conv_h, f[:, :5]).sigmoid()  # B h C
    gate_w = conv1x1(block.conv_w, f[:, 5:]).sigmoid()  # B w C
    by_hand = x * gate_h.mT[..., None] * gate_w.mT[:, :, None]
    assert torch.allclose(block(x), by_hand, atol=1e-6)


def test_the_bottleneck_is_the_papers_and_a_larger_reduction_is_a_smaller_block():
    widths = {r: coordinate_attention(1280, r).conv1.out_channels for r in (8, 16, 32, 1000)}
    assert widths == {8: 160, 16: 80, 32: 40, 1000: 8}


def test_a_fresh_gate_quarters_the_features():
    """sigmoid(0) x sigmoid(0), about: what a pretrained backbone meets on the first step."""
    torch.manual_seed(0)
    x = torch.rand(8, 1280, 7, 7)
    share = coordinate_attention(1280, 16).eval()(x).mean() / x.mean()
    assert 0.2 < share < 0.3


@pytest.mark.parametrize(
    ("name", "attention", "reduction", "parameters"),
    [
        ("EfficientNet_Lite0_CA", None, None, 3_686_132),
        ("EfficientNet_Lite0_CA", None, 8, 3_993_572),
        ("EfficientNet_Lite0_CA", None, 32, 3_532_412),
        ("EfficientNet_Lite0", None, None, 3_376_132),
        ("EfficientNet_Lite1", None, None, 4_140_804),
        ("EfficientNet_Lite2", None, None, 4_816_196),
        ("MobileNetV3_Small", None, None, 1_521_956),
        ("MobileNetV4_Conv_Small", None, None, 2_498_148),
        ("ResNet18", None, None, 11_178_564),
        ("EfficientNetV2_S", None, None, 20_182_612),
    ],
)
def test_parameter_counts_with_4_classes(name, attention, reduction, parameters):
    config = Config.of(model_name=name, attention=attention, reduction=reduction)
    assert parameter_count(build_model(config.system, 4)) == parameters


def test_macs_are_counted():
    """386.8 M with CA, 383.9 M without, at 224 pixels: both also counted by layer hooks."""
    with_ca = mac_count(build_model(SYSTEMS["EfficientNet_Lite0_CA"], 4), 224)
    without = mac_count(build_model(SYSTEMS["EfficientNet_Lite0"], 4), 224)
    assert with_ca / 1e6 == pytest.approx(386.8, abs=0.1)
    assert without / 1e6 == pytest.approx(383.9, abs=0.1)


@pytest.mark.parametrize("size", [192, 224, 256])
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_at_every_size(name, size):
    model = build_model(SYSTEMS[name], classes=5, image_size=size).eval()
    photos = torch.randint(256, (2, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        features = model.forward_features(model.normalize(photos))
        logits = model.forward_head(features)
    assert features.shape[2:] == (size // 32, size // 32)
    assert logits.shape == (2, 5) and logits.isfinite().all()


def test_self_attention_leaves_pretrained_features_alone_at_first():
    x = torch.randn(2, 64, 7, 7)
    block = build_attention("bot", 64, (7, 7), 16)
    assert torch.equal(block(x), x)
    block.norm.weight.data.fill_(1)
    assert not torch.allclose(block(x), x)


@pytest.mark.parametrize("attention", FORMER_ATTENTIONS)
def test_an_attention_of_version_0_1_says_so(attention):
    with pytest.raises(InputError, match=f"attention {attention}: only lite0ca 0.1 builds it"):
        build_model(replace(SYSTEMS["EfficientNet_Lite0_CA"], attention=attention), 4, 64)


def test_normalisation_is_the_backbones():
    lite0 = build_model(SYSTEMS["EfficientNet_Lite0_CA"], 4)
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert lite0.normalize(ends)[:, 0, 0, 0].tolist() == [-1, 1]
    resnet = build_model(SYSTEMS["ResNet18_ECA"], 4).normalize(ends)
    assert resnet[1, :, 0, 0].tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-3)


def test_timm_knows_the_model():
    torch.manual_seed(0)
    model = timm.create_model("efficientnet_lite0_ca", num_classes=7, drop_rate=0.1)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    assert timm.create_model("efficientnet_lite0_ca", num_classes=4).num_classes == 4
    pretrained = timm.create_model("efficientnet_lite0_ca", pretrained=True)
    assert pretrained.backbone.conv_stem.weight.std() != model.backbone.conv_stem.weight.std()


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (System("x", "no_such_net"), "has no such model"),
        (System("x", "vit_tiny_patch16_224"), r"no \(B, C, h, w\) map"),
    ],
)
def test_wrong_backbones(system, message):
    with pytest.raises(InputError, match=message):
        build_model(system, 4)


def test_another_image_size_for_self_attention_says_what_to_do():
    config = Config.of(model_name="MobileNetV3_Small_Hybrid", image_size=192)
    model = build_model(config.system, 4, 192)
    checkpoint = {
        "model": model.state_dict(),
        "config": config.as_dict(),
        "system": vars(config.system),
        "label2id": dict(zip("abcd", range(4))),
    }
    assert model_of(checkpoint).eval()(torch.zeros(1, 3, 192, 192)).shape == (1, 4)
    with pytest.raises(InputError, match="use --image-size 192, or train at 224"):
        model_of(checkpoint, image_size=224)


def test_sync_bn_is_the_same_network():
    """torch's own conversion would drop the activations that timm keeps in its norms."""
    config = Config.of(image_size=64, sync_bn=True)
    precision = Precision.of(torch.device("cpu"), None)
    states = [State.new(c, 4, precision) for c in (config, replace(config, sync_bn=False))]
    states[0].model.load_state_dict(states[1].model.state_dict())
    photos = torch.randn(2, 3, 64, 64)
    outputs = [state.model.eval()(photos) for state in states]
    assert torch.equal(*outputs)
    assert any("Sync" in type(module).__name__ for module in states[0].model.modules())
