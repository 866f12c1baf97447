"""Fit a run to photos of another place: labelled ones, or without labels."""

from __future__ import annotations

import argparse

from lite0ca.errors import InputError, printable
from lite0ca.settings.command_lines import after
from lite0ca.settings.flags import add_run, add_run_flags

EPILOG = """\
With labels (--data-dir or --metadata): 3 photos or more of each class, 10 if you can. The late
stages are trained on them, beside the training photos where those are at hand. Without labels
(PHOTO ...): 32 photos or more, healthy leaves and sick ones; only what photos of the place look
like is taken over."""
NEVER_SURE = "it is never sure of an answer: how often it is right there, only labels can say"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_run(parser, others="")
    parser.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO",
        help="image files or folders of the place, without labels",
    )
    parser.add_argument("--output-dir", metavar="DIR", help="(default: RUN_adapted)")
    add_run_flags(
        parser,
        "data_dir metadata label2id seed skip_bad_images batch_size device amp num_workers",
    )


def run(run: str, photos: list[str], output_dir: str | None, **typed) -> None:
    labelled = bool(typed.get("data_dir") or typed.get("metadata"))
    if labelled and photos:
        raise InputError("give photos with labels (--data-dir, --metadata) or without, not both")
    if not labelled and not photos:
        raise InputError(
            "adapt: name a folder of labelled photos (--data-dir, --metadata), or photos without "
            "labels"
        )
    if labelled:
        from lite0ca.adaptation.with_labels import adapt_to_labels

        folder = adapt_to_labels(run, output_dir, **typed)
    else:
        from lite0ca.adaptation.without_labels import adapt_run

        folder = adapt_run(run, photos, output_dir, **typed)
        print(NEVER_SURE)
    print(printable(folder))
    print("next:", *after(folder), sep="\n  ")
