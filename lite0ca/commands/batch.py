"""Run a notebook headless for each preset, seed and fold."""

from __future__ import annotations

import argparse

from lite0ca.settings.presets import PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("presets", nargs="+", metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="assigned",
        metavar="NAME=VALUE",
        help="settings over every preset, such as epochs=1",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[],
        metavar="SEED",
        help="run every preset with each of these seeds; adds mean and deviation over them",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="train every preset (and seed) on each of N folds; then every photo is answered by "
        "the run that did not train on it: scores, answers and confusion as "
        "scores_out_of_fold_PRESET.json, out_of_fold_PRESET.csv, confusion_out_of_fold_PRESET.png",
    )
    parser.add_argument("--notebook", default="03_train", help="(default: 03_train), or a path")
    parser.add_argument("--metadata", help="the data as CSV; default: what is found")
    parser.add_argument("--data-dir", help="the data as a folder of classes")
    parser.add_argument("--output-dir", default="results", help="(default: results)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip what is done with the same parameters, go on with what was cut off",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto, HOST:PORT, or local (started here); a run takes one GPU "
        "where there are any, else one core; each machine needs this environment, and this folder, "
        "the data and --output-dir at the same path on a shared file system",
    )


def run(presets: list[str], **typed) -> int:
    from lite0ca.headless.batch import batch

    return batch(presets, **typed)
