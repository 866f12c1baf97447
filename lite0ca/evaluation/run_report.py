"""report.html, what one sends to a colleague: a run's scores, mistakes, curves and settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lite0ca.data.classes import classes_of
from lite0ca.errors import opening
from lite0ca.evaluation.calibration import calibration_as_text
from lite0ca.evaluation.certainty import is_unlike
from lite0ca.evaluation.finished_run import WORTH
from lite0ca.evaluation.missed_disease import missed_as_text
from lite0ca.evaluation.predictions import Answers
from lite0ca.evaluation.scoring import name_of
from lite0ca.files.json_files import known_json
from lite0ca.files.ownership import refuse_others
from lite0ca.files.reading import beginning
from lite0ca.files.whole_file import whole
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.metadata import is_number
from lite0ca.formats.run_files import run_folder
from lite0ca.formats.run_split import split_if_kept
from lite0ca.images.reading import read_image
from lite0ca.settings import command_lines
from lite0ca.settings.config import Config
from lite0ca.settings.fields import flag

PAGE = "report.html"  # of what the training scored at its end
MISTAKES = 12  # pictures, the surest ones
MOST_CELLS = 20  # classes of a confusion matrix; of more the most frequent mistakes are listed
TOLD_ELSEWHERE = ("preset", "metadata", "data_dir", "label2id", "output_dir", "cache_dir")
MACHINE = ("device", "threads", "cores", "platform", "lite0ca", "git_commit", "python")
PARTS = ("train", "valid", "test")
# Of history.json: what people call them, and how they write them.
CURVES = {
    "train_loss": ("train loss", "{:.4f}"),
    "valid_loss": ("valid loss", "{:.4f}"),
    "train_acc": ("train accuracy", "{:.3f}"),
    "valid_acc": ("valid accuracy", "{:.3f}"),
    "valid_f1": ("valid macro-F1", "{:.3f}"),
}


def place_of(asked: Answers, folder: Path) -> Path:
    """Where the page is to be; raises `InputError` if one of somebody else's lies there."""
    from lite0ca.plots.report_page import GENERATOR

    place = folder / (PAGE if asked.at_end else f"report_{name_of(asked)}.html")
    ours = GENERATOR.encode() in (beginning(place, 500) or b"")
    refuse_others(place, ours)
    return place


def write_page(asked: Answers, scores: dict, folder: Path) -> Path:
    """Write what is known of a run and of its answers; returns the page's path."""
    place = place_of(asked, folder)
    from lite0ca.plots.report_page import page

    run = run_folder(asked.run)
    title = run.resolve().name
    missed = scores.get("diseased_called_healthy")
    environment, metrics = (known_json(run / name) for name in ("environment.json", "metrics.json"))
    settings = Config.of_stored(asked.metadata["config"])
    content = page(
        title=f"{title}, {Path(asked.run).name}" if format_of(asked.run) else title,
        system=asked.metadata["system"],
        drawn=asked.data.is_sample,
        learned=asked.own and asked.part == "train",
        asked_about=worth_of(asked),
        data=asked.data.root.resolve().name,
        background=asked.background,
        scores=scores,
        missed=missed_as_text(missed) if missed else "",
        metrics={name: value for name, value in metrics.items() if is_number(value)},
        classes=[
            (name, "" if label.replace("_", " ") == name else label, row)
            for name, (label, row) in zip(asked.names, scores["classes"].items())
        ],
        matrix=matrix_of(scores["confusion"], asked.names),
        confused=confused_of(scores["confusion"], asked.names),
        mistakes=mistakes_of(asked),
        calibration=calibration_as_text(scores).splitlines(),
        reliability=reliability_of(scores["bins"]),
        bins=scores["bins"],
        **curves_of(run / "history.json", asked.metadata["epoch"]),
        counts=counts_of(run, asked.metadata, asked.names),
        keep=settings.keep,
        settings=changed_rows(settings),
        machine=machine_of(environment),
        made_by=command_lines.of_training(settings),
        next=command_lines.after(command_lines.from_here(asked.run)),
    )
    with whole(place) as file:
        file.write(content)
    return place


def worth_of(asked: Answers) -> str:
    """Which photos these are, and what scores on them say."""
    part = "all its splits" if asked.part == "all" else f"its {asked.part} split"
    if not asked.own:
        which = "all of it" if asked.part == "all" else part
        learned = f"; adapt learned from {asked.learned:,} of these photos" if asked.learned else ""
        return f"{which}; it is another data set than the one that the run was trained on{learned}"
    return f"{part}; {WORTH[asked.part]}"


def matrix_of(confusion: list[list[int]], names: list[str]) -> list[tuple]:
    """(name, [(photos, their share of the true class)]) a true class; none of many classes."""
    if len(names) > MOST_CELLS:
        return []
    rows = zip(names, confusion)
    return [(name, [(n, n / max(1, sum(row))) for n in row]) for name, row in rows]


def confused_of(confusion: list[list[int]], names: list[str]) -> list[tuple[str, str, int]]:
    """(true class, answer, photos) of the most frequent mistakes."""
    wrong = np.array(confusion)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CELLS]
    pairs = (np.unravel_index(place, wrong.shape) for place in order)
    return [
        (names[true], names[said], int(wrong[true, said]))
        for true, said in pairs
        if wrong[true, said]
    ]


def mistakes_of(asked: Answers) -> dict:
    """How many answers are wrong, and the surest of them with their pictures; about photos unlike
    the training photos no answer is sure, and they come last.

    The answers may come from the cache: a photo that is gone since is counted, and not shown.
    """
    from lite0ca.plots.photos import thumbnail
    from lite0ca.plots.report_page import as_data

    called = dict(zip(asked.classes, asked.names))
    wrong = asked.rows[asked.rows["label"] != asked.rows["answer"]]
    shown, unreadable = [], 0
    distances = wrong["distance"].to_numpy() if "distance" in wrong else None
    wrong = wrong.assign(unlike=is_unlike(distances))
    surest = wrong.sort_values(["unlike", "confidence"], ascending=[True, False], kind="stable")
    for row in surest.head(MISTAKES).itertuples():
        try:
            photo = read_image(row.absolute_path, side=160)
        except OSError:
            unreadable += 1
            continue
        facts = {"truth": called[row.label], "said": called[row.answer], "path": row.path}
        facts |= {"picture": as_data(thumbnail(photo)), "confidence": row.confidence}
        facts |= {"unlike": row.unlike}
        shown.append(facts)
    return {"count": len(wrong), "shown": shown, "unreadable": unreadable}


def reliability_of(bins: list[dict]):
    from lite0ca.plots.line_chart import line_chart

    confidence, accuracy = ([row[name] for row in bins] for name in ("confidence", "accuracy"))
    lines = {("exact", "exact"): ([0, 1], [0, 1]), ("this model", "valid"): (confidence, accuracy)}
    return line_chart("accuracy against confidence", "confidence", lines, (0, 1))


def curves_of(history: Path, best: int) -> dict:
    """The charts of loss and scores, and a row an epoch; empty without --save-history."""
    from lite0ca.plots.line_chart import line_chart

    found = known_json(history)
    names = [name for name in CURVES if found.get(name) is not None]
    if not names:
        return {"charts": [], "curves": [], "epochs": [], "best": best}
    with opening(history, "is damaged"):
        if names not in (list(CURVES), ["train_loss", "train_acc"]):  # the latter of --all
            raise ValueError("a curve is missing")
        epochs = list(range(1, len(found["train_loss"]) + 1))
        rows = list(zip(epochs, *(found[name] for name in names), strict=True))
        if not all(is_number(value) for row in rows for value in row):
            raise ValueError("a value is no number")
    lines = {
        "cross-entropy": {"train": "train_loss", "valid": "valid_loss"},
        "score": {"train": "train_acc", "valid": "valid_acc", "valid macro-F1": "valid_f1"},
    }
    charts = [
        line_chart(
            title,
            "epoch",
            {
                (label, label.split()[-1]): (epochs, found[name])
                for label, name in of_title.items()
                if name in names
            },
            (0, 1) if title == "score" else None,
            best if "valid_f1" in names else None,
        )
        for title, of_title in lines.items()
    ]
    curves = [CURVES[name] for name in names]
    return {"charts": charts, "curves": curves, "epochs": rows, "best": best}


def counts_of(run: Path, metadata: Mapping, names: list[str]) -> list[tuple]:
    """(class, photos of train, valid, test) as the run was trained; the last row is of all.

    `names` are what the classes are called, in the order of their numbers.
    """
    rows = split_if_kept(run, metadata)
    if rows is None:
        return []
    counts = pd.crosstab(rows["label"], rows["split"])
    classes = classes_of(metadata["label2id"])
    counts = counts.reindex(index=classes, columns=list(PARTS), fill_value=0)
    lines = zip(names, counts.to_numpy().tolist())
    return [*lines, ("all", counts.sum().tolist())]


def machine_of(environment: dict) -> list[tuple[str, str]]:
    """(what, which) of environment.json: where it was trained, and with which versions."""
    packages = environment.get("packages")
    found = {name: environment.get(name) for name in MACHINE}
    found |= packages if type(packages) is dict else {}
    return [(name, str(value)) for name, value in found.items() if value is not None]


def changed_rows(config: Config) -> list[tuple[str, str, str]]:
    """(flag, value, default) of what differs from the defaults; the data is told elsewhere."""
    default = Config()
    return [
        (flag(name), shown(value), shown(getattr(default, name)))
        for name, value in command_lines.changed(config, default).items()
        if name not in TOLD_ELSEWHERE
    ]


def shown(value) -> str:
    words = {True: "on", False: "off", None: ""}
    return words[value] if value is None or type(value) is bool else str(value)
