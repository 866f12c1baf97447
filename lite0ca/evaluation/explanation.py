"""Why did it say so? What an answer hangs on, and which labels may be wrong (extra `explain`)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from lite0ca.errors import InputError
from lite0ca.machine.device import to_device
from lite0ca.model.network import LeafClassifier

EXTRA = "pip install 'lite0ca[explain]'"


def grad_cam(model: LeafClassifier, photos: torch.Tensor, numbers: torch.Tensor) -> np.ndarray:
    """(B, h, w), 0 or more: where the last feature map speaks for class `numbers` (B,).

    Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) as captum computes it, for uint8 photos
    (B, H, W, 3), on the map behind the attention. Raises `InputError` without captum.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError:
        raise InputError(f"Grad-CAM needs captum: {EXTRA}") from None
    images = model.normalize(to_device(photos, model.mean.device))  # B H W 3 -> B 3 H W
    explained = LayerGradCam(model.eval(), model.attention)
    maps = explained.attribute(images, numbers.to(images.device), relu_attributions=True)
    return maps[:, 0].detach().cpu().numpy()  # B 1 h w -> B h w


def suspects(answers: pd.DataFrame, label2id: dict) -> pd.DataFrame:
    """The rows whose label may be wrong, the likeliest first, with `label_quality` 0..1.

    Confident learning (Northcutt et al. 2021, arXiv 1911.00068) as cleanlab computes it from
    `label` and `probabilities` of `answers_of`. They should be photos that the model has not been
    trained on: where it has learned a label by heart none looks wrong. Raises `InputError` without
    cleanlab.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise InputError(f"label errors are searched with cleanlab: {EXTRA}") from None
    numbers = answers["label"].map(label2id).to_numpy()
    probabilities = np.stack(answers["probabilities"])  # rows classes
    quality = get_label_quality_scores(numbers, probabilities)
    found = find_label_issues(numbers, probabilities, n_jobs=1)
    return answers.assign(label_quality=quality)[found].sort_values("label_quality")
