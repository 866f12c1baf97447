"""The scores of a model on a part of a data set: plain data, three files, and a person's table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lite0ca.evaluation import calibration, metrics
from lite0ca.evaluation.certainty import is_sure
from lite0ca.evaluation.missed_disease import missed_as_text, missed_disease
from lite0ca.evaluation.predictions import Answers, answered
from lite0ca.evaluation.together_on_data import answered_together
from lite0ca.files.destination import check_writable, refuse_among_photos
from lite0ca.files.json_files import known_json, write_json
from lite0ca.files.names import cut, numbered
from lite0ca.files.ownership import is_picture
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.metadata import limit_of
from lite0ca.machine.device import CPU, describe, device_of
from lite0ca.settings.names import is_healthy


def answered_for(
    folder: Path,
    run: str | Sequence[str],
    part: str | None,
    typed: dict,
    background: str | None = None,
    looks: int = 1,
) -> Answers:
    """As `answered`, of a run or several as one, for files in a folder. Raises `InputError`,
    before any work where that can be known, if they cannot be written there, or would lie among
    the photos.
    """
    check_writable(folder)
    if typed.get("data_dir"):
        refuse_among_photos(folder, Path(typed["data_dir"]))
    runs = [run] if isinstance(run, str) else list(run)
    if len(runs) == 1 and looks == 1:
        asked = answered(runs[0], part, typed, background)
    else:
        asked = answered_together(runs, part, typed, background, looks)
    refuse_among_photos(folder, asked.data.source)
    return asked


def scores_of(asked: Answers) -> dict:
    """All scores as plain data, with what they hang on: run, data, size, seed, device."""
    metadata, config, rows = asked.metadata, asked.config, asked.rows
    label2id = metadata["label2id"]
    groups = rows["group"].to_numpy() if "group" in rows else None
    truth, predicted = (rows[name].map(label2id).to_numpy() for name in ("label", "answer"))
    scores = metrics.report(truth, predicted, asked.classes, groups)
    if missed := missed_in(asked, truth, predicted, groups):
        scores["diseased_called_healthy"] = missed
    runs = [str(Path(run)) for run in (asked.run, *asked.others)]
    scores |= {"run": runs if asked.others else runs[0], "epoch": metadata["epoch"]}
    scores |= {"looks": asked.looks} if asked.looks > 1 else {}
    scores |= {"system": metadata["system"], "data": str(asked.data.root.resolve())}
    scores |= {"own_data": asked.own, "split": asked.part, "image_size": config.image_size}
    scores |= {"learned_from": asked.learned} if asked.learned else {}
    scores |= {"background": asked.background} if asked.background else {}
    confidence, limit = rows["confidence"].to_numpy(), limit_of(metadata)
    distances = rows["distance"].to_numpy() if "distance" in rows else None
    right = truth == predicted
    scores |= calibration.calibration_report(confidence, right, limit, distances)
    members = metadata["members"] if asked.others else []
    seed = [one["seed"] for one in members] or metadata["config"]["seed"]
    scores |= {"seed": seed, "device": device_said(asked)}
    return scores | ({"members": members} if members else {})


def device_said(asked: Answers) -> str:
    """Where it was answered; of several, where the runs were."""
    device = asked.config.device
    if not all(format_of(run) for run in (asked.run, *asked.others)):
        return describe(device_of(device))
    return "cuda, ONNX Runtime" if device == "cuda" else describe(CPU.device)


def missed_in(asked: Answers, truth, predicted, groups) -> dict | None:
    """`missed_disease` among the answers; which class is healthy its label or its name says."""
    names, label2id = asked.known_names, asked.metadata["label2id"]
    healthy = [number for label, number in label2id.items() if is_healthy(label, names)]
    distances = asked.rows["distance"].to_numpy() if "distance" in asked.rows else None
    confidence = asked.rows["confidence"].to_numpy()
    sure = np.asarray(is_sure(confidence, distances, limit_of(asked.metadata)))
    return missed_disease(truth, predicted, healthy, groups, sure)


def write_scores(asked: Answers, scores: dict, folder: Path) -> list[Path]:
    """The JSON, the confusion matrix and the reliability diagram, named by the data; returns them.

    They take the place of earlier ones of the same data, and of nothing else.
    """
    from lite0ca.plots import style  # matplotlib: what draws nothing starts without it
    from lite0ca.plots.scores import confusion, reliability

    name = name_beside_others(folder, name_of(asked), scores)
    written = score_files(name)
    title = f"{scores['system']['name']}\n{name}\n"
    score = f"macro-F1 {scores['macro_f1']:.3f}"
    error = f"calibration error {scores['calibration_error']:.3f}"
    with whole_folder(folder) as made:
        write_json(made / written[0], scores)
        style.save(confusion(scores["confusion"], asked.names, title + score), made / written[1])
        style.save(reliability(scores["bins"], title + error), made / written[2])
    return [folder / file for file in written]


def as_text(asked: Answers, scores: dict) -> str:
    """The scores as a person reads them, the classes by the names that people have for them."""
    called = dict(zip(asked.classes, asked.names))
    missed = scores.get("diseased_called_healthy")
    lines = [metrics.as_text(scores, called), *([missed_as_text(missed)] if missed else [])]
    return "\n".join([*lines, calibration.calibration_as_text(scores)])


def name_of(asked: Answers) -> str:
    """What the files of these scores are called after: the data, and its part."""
    name = f"{cut(asked.data.root.resolve().name)}_{asked.part}"
    name += "_drawn_sample" if asked.data.is_sample else ""
    name += f"_background_{asked.background}" if asked.background else ""
    name += f"_{asked.looks}_looks" if asked.looks > 1 else ""
    if asked.others:
        return f"{1 + len(asked.others)}_runs_{name}"
    return f"{cut(Path(asked.run).name)}_{name}" if format_of(asked.run) else name


def score_files(name: str) -> tuple[str, str, str]:
    return f"scores_{name}.json", f"confusion_{name}.png", f"reliability_{name}.png"


def name_beside_others(folder: Path, name: str, new: dict) -> str:
    """`name`, or with a number behind it where its files are of other data or runs, or not ours."""
    for tried in numbered(name):
        scores, *pictures = (folder / file for file in score_files(tried))
        same = not os.path.lexists(scores) or is_scores_of(scores, new)
        if same and all(is_picture(file) or not os.path.lexists(file) for file in pictures):
            return tried


def is_scores_of(file: Path, new: dict) -> bool:
    """Whether a file has scores on the same data; of several runs, if the new ones are."""
    found = known_json(file)
    if not {"run", "split", "macro_f1"} <= set(found) or found.get("data") != new["data"]:
        return False
    return not isinstance(new["run"], list) or found["run"] == new["run"]
