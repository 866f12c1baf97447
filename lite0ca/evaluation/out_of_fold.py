"""Every photo answered by the run that did not train on it: the runs of all folds, put together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lite0ca.data.classes import classes_of
from lite0ca.data.split import with_keys
from lite0ca.errors import InputError, printable
from lite0ca.evaluation import metrics
from lite0ca.evaluation.missed_disease import missed_as_text, missed_disease
from lite0ca.evaluation.predictions import answered
from lite0ca.files.json_files import known_json, write_json
from lite0ca.files.ownership import is_picture, is_table, refuse_others
from lite0ca.files.tables import write_table
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.checkpoint import load_best
from lite0ca.formats.names import names_of
from lite0ca.formats.run_split import split_of
from lite0ca.settings.config import fold_of
from lite0ca.settings.names import display_names, is_healthy, language

COLUMNS = ("path", "label", "fold", "answer")  # of the table; one a class follows
# What these scores are worth.
WORTH = (
    "each photo by the run that did not train on it; its fold chose that run's epoch, unless "
    "trained with --keep last"
)


@dataclass(frozen=True)
class OutOfFold:
    """The rows of all photos: path, label, group, fold (from 1), answer, confidence,
    probabilities (classes,), and what stands in the data's table. `scores` are plain data.
    """

    rows: pd.DataFrame
    scores: dict
    classes: list[str]
    names: list[str]  # what people call the classes

    def as_table(self) -> pd.DataFrame:
        """path, label, fold, answer, and the probability of each class."""
        odds = np.stack(self.rows["probabilities"].tolist())
        odds = pd.DataFrame(odds, columns=self.classes, index=self.rows.index)
        return pd.concat([self.rows[list(COLUMNS)], odds.map("{:.6f}".format)], axis=1)

    def as_text(self) -> str:
        """The scores as a person reads them."""
        missed = self.scores.get("diseased_called_healthy")
        text = metrics.as_text(self.scores, dict(zip(self.classes, self.names)), of_classes=True)
        return "\n".join([text, *([missed_as_text(missed)] if missed else [])])


def out_of_fold(runs: Sequence[str | Path], **typed) -> OutOfFold:
    """The answers of finished runs of every fold, pooled, and their scores.

    `runs` are folders, one a fold, in any order; `typed` are settings such as device or data_dir.
    Raises `InputError` if a fold is missing or there twice, if a photo or one of its group lies in
    two folds, and if a photo has no answer.
    """
    kept = {str(run): load_best(run) for run in runs}
    numbers = folds_in({run: checkpoint["config"] for run, checkpoint in kept.items()})
    label2id = next(iter(kept.values()))["label2id"]
    for run, checkpoint in kept.items():
        if checkpoint["label2id"] != label2id:
            raise InputError(f"{run}: knows other classes than the other folds")
    tables = {number: split_of(run, kept[run]) for number, run in numbers.items()}
    refuse_leaks(tables)
    parts = []
    for number, run in numbers.items():
        print(printable(f"fold {number}/{len(numbers)}: {run}"), flush=True)
        # The data is the same each time: once is enough said of it.
        with redirect_stdout(io.StringIO()) if parts else nullcontext():
            rows = answered(run, "valid", typed).rows.assign(fold=number)
        wanted = int((tables[number]["split"] == "valid").sum())
        if len(rows) != wanted:
            raise InputError(f"{run}: {wanted - len(rows):,} of its {wanted:,} photos are gone")
        parts.append(rows)
    rows = with_keys(pd.concat(parts, ignore_index=True)).sort_values("key", kind="stable")
    rows = rows.drop(columns="key").reset_index(drop=True)
    any_run = next(iter(numbers.values()))
    names = names_of(any_run, kept[any_run])
    classes = classes_of(label2id)
    scores = scores_of(rows, label2id, names) | {"runs": list(numbers.values())}
    scores["drawn_sample"] = bool(kept[any_run].get("drawn_sample"))
    return OutOfFold(rows, scores, classes, display_names(classes, names, language()))


def folds_in(configs: dict[str, dict]) -> dict[int, str]:
    """{fold: run}, sorted. Raises `InputError` unless every fold of one number is there once."""
    found, counts = {}, set()
    for run, config in configs.items():
        if not config.get("fold"):
            raise InputError(f"{run}: is no fold's; train it with --fold")
        number, folds = fold_of(config["fold"])
        counts.add(folds)
        if number in found:
            raise InputError(f"{found[number]} and {run} are both of fold {number}: give one")
        found[number] = run
    if len(counts) != 1:
        raise InputError(f"the runs are of {' and of '.join(map(str, sorted(counts)))} folds")
    (folds,) = counts
    if missing := sorted(set(range(1, folds + 1)) - set(found)):
        listed = ", ".join(f"{number}/{folds}" for number in missing)
        raise InputError(f"no run of fold {listed}: a photo of it has no answer")
    return dict(sorted(found.items()))


def refuse_leaks(tables: dict[int, pd.DataFrame]) -> None:
    """Raise `InputError` unless each photo is valid in one fold, and its group in no other.

    `tables` are what the runs of the folds keep: path, label, split, group, bytes.
    """
    tables = {
        number: with_keys(table)[lambda t: t["split"] != "test"].set_index("key")
        for number, table in tables.items()
    }
    first, *others = tables
    pooled = pd.concat(tables.values())
    for number, table in tables.items():
        valid = table["split"] == "valid"
        both = set(table["group"][valid]) & set(table["group"][~valid])
        if both:
            raise InputError(
                f"fold {number}: group {min(both)} is in its valid split and in its train split"
            )
    for number in others:
        shared = tables[first].index.intersection(tables[number].index)
        columns = ["label", "group", "bytes"]
        one, two = (tables[n].loc[shared, columns] for n in (first, number))
        if differing := (one != two).any(axis=1).sum():
            raise InputError(
                f"fold {number}: {differing:,} photos have another label, group or size than in "
                f"fold {first}, so the folds are not of one dealing: train one of them again"
            )
    valid = pooled[pooled["split"] == "valid"]
    twice = valid.index[valid.index.duplicated()]
    if len(twice):
        raise InputError(f"{len(twice):,} photos are valid in two folds, such as {twice[0]}")
    folds = (
        pd.concat(
            table[table["split"] == "valid"].assign(fold=number) for number, table in tables.items()
        )
        .groupby("group")["fold"]
        .nunique()
    )
    if (folds > 1).any():
        raise InputError(f"group {folds.idxmax()} is valid in {folds.max()} folds")
    if never := sorted(set(pooled.index) - set(valid.index)):
        raise InputError(
            f"{len(never):,} photos are valid in no fold, such as {never[0]} (--valid-limit?)"
        )


def scores_of(rows: pd.DataFrame, label2id: dict[str, int], names: dict) -> dict:
    """All scores as plain data, with those of each fold."""
    truth, predicted = (rows[name].map(label2id).to_numpy() for name in ("label", "answer"))
    groups = rows["group"].to_numpy()
    scores = metrics.report(truth, predicted, classes_of(label2id), groups)
    healthy = [number for label, number in label2id.items() if is_healthy(label, names)]
    if missed := missed_disease(truth, predicted, healthy, groups):
        scores["diseased_called_healthy"] = missed
    of_fold = [
        {
            "fold": int(number),
            "images": len(where),
            "accuracy": float((truth[where] == predicted[where]).mean()),
            "macro_f1": metrics.macro_f1(truth[where], predicted[where]),
        }
        for number, where in rows.groupby("fold").indices.items()
    ]
    return {"split": "out of fold", "worth": WORTH} | scores | {"folds": of_fold}


def file_names(name: str) -> tuple[str, str, str]:
    """Scores, answers and confusion matrix, called after what was trained."""
    stem = f"out_of_fold_{name}"
    return f"scores_{stem}.json", f"{stem}.csv", f"confusion_{stem}.png"


def refuse_other_files(folder: Path, name: str) -> None:
    """Raise `InputError` for files of these names that lite0ca did not make."""
    scores, table, picture = (folder / file for file in file_names(name))
    refuse_others(scores, {"split", "worth", "folds"} <= set(known_json(scores)))
    refuse_others(table, is_table(table, f"{','.join(COLUMNS)},"))
    refuse_others(picture, is_picture(picture))


def write(found: OutOfFold, folder: str | Path, name: str) -> list[Path]:
    """The three files, in the place of earlier ones, and of nothing else; returns them."""
    from lite0ca.plots import style  # matplotlib: what draws nothing starts without it
    from lite0ca.plots.scores import confusion

    folder, scores = Path(folder), found.scores
    refuse_other_files(folder, name)
    written = file_names(name)
    drawn = " (drawn sample)" if scores["drawn_sample"] else ""
    title = f"{name}, out of fold{drawn}: macro-F1 {scores['macro_f1']:.3f}"
    with whole_folder(folder) as made:
        write_json(made / written[0], scores)
        write_table(made / written[1], found.as_table())
        style.save(confusion(scores["confusion"], found.names, title), made / written[2])
    return [folder / file for file in written]
