"""The network as it is shipped answers as the trained one, in fewer operations."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lite0ca.export.equalization import equalized
from lite0ca.export.fusion import fused
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS


def trained_looking(system: str, image_size: int, **changes):
    """Random weights, BatchNorm statistics that are not the neutral ones, some distance."""
    torch.manual_seed(0)
    model = build_model(replace(SYSTEMS[system], **changes), 4, image_size).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    stages = model.backbone.feature_info
    channels = sum(stages[number]["num_chs"] for number in strided(model.backbone))
    model.distance = TrainingDistance(torch.randn(channels), torch.randn(channels, channels))
    return model


def assert_alike(shipped, model, images):
    """The same logits and distances, to float32's rounding."""
    with torch.inference_mode():
        for answer, expected in zip(shipped.with_distance(images), model.with_distance(images)):
            assert (answer - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


@pytest.mark.parametrize(
    "system",
    [
        "EfficientNet_Lite0_CA",
        "MobileNetV3_Small_Hybrid",
        "MobileNetV4_Conv_Small_CA",
        "ResNet18_ECA",
    ],
)
@pytest.mark.parametrize("image_size", [64, 96])
def test_it_answers_as_the_trained_network(system, image_size):
    model = trained_looking(system, image_size)
    shipped = fused(model, image_size)
    images = torch.randn(2, 3, image_size, image_size)
    assert_alike(shipped, model, images)
    assert_alike(equalized(shipped, images), model, images)


def test_gates_and_channels_of_one_scale_answer_alike():
    model = trained_looking("EfficientNet_Lite0_CA", 64)
    for name, value in model.attention.named_parameters():
        if name.startswith(("conv_h", "conv_w")):
            nn.init.normal_(value)
    images = torch.randn(2, 3, 64, 64)
    for shipped in (even := fused(model, 64), equalized(even, images)):
        assert_alike(shipped, model, images)


def test_lite0_ca_has_no_norm_left_and_the_trained_network_is_untouched():
    model = trained_looking("EfficientNet_Lite0_CA", 64)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    shipped = fused(model, 64)
    assert norms == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 50
    assert not any(isinstance(module, nn.BatchNorm2d) for module in shipped.modules())
    names = {
        node.target
        for node in torch.export.export(shipped, (torch.zeros(1, 3, 64, 64),)).graph.nodes
    }
    text = " ".join(map(str, names))
    assert "cat" not in text and "split" not in text and "transpose" not in text
