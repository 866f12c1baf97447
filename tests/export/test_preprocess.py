"""The graph's own resizing against OpenCV's, which is what training and predict use."""

import cv2
import numpy as np
import pytest
import torch

from lite0ca.export.photo_input import PhotoClassifier, resized
from lite0ca.images.resizing import squeezed

SIZES = [(64, 64), (10, 7), (63, 60), (64, 20), (90, 300), (65, 64), (500, 400), (20, 200)]
SIZES += [(200, 20), (128, 128), (1, 1), (2, 700)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size_comes_out_as_opencv_resizes_it(height, width):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (max(1, height // 3), max(1, width // 3), 3), np.uint8)
    photo = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    expected = squeezed(photo, 64).astype(float)
    ours = resized(torch.from_numpy(photo).permute(2, 0, 1).float(), 64)
    ours = (ours + 0.5).floor().clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(ours - expected).max() <= 1, "a grey level, by rounding"
    assert np.abs(ours - expected).mean() < 0.15


def test_a_photo_of_the_right_size_passes_unchanged_to_normalised_pixels():
    seen = []

    class Network(torch.nn.Module):
        def with_distance(self, images):
            seen.append(images)
            return torch.tensor([[0.0, 2.0]]), None

    graph = PhotoClassifier(Network(), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4], 64, temperature=2.0)
    photo = torch.randint(256, (64, 64, 3), dtype=torch.uint8)
    probabilities = graph(photo)
    expected = (photo / 255 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    assert torch.allclose(seen[0][0].permute(1, 2, 0), expected, atol=1e-6)
    assert probabilities.tolist() == pytest.approx([0.26894, 0.73106], abs=1e-4), "softmax of 0, 1"
