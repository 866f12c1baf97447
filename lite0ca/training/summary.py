"""What a training leaves with --save-history: metrics, history and curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lite0ca.data.dataset import DRAWN, DataSet
from lite0ca.formats.run_files import BEST
from lite0ca.model.network import parameter_count
from lite0ca.settings.config import Config
from lite0ca.training.state import State


def metrics_of(
    run: Path, state: State, config: Config, data: DataSet, speed: dict, stopped: str | None = None
) -> dict:
    """The metrics of the best epoch, the model's size, its speed, and why the run has `stopped`.

    Of a run with --all it is the last epoch, and those of valid are None: nobody measured them.
    """
    source = DRAWN if data.is_sample else str(data.source)
    about = {"model_name": config.system.name, "data": source}
    if not state.best_epoch:
        return about | {"best_epoch": 0, "epochs": 0, "stopped": stopped}
    names = ("valid_acc", "valid_f1", "valid_loss", "train_acc", "train_loss")
    rows = {name: state.history.get(name) for name in names}
    best = {name: row[state.best_epoch - 1] if row else None for name, row in rows.items()}
    checkpoint = run / BEST
    return {
        **about,
        **best,
        "best_epoch": state.best_epoch,
        "epochs": state.epoch,
        **speed,
        "num_params": parameter_count(state.model),
        "size_mb": checkpoint.stat().st_size / 1e6,
        "ckpt_path": str(checkpoint),
        "train_seconds": sum(state.history["seconds"]),
        "train_images_per_s": float(np.median(state.history["images_per_s"])),
        "restarts_after_nan": state.retries,
        "stopped": stopped,
    }


def metrics_of_test(scores: dict) -> dict:
    """What metrics.json holds of the test split, where there is one."""
    names = {"accuracy": "test_acc", "macro_f1": "test_f1", "images": "test_images"}
    names |= {"macro_f1_interval_95": "test_f1_interval_95"}
    return {new: scores[old] for old, new in names.items()} if scores["split"] == "test" else {}


def draw_curves(run: Path, state: State, data: DataSet) -> None:
    from lite0ca.plots import style  # matplotlib: what draws nothing starts without it
    from lite0ca.plots.runs import training_curves

    title = run.name + (f" ({DRAWN})" if data.is_sample else "")
    style.save(training_curves(state.history, state.best_epoch, title), run / "training_plot.png")
