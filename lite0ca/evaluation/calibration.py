"""Honest probabilities: a temperature for the logits, and from which one on a model is sure."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax

from lite0ca.evaluation.certainty import is_sure, is_unlike

RIGHT_WHEN_SURE = 0.95
BINS = 10
TEMPERATURES = (0.1, 10.0)  # beyond them lie only splits that are all right or all wrong


def calibration(
    logits: np.ndarray, truth: np.ndarray, distances: np.ndarray | None = None
) -> dict[str, float]:
    """`temperature` and `sure_from` of a model, read off its valid split.

    `logits` are (images, classes), `truth` the (images,) class numbers. As far as new photos are
    like the split, the probabilities softmax(logits / temperature) are right as often as they
    say, and answers of at least `sure_from` in 95 of 100 cases. With `distances` (images,) to the
    training photos that is so for those which are like them; no answer about another is sure.
    """
    temperature = temperature_of(logits, truth)
    near = np.full(len(truth), True) & ~np.asarray(is_unlike(distances))
    probabilities = softmax(logits[near] / temperature, axis=1)
    limit = sure_from(probabilities, truth[near]) if near.any() else 1.0
    return {"temperature": temperature, "sure_from": limit}


def temperature_of(logits: np.ndarray, truth: np.ndarray) -> float:
    """The number that `logits` are divided by for the least loss (Guo et al. 2017, 1706.04599)."""
    from scipy.optimize import minimize_scalar  # half a second, which training begins without

    logits = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -scores[np.arange(len(truth)), truth].mean()

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def sure_from(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The least confidence from which on 95 % of the answers are right; 1 if there is none."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[order])
    share = right / np.arange(1, len(truth) + 1)
    # A confidence that several photos share is in for all of them or for none.
    last_of_its_kind = np.append(np.diff(confidence[order]) < 0, True)
    enough = np.flatnonzero((share >= RIGHT_WHEN_SURE) & last_of_its_kind)
    return float(confidence[order][enough[-1]]) if len(enough) else 1.0


def bins_of(confidence: np.ndarray, right: np.ndarray) -> list[dict]:
    """Confidence against truth in ten equal parts of 0..1; empty parts are left out."""
    part = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "images": int((part == number).sum()),
            "confidence": float(confidence[part == number].mean()),
            "accuracy": float(right[part == number].mean()),
        }
        for number in np.unique(part)
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean |confidence - accuracy| over the bins."""
    gaps = [
        (row["images"], abs(row["confidence"] - row["accuracy"]))
        for row in bins_of(confidence, right)
    ]
    return sum(images * gap for images, gap in gaps) / len(confidence)


def calibration_report(
    confidence: np.ndarray, right: np.ndarray, limit: float, distances: np.ndarray | None = None
) -> dict:
    """How far the (N,) probabilities of the answers can be trusted, as plain data.

    With (N,) `distances` to the training photos `unlike` is the share that is unlike them.

    `calibration_error_by_chance` is what a model whose probabilities are exactly right would get
    on so few photos: below it an error means nothing.
    """
    draws = np.random.default_rng(0).random((200, len(confidence))) < confidence
    sure = np.asarray(is_sure(confidence, distances, limit))
    unlike = {} if distances is None else {"unlike": float(np.mean(is_unlike(distances)))}
    return {
        "calibration_error": calibration_error(confidence, right),
        "calibration_error_by_chance": float(
            np.mean([calibration_error(confidence, drawn) for drawn in draws])
        ),
        "bins": bins_of(confidence, right),
        "sure_from": limit,
        "sure": float(sure.mean()),
        "accuracy_when_sure": float(right[sure].mean()) if sure.any() else None,
        **unlike,
    }


def calibration_as_text(found: dict) -> str:
    """Two lines below the scores; a third of a model that knows its training photos."""
    accuracy, unlike = found["accuracy_when_sure"], found.get("unlike")
    like = "" if unlike is None else ", like the training photos"
    when_sure = "" if accuracy is None else f", and right then in {accuracy:.1%}"
    lines = (
        f"calibration error {found['calibration_error']:.3f} (exact probabilities would get "
        f"{found['calibration_error_by_chance']:.3f} on so many photos)\n"
        f"sure ({found['sure_from']:.2f} or more{like}) of {found['sure']:.1%} of the "
        f"photos{when_sure}"
    )
    if unlike is None:
        return lines
    photos = sum(row["images"] for row in found["bins"])
    count = round(unlike * photos)
    return f"{lines}\nunlike the training photos: {count:,} of {photos:,} ({unlike:.1%})"
