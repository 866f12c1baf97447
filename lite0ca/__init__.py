"""EfficientNet-Lite0 with Coordinate Attention for leaf diseases: data, training, scores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lite0ca.prediction import Model

__version__ = "0.9.0"

# Read by GNU's OpenMP when torch is imported, so it is set before. A thread that waits for the
# others spins, and so takes the core from loader processes or whatever else runs beside. With so
# few turns two trainings on the same cores run at twice the default's speed each (03_train).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# ONNX Runtime would keep a database of what it does in the user's cache folder, and send it away.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# albumentations would ask the network for its newest version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def load(
    run: str | os.PathLike | Sequence[str | os.PathLike],
    language: str | None = None,
    photos: int = 1,
    looks: int = 1,
    **settings,
) -> Model:
    """A trained model to ask about photos: `lite0ca.load("results/RUN").predict("leaf.jpg")`.

    `run` is a run folder, a `best_model.pt` or an exported file, a list of these that answer as
    one, or a folder of runs. More in `lite0ca.prediction.load`.
    """
    from lite0ca import prediction  # and so nothing more than this file where flags are read

    return prediction.load(run, language, photos, looks, **settings)
