"""Name the disease on photos."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.files import csv_line, is_stream, is_table, refuse_others, whole
from lite0ca.folders import check_length, check_writable
from lite0ca.settings.flags import add_run, add_run_flags

HEADER = ("path", "prediction", "probability", "sure")  # then a column a class
OF_A_RUN = ("config.json", "environment.json", "data.csv", "history.json", "metrics.json")


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
    if csv is not None:
        refuse_no_table(csv)
    from lite0ca.data.dataset import classes_of
    from lite0ca.evaluation import calibration
    from lite0ca.evaluation.finished_run import fastest_exported_file, settings_of
    from lite0ca.evaluation.inference import logits_of_photos, photo_paths, workers_for
    from lite0ca.formats.opening import open_model
    from lite0ca.machine.device import Precision, device_of
    from lite0ca.machine.memory import keep_freed_memory

    paths = photo_paths(photos)
    if csv is not None:
        refuse_photo(csv, paths)
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
        if csv is not None:
            table = stack.enter_context(whole(csv))
            table.write(csv_line([*HEADER, *classes], for_people=True))
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
                answer = [path, classes[first], values[first], "yes" if sure else "no"]
                table.write(csv_line([*answer, *values], for_people=True))
    if csv is not None:
        print(printable(csv))
    return 2 if unread and not config.skip_bad_images else 0


def refuse_no_table(csv: str) -> None:
    """Raise `InputError` where a table cannot be written, or would take the place of something."""
    from lite0ca.images.reading import IMAGE_SUFFIXES

    if not csv:
        raise InputError("--csv: name a file")
    check_length(csv)
    if os.path.basename(csv) in ("", ".", "..") or os.path.isdir(csv):
        raise InputError(f"--csv {csv}: is a folder; name a file")
    if os.path.splitext(csv)[1].lower() in IMAGE_SUFFIXES:
        raise InputError(f"--csv {csv}: has the name of a photo; name a .csv file")
    if is_stream(csv):
        return
    check_writable(Path(os.path.realpath(csv)).parent)
    refuse_others(csv, is_table(os.path.realpath(csv), ",".join(HEADER)), "--csv")
    beside = Path(csv).parent
    if (beside / "best_model.pt").exists() and Path(csv).name in OF_A_RUN:
        raise InputError(f"--csv {csv}: is the name of a file of the run; name another")


def refuse_photo(csv: str, paths: list[str]) -> None:
    """Raise `InputError` if the table would take the place of one of the photos."""
    from lite0ca.images.reading import identity_of

    if os.path.exists(csv) and identity_of(csv) in map(identity_of, paths):
        raise InputError(f"--csv {csv}: is one of the photos; name a .csv file")
