"""Weights on an int8 grid: exact for every tool, and better than the nearest."""

import pytest
import torch
from torch import nn

from lite0ca.export.gptq import MEAN, STD, in_order, on_grid, rounded, taking_pixels


def nearest(weight: torch.Tensor) -> torch.Tensor:
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    return (weight / scale).round() * scale


def test_rows_are_whole_multiples_of_the_scale_that_a_tool_finds():
    torch.manual_seed(0)
    inputs = torch.randn(500, 20, dtype=torch.float64) + 2
    weight = torch.randn(6, 20, dtype=torch.float64)
    grid = on_grid(weight, (inputs.T @ inputs).unsqueeze(0), 127)
    assert torch.equal(grid.abs().amax(dim=1), weight.abs().amax(dim=1))
    steps = grid / (grid.abs().amax(dim=1, keepdim=True) / 127)
    assert (steps - steps.round()).abs().max() < 1e-9
    assert torch.allclose(nearest(grid), grid)


@pytest.mark.parametrize("groups", [1, 6])
def test_outputs_change_less_than_with_the_nearest_weights(groups):
    torch.manual_seed(0)
    # A large constant part, as after ReLU: what nearest rounding cannot know.
    inputs = torch.randn(groups, 500, 9, dtype=torch.float64) + 5
    moments = inputs.transpose(1, 2) @ inputs
    weight = torch.randn(6, 9, dtype=torch.float64)
    shared = inputs.expand(6, -1, -1)  # O positions I

    def error(rounded):
        return torch.einsum("opi,oi->op", shared, rounded - weight).square().mean()

    assert error(on_grid(weight, moments, 127)) < error(nearest(weight)) / 3


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()


def test_a_whole_network_is_rounded_in_the_order_it_runs():
    network, images = small_network(), torch.rand(8, 3, 16, 16) + 1
    before = network[0].weight.clone()
    assert [type(layer) for layer in in_order(network, images)] == [nn.Conv2d] * 3 + [nn.Linear]
    result = rounded(network, images, 127)
    assert torch.equal(network[0].weight, before), "a copy is rounded"
    by_nearest = small_network()
    for layer in (by_nearest[0], by_nearest[2], by_nearest[3], by_nearest[6]):
        layer.weight.data = nearest(layer.weight.data.flatten(1)).view_as(layer.weight)
    with torch.inference_mode():
        expected = network(images)
        ours, plain = ((net(images) - expected).square().mean() for net in (result, by_nearest))
    assert ours < plain


def test_the_first_layer_takes_pixels_that_int8_holds():
    network, pixels = small_network(), torch.randint(256, (2, 3, 16, 16)).float() / 255
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    other = taking_pixels(network, mean, std)
    view = lambda values: torch.tensor(values).view(3, 1, 1)  # noqa: E731
    with torch.inference_mode():
        expected = network[0]((pixels - view(mean)) / view(std))
        answers = other[0]((pixels - MEAN) / STD)
    inside = (slice(None), slice(None), slice(1, None), slice(1, None))  # the padding is another
    assert torch.allclose(answers[inside], expected[inside], atol=1e-5)
    steps = (pixels - MEAN) / STD * 127.5
    assert torch.allclose(steps, steps.round(), atol=1e-3)


def test_equalising_changes_no_answer_and_evens_out_the_channels():
    from lite0ca.export.equalization import equalized, ranges_of
    from lite0ca.export.fusion import fused
    from lite0ca.model.network import build_model
    from lite0ca.settings.systems import SYSTEMS

    torch.manual_seed(0)
    images = torch.randn(4, 3, 64, 64)
    for system in ("EfficientNet_Lite0_CA", "EfficientNetV2_S", "ResNet18"):
        shipped = fused(build_model(SYSTEMS[system], 4, 64), 64)
        even = equalized(shipped, images)
        with torch.inference_mode():
            expected, answers = shipped(images), even(images)
        assert torch.allclose(answers, expected, atol=1e-4, rtol=1e-4)
        if system == "EfficientNet_Lite0_CA":
            before, after = (
                ranges_of(net, net.backbone.blocks[2], images) for net in (shipped, even)
            )
            assert before.max() / before.min() > 2
            assert after.max() / after.min() < 1.01
