"""Write a run's report, one page to send, and its model card: scores, mistakes, settings."""

from __future__ import annotations

import argparse
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.settings.flags import add_run, add_run_flags, add_split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_split(parser)
    add_run_flags(
        parser, "metadata data_dir skip_bad_images batch_size device amp num_workers output_dir"
    )


def run(run: str, split: str | None, output_dir: str | None = None, **typed) -> None:
    from lite0ca.evaluation import model_card, run_report, scoring
    from lite0ca.formats.run_files import run_folder

    folder = Path(output_dir or run_folder(run))
    asked = scoring.answered_for(folder, run, split, typed)
    page = run_report.write_page(asked, scoring.scores_of(asked), folder)
    in_run = output_dir is None and model_card.is_own(run)
    card = model_card.write_card(run) if in_run else None
    print(*(printable(str(file)) for file in (card, page) if file), sep="\n")
