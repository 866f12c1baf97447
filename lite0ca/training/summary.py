"""What an epoch says and leaves: its line, and with --save-history metrics, history and curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lite0ca.data.dataset import DRAWN, DataSet
from lite0ca.files import write_json
from lite0ca.formats.run_files import BEST
from lite0ca.model.network import parameter_count
from lite0ca.settings.config import Config
from lite0ca.training.state import State

DATA_BOUND = 0.1  # of the time spent waiting for data; a fast enough loader leaves 1 or 2 %


def epoch_line(state: State, epochs: int, better: bool) -> str:
    """One line an epoch, the same on a terminal and in a batch log."""
    row = {name: values[-1] for name, values in state.history.items()}
    eta_s = round(np.mean(state.history["seconds"]) * (epochs - state.epoch))
    return (
        f"epoch {state.epoch:{len(str(epochs))}}/{epochs}  "
        f"train loss {row['train_loss']:.4f} acc {row['train_acc']:.3f} | "
        f"valid loss {row['valid_loss']:.4f} acc {row['valid_acc']:.3f} "
        f"F1 {row['valid_f1']:.3f}{'*' if better else ' '} | "
        f"lr {row['base_lr']:.1e} {row['head_lr']:.1e} | {row['images_per_s']:.0f} images/s, "
        f"{'data' if row['data_wait_share'] > DATA_BOUND else 'compute'} is the bottleneck "
        f"({row['data_wait_share']:.0%} waiting for data) | "
        f"{row['seconds']:.0f} s, ETA {eta_s // 60}:{eta_s % 60:02d}"
    )


def write_results(
    run: Path, state: State, config: Config, data: DataSet, speed: dict, stopped: str | None = None
) -> dict:
    """The metrics of the best epoch, the model's size, its speed, and why the run has `stopped`.

    With --save-history they are written, as are the curves: history.json, training_plot.png.
    """
    source = DRAWN if data.is_sample else str(data.source)
    about = {"model_name": config.system.name, "data": source}
    if not state.best_epoch:
        metrics = about | {"best_epoch": 0, "epochs": 0, "stopped": stopped}
        if config.save_history:
            write_json(run / "metrics.json", metrics)
        return metrics
    names = ("valid_acc", "valid_f1", "valid_loss", "train_acc", "train_loss")
    best = {name: state.history[name][state.best_epoch - 1] for name in names}
    checkpoint = run / BEST
    metrics = {
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
    if config.save_history:
        write_json(run / "history.json", state.history)
        write_json(run / "metrics.json", metrics)
        from lite0ca.plots import style  # matplotlib: what draws nothing starts without it
        from lite0ca.plots.runs import training_curves

        curves = training_curves(state.history, state.best_epoch, title_of(run, data))
        style.save(curves, run / "training_plot.png")
    return metrics


def title_of(run: Path, data: DataSet) -> str:
    return run.name + (f" ({DRAWN})" if data.is_sample else "")
