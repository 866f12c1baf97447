"""How a training ended, and whether it has."""

from __future__ import annotations

from pathlib import Path

from lite0ca.formats.run_files import EXPORTS, LAST, REPORT, SETTINGS
from lite0ca.settings.config import Config

# What metrics.json says of it as `stopped`; nothing while it runs, and of one that was killed or
# stopped by a signal.
ALL_DONE, NO_BETTER = "all epochs done", "no better macro-F1"
OUT_OF_TIME = "the time budget"  # it can go on


def reason_to_end(epoch: int, best_epoch: int, config: Config) -> str | None:
    """Why no epoch comes after `epoch`, or None."""
    if epoch >= config.epochs:
        return ALL_DONE
    if config.patience and epoch - best_epoch >= config.patience:
        return f"{NO_BETTER} for {config.patience} epochs"
    return None


def is_end(stopped: object) -> bool:
    """Whether a training that `stopped` so is at its end."""
    return isinstance(stopped, str) and stopped.startswith((ALL_DONE, NO_BETTER))


def is_out_of_time(stopped: str) -> bool:
    """Whether a training that `stopped` so waits to go on."""
    return OUT_OF_TIME in stopped


def has_ended(run: Path) -> bool:
    """Whether a training came to its end, by its checkpoints: not every run keeps a metrics.json.

    One that was copied without its last.pt is taken so. What was exported has ended, and what knows
    its training photos: it learns them at the end.
    """
    if (run / EXPORTS / REPORT).is_file() or not all(
        (run / name).is_file() for name in (LAST, SETTINGS)
    ):
        return True
    from lite0ca.formats.checkpoint import load_best, load_checkpoint  # torch

    if "distance" in load_best(run):
        return True
    config, last = Config.of_run(run), load_checkpoint(run / LAST, ("epoch", "best_epoch"))
    return reason_to_end(last["epoch"], last["best_epoch"], config) is not None
