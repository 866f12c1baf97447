"""Score a run, or several as one, on a labelled data set."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.settings.flags import add_looks, add_run_flags, add_split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run folder, a best_model.pt, an exported file, or a folder of runs; of several it "
        "is the mean of their probabilities that is scored",
    )
    add_split(parser)
    add_looks(parser)
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
    runs: list[str],
    split: str | None,
    background: str | None,
    looks: int,
    output_dir: str | None = None,
    **typed,
) -> None:
    """Score a run's best model, or an exported file; writes JSON, confusion and reliability.

    Without --metadata or --data-dir it is the run's own data. With `background` only photos with
    a plain one count. Several runs answer as one, and are written to --output-dir, or into the
    folder of runs that was named.
    """
    from lite0ca.formats.named_runs import runs_named
    from lite0ca.images.looks import check_looks

    check_looks(looks)
    named, runs = runs, runs_named(runs)
    if output_dir is None and len(runs) > 1 and len(named) > 1:
        raise InputError("--output-dir: several runs have no folder of their own; name one")
    from lite0ca.evaluation import model_card, scoring

    own = named[0] if len(runs) > 1 else runs[0]
    folder = Path(output_dir or (own if os.path.isdir(own) else Path(own).parent))
    asked = scoring.answered_for(folder, runs, split, typed, background, looks)
    scores = scoring.scores_of(asked)
    written = scoring.write_scores(asked, scores, folder)
    name = written[0].stem.removeprefix("scores_")
    print(printable(f"{name}, {len(asked.rows):,} images"))
    print(scoring.as_text(asked, scores))
    print("\n".join(printable(str(file)) for file in written))
    alone = output_dir is None and len(runs) == 1
    if alone and (card := model_card.refresh_card(runs[0])):
        print(printable(str(card)))
