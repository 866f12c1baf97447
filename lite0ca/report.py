"""What `evaluate`, `predict` and `bench` print and write."""

from __future__ import annotations

import csv as csv_module
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lite0ca import bench, bench_loader, evaluate, machine, plots, runs, split
from lite0ca import data as datasets
from lite0ca.config import Config
from lite0ca.errors import InputError
from lite0ca.evaluate import Precision
from lite0ca.files import whole, write_json
from lite0ca.loaders import score_loader
from lite0ca.model import model_of
from lite0ca.predict import photo_paths, predictions


def evaluate_run(run: str, part: str | None, output_dir: str | None = None, **typed) -> str:
    """Score the best model of a run; writes a JSON report and the confusion matrix as PNG.

    Without --metadata or --data-dir it is the run's own data. Returns the report as text.
    """
    checkpoint = runs.load_best(run)
    config = of_checkpoint(checkpoint, typed)
    folder = Path(output_dir or (run if os.path.isdir(run) else Path(run).parent))
    runs.check_writable(folder)
    data, part, answers = answered(run, part, checkpoint, config)
    precision = Precision.of(machine.device_of(config.device), config.amp)
    label2id = checkpoint["label2id"]
    classes = sorted(label2id, key=label2id.get)
    groups = answers["group"].to_numpy() if "group" in answers else None
    truth, predicted = (answers[name].map(label2id).to_numpy() for name in ("label", "answer"))
    scores = evaluate.report(truth, predicted, classes, groups)
    scores |= {"run": str(run), "epoch": checkpoint["epoch"], "system": checkpoint["system"]}
    scores |= {"data": str(data.root), "split": part, "image_size": config.image_size}
    scores |= {"seed": checkpoint["config"]["seed"], "device": machine.describe(precision.device)}
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{data.root.resolve().name}_{part}" + ("_drawn_sample" if data.is_sample else "")
    write_json(folder / f"scores_{name}.json", scores)
    title = f"{scores['system']['name']} on {name}: macro-F1 {scores['macro_f1']:.3f}"
    plots.save(
        plots.confusion(scores["confusion"], classes, title), folder / f"confusion_{name}.png"
    )
    written = f"{folder / f'scores_{name}.json'}\n{folder / f'confusion_{name}.png'}"
    return f"{name}, {len(answers):,} images\n{evaluate.as_text(scores)}\n{written}"


def answered(
    run: str, part: str | None, checkpoint: dict, config: Config
) -> tuple[datasets.DataSet, str, pd.DataFrame]:
    """(the data, the part of it, its rows with the model's `answer` and `confidence` 0..1)."""
    model = model_of(checkpoint, config.image_size)
    label2id = checkpoint["label2id"]
    data = datasets.load(config, label2id)
    data, part = choose(with_known_split(data, run), part)
    data = datasets.without_bad_images(data, config.skip_bad_images)
    precision = Precision.of(machine.device_of(config.device), config.amp)
    machine.keep_freed_memory()
    model.to(precision.device)
    logits, _ = evaluate.logits_of(model, score_loader(data.rows, label2id, config), precision)
    confidence, number = logits.softmax(dim=1).max(dim=1)
    names = {number: label for label, number in label2id.items()}
    answer = [names[n] for n in number.tolist()]
    return data, part, data.rows.assign(answer=answer, confidence=confidence.numpy())


def answers_of(run: str, part: str | None = None, **typed) -> pd.DataFrame:
    """The rows of one part of a run's data with the model's `answer` and `confidence` 0..1."""
    checkpoint = runs.load_best(run)
    return answered(run, part, checkpoint, of_checkpoint(checkpoint, typed))[2]


def of_checkpoint(checkpoint: dict, typed: dict) -> Config:
    """The settings of a run, with what was typed for this command over them."""
    settings = dict(checkpoint["config"]) | {"resume": None, "weights": None}
    if typed.get("metadata") or typed.get("data_dir"):
        settings |= {"metadata": None, "data_dir": None, "label2id": None}
    # Its machine may not be this one.
    settings |= {"device": "auto", "amp": None, "num_workers": Config.num_workers}
    return Config.of(**{**settings, **typed})


def with_known_split(data: datasets.DataSet, run: str) -> datasets.DataSet:
    """The run's own split for data without one that the run was trained on.

    A split made in training is not in the data; scoring all of it would score training images.
    """
    table = Path(run if os.path.isdir(run) else Path(run).parent) / "data.csv"
    # Of a split with train alone, training makes valid: that one is in the table only.
    has_valid = "split" in data.rows and (data.rows["split"] == "valid").any()
    if has_valid or not table.is_file():
        return data
    made = split.with_split_of(data, pd.read_csv(table, dtype=str, keep_default_na=False))
    if made.rows.empty:
        return data
    print(f"the run was trained on images of {data.root}: its own split is used")
    return made


def choose(data: datasets.DataSet, part: str | None) -> tuple[datasets.DataSet, str]:
    """(the images to score, name of the part)."""
    if "split" not in data.rows:
        if part not in (None, "all"):
            raise InputError(f"--split {part}: the data has no split; leave it out to score all")
        return data, "all"
    part = part or "test"
    rows = data.rows if part == "all" else data.part(part)
    if rows.empty:
        counts = ", ".join(f"{n} {name}" for name, n in data.rows["split"].value_counts().items())
        raise InputError(f"--split {part}: the data has no such images (it has {counts})")
    return replace(data, rows=rows.reset_index(drop=True)), part


def predict_photos(run: str, photos: list[str], csv: str | None, top: int, **typed) -> int:
    """Print the likeliest classes of each photo; returns 2 if a file could not be read."""
    if top < 1:
        raise InputError(f"--top must be at least 1, not {top}")
    paths = photo_paths(photos)
    checkpoint = runs.load_best(run)
    config = of_checkpoint(checkpoint, {"batch_size": 32, **typed})
    model = model_of(checkpoint, config.image_size)
    machine.keep_freed_memory()
    precision = Precision.of(machine.device_of(config.device), config.amp)
    classes = sorted(checkpoint["label2id"], key=checkpoint["label2id"].get)
    if checkpoint.get("drawn_sample"):
        print("this model was trained on the drawn sample: its answers say nothing about leaves")
    # Starting loader processes takes longer than reading a few photos.
    workers = machine.loader_workers(config.num_workers) if len(paths) > 200 else 0
    answers = predictions(model, paths, config.image_size, precision, config.batch_size, workers)
    unread = 0
    with ExitStack() as stack:
        table = None
        if csv:
            table = csv_module.writer(stack.enter_context(whole(csv)), lineterminator="\n")
            table.writerow(["path", "prediction", "probability", *classes])
        for path, probabilities, problem in answers:
            if problem:
                unread += 1
                print(f"left out: {problem}", file=sys.stderr)
                continue
            order = probabilities.argsort(descending=True, stable=True).tolist()
            likeliest = [f"{classes[i]} {probabilities[i]:.3f}" for i in order[:top]]
            print(f"{path}: {', '.join(likeliest)}")
            if table:
                first = order[0]
                values = [f"{p:.6f}" for p in probabilities.tolist()]
                table.writerow([path, classes[first], values[first], *values])
    if csv:
        print(csv)
    return 2 if unread and not config.skip_bad_images else 0


def bench_report(systems, config: Config, batch_size, rounds, seconds, results, output_dir) -> str:
    """Measure; writes the table as CSV, a plot, and with scores another, named by conditions."""
    runs.check_writable(output_dir)
    table = bench.benchmark(systems, config, batch_size, rounds, seconds, results)
    stem = Path(output_dir) / bench.file_name(config, batch_size, systems)
    stem.parent.mkdir(parents=True, exist_ok=True)
    with whole(f"{stem}.csv") as file:
        table.to_csv(file, index=False)
    title = bench.title_of(config, table)
    plots.save(plots.speeds(table, title), f"{stem}-speed.png")
    written = [f"{stem}.csv", f"{stem}-speed.png"]
    if table[bench.SCORE].notna().any():
        figure = plots.accuracy_against_cost(bench.fastest(table), bench.SCORE, title)
        plots.save(figure, f"{stem}-pareto.png")
        written.append(f"{stem}-pareto.png")
    return f"{title}\n{bench.as_text(table)}\n" + "\n".join(written)


def loader_report(config: Config, rounds: int) -> str:
    """The stages of the input pipeline side by side with torchvision's, on the data it names."""
    if rounds < 1:
        raise InputError(f"--rounds must be at least 1, not {rounds}")
    data = datasets.without_bad_images(datasets.load(config), skip=False)
    return bench_loader.as_text(bench_loader.benchmark_loader(data, config, rounds), config)
