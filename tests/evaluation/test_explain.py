"""Grad-CAM against its definition, and wrong labels that are known to be wrong."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lite0ca.evaluation.explanation import grad_cam, suspects
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS

pytest.importorskip("captum")


@pytest.mark.parametrize("attention", ["none", "ca", "ca+bot"])
def test_grad_cam_is_the_papers(attention):
    """Channels weighed by the mean gradient of the class's logit, summed, negative parts cut."""
    torch.manual_seed(0)
    system = replace(SYSTEMS["EfficientNet_Lite0_CA"], attention=attention)
    model = build_model(system, 4, 96).eval()
    photos = torch.randint(256, (2, 96, 96, 3), dtype=torch.uint8)
    numbers = torch.tensor([1, 3])
    maps = model.forward_features(model.normalize(photos.permute(0, 3, 1, 2)))
    maps = maps.detach().requires_grad_()
    logits = model.forward_head(maps)
    logits.gather(1, numbers[:, None]).sum().backward()
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = (weights * maps).sum(dim=1).relu().detach().numpy()
    found = grad_cam(model, photos, numbers)
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_labels_that_were_swapped_are_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    probabilities = rng.dirichlet([1, 1, 1], size=300) * 0.2
    probabilities[np.arange(300), truth] += 0.8
    given = truth.copy()
    swapped = rng.choice(300, 15, replace=False)
    given[swapped] = (truth[swapped] + 1) % 3
    rows = pd.DataFrame({"label": np.array(list("abc"))[given]})
    found = suspects(rows.assign(probabilities=list(probabilities)), dict(zip("abc", range(3))))
    assert set(found.index) >= set(swapped) and len(found) <= 20
    assert found["label_quality"].is_monotonic_increasing
