"""How far a photo lies from those of the training: against scipy, and beside the answer."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS


def test_the_distance_is_mahalanobis_in_units_of_the_limit():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(6, 6)) * np.array([1e-3, 1, 1, 1, 10, 100])
    training, others, new = (rng.normal(size=(n, 6)) @ mixed + 5 for n in (80, 40, 9))
    found = TrainingDistance.fitted(training.astype(np.float32), others.astype(np.float32))
    mean, spread = training.mean(0), training.std(0)
    covariance, _ = ledoit_wolf((training - mean) / spread)
    inverse = np.linalg.inv(covariance)

    def by_hand(photos):
        return np.array(
            [mahalanobis((photo - mean) / spread, 0 * mean, inverse) for photo in photos]
        )

    limit = np.quantile(by_hand(others), 0.95)
    assert found.of_pooled(new.astype(np.float32)) == pytest.approx(by_hand(new) / limit, rel=1e-3)
    assert (found.of_pooled(others.astype(np.float32)) > 1).sum() == 2, "5 % of 40"
    maps = [torch.from_numpy(new[:, part, None, None]) for part in (slice(2), slice(2, 6))]
    spread_out = [values.expand(-1, -1, 3, 2) for values in maps]  # B C h w
    assert found(spread_out).numpy() == pytest.approx(by_hand(new) / limit, rel=1e-3)


def test_channels_that_are_always_the_same_make_no_infinity():
    same = np.zeros((20, 3), np.float32)
    found = TrainingDistance.fitted(same, same)
    assert np.isfinite(found.of_pooled(same + 1)).all() and found.of_pooled(same).max() == 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_answer_beside_a_distance_is_the_answer(name):
    torch.manual_seed(0)
    model = build_model(SYSTEMS[name], classes=3, image_size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = model(images)
        assert model.with_distance(images)[1] is None
        channels = sum(maps.shape[1] for maps in model.forward_intermediates(images)[1])
        model.distance = TrainingDistance(torch.zeros(channels), torch.eye(channels))
        logits, distances = model.with_distance(images)
    assert torch.allclose(logits, expected, atol=1e-5) and len(strided(model.backbone)) == 3
    assert distances.shape == (2,) and distances.isfinite().all()
    assert not any("distance" in key for key in model.state_dict()), "weights stay as they were"
