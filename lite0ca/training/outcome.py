"""What a training comes to at its end: the best epoch on photos that chose nothing, and a page."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from lite0ca.data.dataset import DataSet
from lite0ca.data.split import limited
from lite0ca.errors import InputError, printable
from lite0ca.evaluation import scoring
from lite0ca.evaluation.calibration import calibration
from lite0ca.evaluation.finished_run import WORTH, part_at_end
from lite0ca.evaluation.inference import looked_at
from lite0ca.evaluation.model_card import write_card
from lite0ca.evaluation.predictions import Answers, with_answers
from lite0ca.evaluation.run_report import write_page
from lite0ca.formats.checkpoint import load_best, save_checkpoint
from lite0ca.formats.run_files import BEST
from lite0ca.images.loaders import score_loader
from lite0ca.machine import distributed
from lite0ca.machine.device import Precision
from lite0ca.model.distance import TrainingDistance, strided
from lite0ca.settings.config import Config
from lite0ca.training.run_folder import Record

# Training photos, at most. Fitted to 1,080 the distance leaves 21 answers about leaves of fields
# elsewhere sure, 18 of them right; to 500 of these 40, and 28 right (rice, 308 photos, three runs
# of `robust`, together).
LOOKED_AT = 2000


def outcome(record: Record, reader, reason: str) -> tuple[dict, dict]:
    """(metrics, scores) of the best epoch on test, or on valid where there is no test; printed.
    Of a run with --all and no test on the photos that it was trained on, which says so.

    With --save-history they are written, and as `evaluate` and `report` do it. Nothing of it is
    drawn by chance: a second time it comes to the same.
    """
    return distributed.from_first(lambda: finished(record, reader, reason))


def finished(record: Record, reader, reason: str) -> tuple[dict, dict]:
    kept = load_best(record.run)
    record.state.scored.load_state_dict(kept["model"])
    know_the_training_photos(record, reader, kept)
    asked = answered(record, reader, kept)
    scores = scoring.scores_of(asked)
    without_test = "" if asked.part == "test" else "no test split; "
    if record.config.all and asked.part != "test":
        without_test = "no photo was kept back; "
    epoch = "last" if record.config.all else "best"
    said = (
        f"{without_test}{asked.part}: scored at the end, with the {epoch} epoch; "
        f"{WORTH[asked.part]}"
    )
    print(f"{said}\n{scoring.as_text(asked, scores)}", flush=True)
    metrics = record.write_results(reason, scores)
    if record.config.save_history:
        for command, write in (
            ("evaluate", lambda: scoring.write_scores(asked, scores, record.run)),
            ("report", lambda: write_page(asked, scores, record.run)),
            ("report", lambda: write_card(record.run)),
        ):
            try:
                write()
            except (OSError, InputError) as error:  # the training is done: nothing of it is lost
                again = f"lite0ca {command} {record.run} writes it"
                print(printable(f"not written: {error}; {again}"), flush=True)
    return metrics, scores


def know_the_training_photos(record: Record, reader, kept: dict) -> None:
    """Give the best model, and what is `kept` of it, a measure of how unlike its training photos a
    photo is, and write it.
    """
    model = record.state.scored
    if not strided(model.backbone):
        backbone = record.config.system.backbone
        print(f"timm's {backbone} shows no maps: it cannot say what is unlike them")
        return
    kept |= known_photos(model, record.data, record.config, record.precision, reader)
    save_checkpoint(record.run / BEST, kept)


def known_photos(model, data: DataSet, config: Config, precision: Precision, reader) -> dict:
    """What a checkpoint keeps of a network's training photos and of its valid split: `distance`,
    `temperature`, `sure_from`. The network has the distance afterwards.
    """
    training = rows_looked_at(data, config).sort_values("path")
    valid = data.part("valid")
    # Exported files and CPUs answer so; with 8 bits of mantissa a distance is 1 to 5 % another.
    exact = replace(precision, amp=False)

    def looked(rows, what: str) -> tuple:
        loader = score_loader(rows, data.label2id, config, reader, alone=True)
        return looked_at(model, loader, exact, what)

    maps, _, _ = looked(training, "looking at the training photos")
    found = {}
    if valid.empty:  # --all
        model.distance = TrainingDistance.fitted_alone(maps)
    else:
        others, logits, truth = looked(valid, "scoring")
        model.distance = TrainingDistance.fitted(maps, others)
        found = calibration(logits, truth, model.distance.of_pooled(others))
    found["distance"] = model.distance.as_dict()
    model.distance.to(precision.device)
    return found


def rows_looked_at(data: DataSet, config: Config) -> pd.DataFrame:
    """The rows of those that a network is shown once more: `LOOKED_AT`, one of a class at least."""
    most = max(LOOKED_AT, len(data.label2id))
    return limited(data.part("train"), "train", most, config.seed)


def answered(record: Record, reader, metadata: dict) -> Answers:
    config, data, run = record.config, record.data, str(record.run)
    part = part_at_end(data)
    rows = data.part(part).reset_index(drop=True)
    photos = score_loader(rows, data.label2id, config, reader, alone=True)
    rows = with_answers(rows, photos, metadata, record.state.scored, config)
    return Answers(run, metadata, config, data, part, rows, own=True, at_end=True)
