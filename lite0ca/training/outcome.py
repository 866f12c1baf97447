"""What a training comes to at its end: the best epoch on photos that chose nothing, and a page."""

from __future__ import annotations

from lite0ca.evaluation import scoring
from lite0ca.evaluation.predictions import Answers, with_answers
from lite0ca.evaluation.run_report import write_page
from lite0ca.formats.checkpoint import load_best
from lite0ca.images.loaders import score_loader
from lite0ca.machine import distributed
from lite0ca.training.run_folder import Record

TEST = "test: scored once, at the end; it chose nothing"
VALID = "no test split: these are the valid photos, which chose the epoch; expect less on others"


def scored_once(record: Record, reader) -> dict:
    """The scores of the best epoch on test, or on valid where there is no test; printed.

    With --save-history they are written as `evaluate` does it, and report.html. Nothing of it is
    drawn by chance: a second time it comes to the same.
    """
    return distributed.from_first(lambda: scored(record, reader))


def scored(record: Record, reader) -> dict:
    config, data, run = record.config, record.data, str(record.run)
    metadata, model = load_best(run), record.state.scored
    model.load_state_dict(metadata["model"])
    part = "valid" if data.part("test").empty else "test"
    rows = data.part(part).reset_index(drop=True)
    photos = score_loader(rows, data.label2id, config, reader, alone=True)
    rows = with_answers(rows, photos, metadata, model, config)
    asked = Answers(run, metadata, config, data, part, rows)
    scores = scoring.scores_of(asked)
    print(f"{TEST if part == 'test' else VALID}\n{scoring.as_text(asked, scores)}", flush=True)
    if config.save_history:
        scoring.write_scores(asked, scores, record.run)
        write_page(asked, scores, record.run)
    return scores
