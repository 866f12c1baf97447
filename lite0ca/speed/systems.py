"""The figures that the guide gives, as its own: quoted beside what is measured here.

It states neither data set nor batch size nor runtime.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from lite0ca.errors import InputError
from lite0ca.files.json_files import read_json
from lite0ca.formats.ending import is_out_of_time
from lite0ca.formats.metadata import is_number
from lite0ca.machine.device import Precision, describe, device_of
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.machine.processor import cpu_name
from lite0ca.model.network import LeafClassifier, build_model, mac_count, parameter_count
from lite0ca.settings.config import Config
from lite0ca.settings.fields import flag, unknown
from lite0ca.settings.systems import SYSTEMS
from lite0ca.speed.timing import Setup, measured, memory_of, summary, using

# system: (parameters in millions, accuracy in %, images/s on a T4, images/s on a CPU)
CLAIMS = {
    "EfficientNet_Lite0_CA": ("4.7", "90-92", "612", "~80"),
    "EfficientNetV2_S_CA": ("21.5", "93-95", "320", ""),
    "EfficientNetV2_S_Hybrid": ("24", "95-97", "250", ""),
    "MobileNetV3_Small_CA": ("2.8", "89-91", "450", "~60"),
    "MobileNetV3_Small_Hybrid": ("4", "91-93", "", "~45"),
    "ResNet18_ECA": ("", "91-93", "280", ""),
}
COLUMNS = (
    "guide_parameters_million",
    "guide_accuracy_percent",
    "guide_t4_images_per_s",
    "guide_cpu_images_per_s",
)

CLASSES = 4

SCORE = "valid_macro_f1"
# column: the name in a run's metrics.json
SCORES = {SCORE: "valid_f1", "valid_accuracy": "valid_acc"}
# What the scores of two systems may differ in, each from its own file of weights perhaps.
OWN = {"model_name", "backbone", "attention", "weights", "seed"}
RECIPE = ["train_limit", "valid_limit"] + [
    name for name in Config.in_groups("model", "training") if name not in OWN
]
SCORE_COLUMNS = (*SCORES, "runs", "data")

# column: what people call it, and how they write it
SHOWN = {
    "system": ("system", "{}"),
    "setup": ("setup", "{}"),
    "parameters": ("parameters", "{:,}"),
    "macs_million": ("million MACs", "{:,.0f}"),
    "size_mb": ("MB", "{:.1f}"),
    "latency_ms": ("ms an image", "{:.1f}"),
    "latency_p95_ms": ("ms, p95", "{:.1f}"),
    "images_per_s": ("images/s", "{:,.0f}"),
    "peak_memory_mb": ("memory, MB", "{:.0f}"),
    SCORE: ("valid macro-F1", "{:.3f}"),
}


def benchmark(
    names: Sequence[str],
    config: Config,
    batch_size: int,
    rounds: int,
    seconds: float,
    results: str | Path | None,
) -> pd.DataFrame:
    """A row for each system and setup; all systems without `names`.

    Latency is one image at a time, throughput a batch; both the median over all passes of all
    rounds, float32 in channels-last memory unless the setup says mixed precision. The weights
    are random: speed does not depend on them. `results` is a folder with finished runs, whose
    scores are added. Raises `InputError` for an unknown system or a senseless number.
    """
    for name in names:
        if name not in SYSTEMS:
            raise InputError(f"system {unknown(name, SYSTEMS)}")
    for typed, value in (("--batch-size", batch_size), ("--rounds", rounds)):
        if value < 1:
            raise InputError(f"{typed} must be at least 1, not {value}")
    if not 0 <= seconds <= 3600:
        raise InputError(f"--seconds must be 0 to 3600, not {seconds:g}")
    setups = setups_of(config)
    scores = scores_in(results) if results else {}
    keep_freed_memory()
    torch.manual_seed(config.seed)
    models = {
        name: build_model(SYSTEMS[name], CLASSES, config.image_size).eval()
        for name in dict.fromkeys(names or SYSTEMS)
    }
    known = {name: size_and_cost_of(model, config.image_size) for name, model in models.items()}
    rows = []
    for setup in setups:
        with using(setup, models):
            times = measured(models, setup, config.image_size, batch_size, rounds, seconds)
            for name, model in models.items():
                row = {"system": name, "setup": setup.name, **known[name]}
                row |= summary(*times[name], batch_size)
                row["peak_memory_mb"] = memory_of(model, setup, config.image_size, batch_size)
                row |= scores.get(name, {})
                rows.append(row | dict(zip(COLUMNS, CLAIMS.get(name, [""] * 4))))
    # The columns of scores stand in every table, with or without runs.
    return pd.DataFrame(rows, columns=[*rows[0], *(c for c in SCORE_COLUMNS if c not in rows[0])])


def setups_of(config: Config) -> list[Setup]:
    """On a CPU one thread and all; on cuda float32 and mixed precision, unless --amp says which,
    each launched kernel by kernel and as CUDA graphs.
    """
    device = device_of(config.device)
    if device.type == "cpu":
        threads = sorted({1, torch.get_num_threads()})
        return [Setup(Precision(device, bool(config.amp)), number) for number in threads]
    on_cuda = device.type == "cuda"
    amps = [config.amp] if config.amp is not None else [False, True][: 1 + on_cuda]
    ways = [False, True][: 1 + on_cuda]
    return [
        Setup(Precision(device, amp), torch.get_num_threads(), way) for amp in amps for way in ways
    ]


def size_and_cost_of(model: LeafClassifier, image_size: int) -> dict:
    """What does not depend on the machine. Size: the weights as float32."""
    tensors = model.state_dict().values()
    return {
        "parameters": parameter_count(model),
        "macs_million": mac_count(model, image_size) / 1e6,
        "size_mb": sum(t.numel() * t.element_size() for t in tensors) / 1e6,
    }


def scores_in(results: str | Path) -> dict[str, dict]:
    """{system: mean valid macro-F1 and accuracy over its finished runs in a folder}.

    Raises `InputError` if the runs differ in more than system, seed and machine: such scores
    cannot be compared. A split that was made for the data depends on the seed, so several seeds
    need data with a split.
    """
    if not Path(results).is_dir():
        raise InputError(f"--results {results}: there is no such folder")
    found, settings = [], []
    for file in sorted(Path(results).glob("*/metrics.json")):
        try:
            metrics, config, made = (
                read_json(file.parent / name)
                for name in ("metrics.json", "config.json", "environment.json")
            )
            stopped = metrics.get("stopped", "")  # runs of version 0.1.0 do not say
            if stopped is None or is_out_of_time(stopped):
                continue  # it is still running, was killed, or waits to be resumed
            if config.get("all"):
                continue  # it kept no photo back to be scored on
            if not all(is_number(metrics[key]) for key in SCORES.values()):
                raise ValueError
            found.append({k: metrics[k] for k in ("model_name", "data", *SCORES.values())})
            # Older runs have fewer settings.
            recipe = {name: config.get(name, getattr(Config, name)) for name in RECIPE}
            settings.append(recipe | {"data": made["data_fingerprint"]})
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{file}: is no metrics file of a run") from None
    for name in settings[0] if settings else ():
        if any(one[name] != settings[0][name] for one in settings):
            what = "data or split" if name == "data" else flag(name)
            raise InputError(
                f"--results {results}: its runs differ in {what}, so their scores cannot be "
                "compared; give a folder with runs of one kind"
            )
    runs = pd.DataFrame(found, columns=["model_name", "data", *SCORES.values()])
    return {
        name: {
            **{column: float(own[key].mean()) for column, key in SCORES.items()},
            "runs": len(own),
            "data": own["data"].iloc[0],
        }
        for name, own in runs.groupby("model_name")
    }


def fastest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the setup with the highest throughput, one a system."""
    speed = table.groupby("setup")["images_per_s"].median()
    return table[table["setup"] == speed.idxmax()].reset_index(drop=True)


def title_of(config: Config, table: pd.DataFrame) -> str:
    """What every figure was measured on."""
    device = device_of(config.device)
    where = cpu_name() if device.type == "cpu" else describe(device)
    data = sorted(set(table["data"].dropna()))
    return (
        f"{where}, torch {torch.__version__}, {config.image_size} pixels, "
        f"batch {table['batch_size'].iloc[0]}" + (f"; scores on {data[0]}" if data else "")
    )


def as_table(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that a person compares, as text."""
    return pd.DataFrame(
        {
            title: [write.format(x) if pd.notna(x) else "" for x in table[column]]
            for column, (title, write) in SHOWN.items()
        }
    )


def file_name(config: Config, batch_size: int, names: Sequence[str] = ()) -> str:
    """The conditions of a benchmark as a file name without its ending."""
    device = device_of(config.device)
    processor = cpu_name() if device.type == "cpu" else ""
    processor = torch.cuda.get_device_name() if device.type == "cuda" else processor
    words = ["bench", f"{config.image_size}px", f"batch{batch_size}", device.type, processor]
    words += [{True: "amp", False: "float32", None: ""}[config.amp]]
    words += [f"{len(names)}_systems"] if names else []
    words += [f"torch{torch.__version__.split('+')[0]}"]
    return "-".join(re.sub(r"[^\w.]+", "_", word).strip("_").lower() for word in words if word)
