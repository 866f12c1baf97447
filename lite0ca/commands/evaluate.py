"""Score a run on a labelled data set."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.settings.flags import add_run, add_run_flags, add_split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_split(parser)
    parser.add_argument(
        "--background",
        choices=("unchanged", "blurred", "recoloured", "removed"),
        help="score on photos whose background is plain, with it changed: what is lost is what the "
        "model read off tables and paper; 'unchanged' are the same photos as they are",
    )
    add_run_flags(
        parser,
        "metadata data_dir skip_bad_images batch_size image_size device amp num_workers output_dir",
    )


def run(
    run: str, split: str | None, background: str | None, output_dir: str | None = None, **typed
) -> None:
    """Score a run's best model, or an exported file; writes JSON, confusion and reliability.

    Without --metadata or --data-dir it is the run's own data. With `background` only photos with
    a plain one count.
    """
    from lite0ca.evaluation import model_card, scoring

    folder = Path(output_dir or (run if os.path.isdir(run) else Path(run).parent))
    asked = scoring.answered_for(folder, run, split, typed, background)
    scores = scoring.scores_of(asked)
    written = scoring.write_scores(asked, scores, folder)
    name = written[0].stem.removeprefix("scores_")
    print(printable(f"{name}, {len(asked.rows):,} images"))
    print(scoring.as_text(asked, scores))
    print("\n".join(printable(str(file)) for file in written))
    if output_dir is None and (card := model_card.refresh_card(run)):
        print(printable(str(card)))
