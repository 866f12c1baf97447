"""What `evaluate`, `predict`, `export` and `bench` print and write."""

from __future__ import annotations

import csv as csv_module
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import torch

from lite0ca import bench, confidence, evaluate, machine, runs
from lite0ca import web as page
from lite0ca.answers import REPORT, answered, fastest_form, settings_of
from lite0ca.bench_forms import benchmark_forms
from lite0ca.config import Config
from lite0ca.errors import InputError
from lite0ca.evaluate import Precision
from lite0ca.export import PHOTO, export, refuse_failed
from lite0ca.facts import classes_of
from lite0ca.files import read_json, whole, write_json
from lite0ca.forms import format_of, formats_named, open_file, open_model
from lite0ca.predict import logits_of_photos, photo_paths, workers_for


def evaluate_run(
    run: str, part: str | None, background: str | None, output_dir: str | None = None, **typed
) -> str:
    """Score a run's best model, or an exported file; writes JSON and the confusion matrix as PNG.

    Without --metadata or --data-dir it is the run's own data. With `background`, one of
    `background.KINDS`, only photos with a plain one count. Returns the report as text.
    """
    from lite0ca import plots  # matplotlib: what draws nothing starts without it

    folder = Path(output_dir or (run if os.path.isdir(run) else Path(run).parent))
    runs.check_writable(folder)
    facts, config, data, part, answers = answered(run, part, typed, background)
    label2id = facts["label2id"]
    classes = classes_of(label2id)
    groups = answers["group"].to_numpy() if "group" in answers else None
    truth, predicted = (answers[name].map(label2id).to_numpy() for name in ("label", "answer"))
    scores = evaluate.report(truth, predicted, classes, groups)
    scores |= {"run": str(run), "epoch": facts["epoch"], "system": facts["system"]}
    scores |= {"data": str(data.root.resolve()), "split": part, "image_size": config.image_size}
    scores |= {"background": background} if background else {}
    limit = confidence.limit_of(facts)
    honest = confidence.honesty(answers["confidence"].to_numpy(), truth == predicted, limit)
    scores |= honest
    device = machine.describe(machine.device_of(config.device))
    scores |= {"seed": facts["config"]["seed"], "device": device}
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{data.root.resolve().name}_{part}" + ("_drawn_sample" if data.is_sample else "")
    name += f"_background_{background}" if background else ""
    if format_of(run):
        name = f"{Path(run).name}_{name}"
    name = name_beside_others(folder, name, scores["data"])
    write_json(folder / f"scores_{name}.json", scores)
    title = f"{scores['system']['name']} on {name}: macro-F1 {scores['macro_f1']:.3f}"
    plots.save(
        plots.confusion(scores["confusion"], classes, title), folder / f"confusion_{name}.png"
    )
    error = f"calibration error {honest['calibration_error']:.3f}"
    plots.save(
        plots.reliability(honest["bins"], f"{scores['system']['name']}\n{name}: {error}"),
        folder / f"reliability_{name}.png",
    )
    written = [f"scores_{name}.json", f"confusion_{name}.png", f"reliability_{name}.png"]
    lines = [evaluate.as_text(scores), confidence.honesty_as_text(honest)]
    lines += [str(folder / file) for file in written]
    return f"{name}, {len(answers):,} images\n" + "\n".join(lines)


def name_beside_others(folder: Path, name: str, data: str) -> str:
    """`name`, or with a number behind it where scores of another data set have that name."""
    tried, number = name, 1
    while True:
        try:
            if read_json(folder / f"scores_{tried}.json").get("data") == data:
                return tried
        except (OSError, InputError):  # not there, or damaged: nothing is lost
            return tried
        number += 1
        tried = f"{name}_{number}"


def predict_photos(
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
        runs.check_writable(Path(csv).parent)
    paths = photo_paths(photos)
    run = fastest_form(run, typed)
    facts, model = open_model(run, typed.get("image_size"))
    config = settings_of(run, facts, {"batch_size": 32, **typed})
    machine.keep_freed_memory()
    precision = Precision.of(machine.device_of(config.device), config.amp)
    classes = classes_of(facts["label2id"])
    if facts.get("drawn_sample"):
        print("this model was trained on the drawn sample: its answers say nothing about leaves")
    workers = workers_for(paths, config.num_workers)
    logits = logits_of_photos(
        model, paths, config.image_size, precision, config.batch_size, workers
    )
    temperature = facts.get("temperature", 1.0)
    if sure_from is None:
        sure_from = confidence.limit_of(facts)
    unread = 0
    with ExitStack() as stack:
        table = None
        if csv:
            table = csv_module.writer(stack.enter_context(whole(csv)), lineterminator="\n")
            table.writerow(["path", "prediction", "probability", "sure", *classes])
        for path, row, problem in logits:
            if problem:
                unread += 1
                print(f"left out: {problem}", file=sys.stderr)
                continue
            probabilities = (row / temperature).softmax(dim=0)
            order = probabilities.argsort(descending=True, stable=True).tolist()
            sure = float(probabilities[order[0]]) >= sure_from
            likeliest = [f"{classes[i]} {probabilities[i]:.3f}" for i in order[:top]]
            print(f"{path}: {'' if sure else 'not sure: '}{', '.join(likeliest)}")
            if table:
                first = order[0]
                values = [f"{p:.6f}" for p in probabilities.tolist()]
                answer = [path, classes[first], values[first], "yes" if sure else "no"]
                table.writerow([*answer, *values])
    if csv:
        print(csv)
    return 2 if unread and not config.skip_bad_images else 0


def export_report(run: str, format: str, int8, opset, photo, web, **typed) -> None:
    """Export, write the page for phones, print the table; raises `ExportFailed` at the end."""
    formats = formats_named(format)
    if web:  # what can be wrong with the page is said before minutes of work
        page.files_of_page(Path(web).resolve())
        page.runtime_package()
    folder, rows = export(run, formats, int8, opset, photo or bool(web), **typed)
    print(f"{forms_as_text(rows)}\n{folder}\n{folder / REPORT}")
    made = [folder / row["file"] for row in rows if row["form"] == PHOTO and row["passed"]]
    if web and made:
        facts = open_file(made[0])[0]
        shown = {key: value for key, value in facts.items() if key not in ("config", "label2id")}
        print(f"{page.write_page(made[0], shown, web)}")
        print(f"to see it at http://localhost:8000: python -m http.server --directory {web}")
    refuse_failed(folder, rows)


def forms_as_text(rows: list[dict]) -> str:
    """The columns that a person compares, a line a form."""
    shown = {
        "form": ("form", "{}"),
        "size_mb": ("MB", "{:.1f}"),
        "accuracy": ("accuracy", "{:.3f}"),
        "macro_f1": ("macro-F1", "{:.3f}"),
        "agreement": ("same answer", "{:.1%}"),
        "largest_logit_difference": ("logits differ by", "{:.1g}"),
        "latency_ms": ("ms", "{:.1f}"),
        "times_torch": ("x torch", "{:.1f}"),
        "images_per_s": ("images/s", "{:.0f}"),
    }
    table = pd.DataFrame(
        {
            title: [write.format(row[name]) if name in row else "" for row in rows]
            for name, (title, write) in shown.items()
        }
    )
    return table.to_string(index=False)


def bench_report(systems, config: Config, batch_size, rounds, seconds, results, output_dir) -> str:
    """Measure; writes the table as CSV, a plot, and with scores another, named by conditions."""
    from lite0ca import plots

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


def forms_report(folder: str, batch_size: int, rounds: int, seconds: float) -> str:
    """The exported files of a run side by side with torch."""
    table = benchmark_forms(folder, batch_size, rounds, seconds)
    columns = ["form", "threads", "latency_ms", "latency_p95_ms", "times_torch", "images_per_s"]
    shown = table[[*columns, "gflops", "share_of_peak"]]
    title = f"{machine.cpu_name()}, torch {torch.__version__}, batch {batch_size} for images/s"
    return f"{title}\n{shown.to_string(index=False, float_format='{:.2f}'.format)}"
