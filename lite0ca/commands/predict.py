"""Name the disease on photos."""

from __future__ import annotations

import argparse
import csv as csv_module
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.files import check_writable, whole
from lite0ca.settings.flags import add_run, add_run_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="image files or folders")
    parser.add_argument("--csv", help="write every probability to this file as well")
    parser.add_argument("--top", type=int, default=3, help="classes shown a photo (default: 3)")
    parser.add_argument(
        "--sure-from",
        type=float,
        metavar="P",
        help="say 'not sure' below this probability (default: where the run was right in 95 %% of "
        "its valid split)",
    )
    add_run_flags(parser, "skip_bad_images batch_size image_size device amp num_workers")


def run(
    run: str, photos: list[str], csv: str | None, top: int, sure_from: float | None, **typed
) -> int:
    """Print the likeliest classes of each photo; returns 2 if a file could not be read."""
    if top < 1:
        raise InputError(f"--top must be at least 1, not {top}")
    if sure_from is not None and not 0 <= sure_from <= 1:
        raise InputError(f"--sure-from must be a probability from 0 to 1, not {sure_from}")
    if csv and os.path.isdir(csv):
        raise InputError(f"--csv {csv}: is a folder; name a file")
    if csv:
        check_writable(Path(csv).parent)
    from lite0ca.data.dataset import classes_of
    from lite0ca.evaluation import calibration
    from lite0ca.evaluation.finished_run import fastest_exported_file, settings_of
    from lite0ca.evaluation.inference import logits_of_photos, photo_paths, workers_for
    from lite0ca.formats.opening import open_model
    from lite0ca.machine.device import Precision, device_of
    from lite0ca.machine.memory import keep_freed_memory

    paths = photo_paths(photos)
    run = fastest_exported_file(run, typed)
    metadata, model = open_model(run, typed.get("image_size"))
    config = settings_of(run, metadata, {"batch_size": 32, **typed})
    keep_freed_memory()
    precision = Precision.of(device_of(config.device), config.amp)
    classes = classes_of(metadata["label2id"])
    if metadata.get("drawn_sample"):
        print("this model was trained on the drawn sample: its answers say nothing about leaves")
    workers = workers_for(paths, config.num_workers)
    logits = logits_of_photos(
        model, paths, config.image_size, precision, config.batch_size, workers
    )
    temperature = metadata.get("temperature", 1.0)
    if sure_from is None:
        sure_from = calibration.limit_of(metadata)
    unread = 0
    with ExitStack() as stack:
        table = None
        if csv:
            table = csv_module.writer(stack.enter_context(whole(csv)), lineterminator="\n")
            table.writerow(["path", "prediction", "probability", "sure", *classes])
        for path, row, problem in logits:
            if problem:
                unread += 1
                print(f"left out: {printable(problem)}", file=sys.stderr)
                continue
            probabilities = (row / temperature).softmax(dim=0)
            order = probabilities.argsort(descending=True, stable=True).tolist()
            sure = float(probabilities[order[0]]) >= sure_from
            likeliest = [f"{printable(classes[i])} {probabilities[i]:.3f}" for i in order[:top]]
            print(f"{printable(path)}: {'' if sure else 'not sure: '}{', '.join(likeliest)}")
            if table:
                first = order[0]
                values = [f"{p:.6f}" for p in probabilities.tolist()]
                row = [path, classes[first], values[first], "yes" if sure else "no"]
                table.writerow([*row, *values])
    if csv:
        print(printable(csv))
    return 2 if unread and not config.skip_bad_images else 0
