"""Score a run on a labelled data set."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.files import cut, is_picture, known_json, numbered, write_json
from lite0ca.folders import check_writable, refuse_among_photos, whole_folder
from lite0ca.settings.flags import add_run, add_run_flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test", "all"),
        help="which part (default: test; all where the data has no split)",
    )
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
    from lite0ca.data.classes import classes_of
    from lite0ca.evaluation import calibration, metrics
    from lite0ca.evaluation.predictions import answered
    from lite0ca.formats.exported_file import format_of
    from lite0ca.formats.metadata import limit_of
    from lite0ca.machine.device import describe, device_of
    from lite0ca.plots import style
    from lite0ca.plots.scores import confusion, reliability

    folder = Path(output_dir or (run if os.path.isdir(run) else Path(run).parent))
    check_writable(folder)
    if typed.get("data_dir"):
        refuse_among_photos(folder, Path(typed["data_dir"]))
    metadata, config, data, part, answers = answered(run, split, typed, background)
    refuse_among_photos(folder, data.source)
    label2id = metadata["label2id"]
    classes = classes_of(label2id)
    groups = answers["group"].to_numpy() if "group" in answers else None
    truth, predicted = (answers[name].map(label2id).to_numpy() for name in ("label", "answer"))
    scores = metrics.report(truth, predicted, classes, groups)
    scores |= {"run": str(run), "epoch": metadata["epoch"], "system": metadata["system"]}
    scores |= {"data": str(data.root.resolve()), "split": part, "image_size": config.image_size}
    scores |= {"background": background} if background else {}
    right, limit = truth == predicted, limit_of(metadata)
    calibrated = calibration.calibration_report(answers["confidence"].to_numpy(), right, limit)
    scores |= calibrated
    scores |= {"seed": metadata["config"]["seed"], "device": describe(device_of(config.device))}
    name = f"{cut(data.root.resolve().name)}_{part}" + ("_drawn_sample" if data.is_sample else "")
    name += f"_background_{background}" if background else ""
    if format_of(run):
        name = f"{cut(Path(run).name)}_{name}"
    name = name_beside_others(folder, name, scores["data"])
    written = files_of(name)
    title = f"{scores['system']['name']}\n{name}\n"
    score = f"macro-F1 {scores['macro_f1']:.3f}"
    error = f"calibration error {calibrated['calibration_error']:.3f}"
    with whole_folder(folder) as made:
        write_json(made / written[0], scores)
        style.save(confusion(scores["confusion"], classes, title + score), made / written[1])
        style.save(reliability(calibrated["bins"], title + error), made / written[2])
    print(printable(f"{name}, {len(answers):,} images"))
    print(metrics.as_text(scores))
    print(calibration.calibration_as_text(calibrated))
    print("\n".join(printable(str(folder / file)) for file in written))


def files_of(name: str) -> tuple[str, str, str]:
    return f"scores_{name}.json", f"confusion_{name}.png", f"reliability_{name}.png"


def name_beside_others(folder: Path, name: str, data: str) -> str:
    """`name`, or with a number behind it where its files are of another data set, or not ours."""
    for tried in numbered(name):
        scores, *pictures = (folder / file for file in files_of(tried))
        same = not os.path.lexists(scores) or is_scores_of(scores, data)
        if same and all(is_picture(file) or not os.path.lexists(file) for file in pictures):
            return tried


def is_scores_of(file: Path, data: str) -> bool:
    found = known_json(file)
    return found.get("data") == data and {"run", "split", "macro_f1"} <= set(found)
