"""Choose the photos of a place that are worth a label, for adapt: a CSV to fill in, and a page."""

from __future__ import annotations

import argparse
import os

from lite0ca.errors import printable
from lite0ca.settings.flags import add_run, add_run_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, others="")
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="image files or folders of the place"
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="photos to label (default: 10 for each class that the run knows, at most 100)",
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", help="(default: here, the photos' folder with _to_label)"
    )
    add_run_flags(parser, "skip_bad_images batch_size image_size device amp num_workers")


def run(run: str, photos: list[str], count: int | None, output_dir: str | None, **typed) -> int:
    """Write the table and the page; returns 2 if a file could not be read."""
    from lite0ca.adaptation import label_sheet

    sheet = label_sheet.choose(run, photos, count, output_dir, **typed)
    label_sheet.say_unread(sheet)
    written = label_sheet.write(sheet)
    wanted = "" if count is None or len(sheet.paths) == count else f" of {count:,} wanted"
    kinds = "no two of them near-duplicates"
    print(f"{len(sheet.paths):,}{wanted} to label of {sheet.looked_at:,} photos, {kinds}")
    width = len(str(len(sheet.paths)))
    for number, path in enumerate(sheet.paths):
        name = printable(os.path.basename(path))
        print(f"{number + 1:{width}}  {name}  {printable(sheet.answer(number))}")
    print(f"write one of these into the column label: {printable(', '.join(sheet.classes))}")
    print("\n".join(printable(str(file)) for file in written))
    print(f"then: {printable(sheet.next_command)}")
    return 2 if sheet.unread and not typed.get("skip_bad_images") else 0
