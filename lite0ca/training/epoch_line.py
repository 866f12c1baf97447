"""What a training says after each epoch: one line of at most 100 characters, and when it ends."""

from __future__ import annotations

from statistics import median_low

from lite0ca.images.batch_order import sizes_of_epochs
from lite0ca.settings.config import Config
from lite0ca.training.state import State

DATA_BOUND = 0.1  # of the time spent waiting for data; a fast enough loader leaves 1 or 2 %
LAST = 3  # epochs whose pace the next ones are expected to have


def header(config: Config) -> str:
    """The names of the columns below; `*` there marks what is kept so far."""
    return (
        f"{' ' * len(count(0, config))}  train loss   acc  valid loss   acc    F1   "
        "images/s bottleneck  time"
    )


def epoch_line(state: State, config: Config, better: bool) -> str:
    """One line an epoch, the same on a terminal and in a batch log.

    Without photos to score on there are dashes, and no epoch is a better one.
    """
    row = {name: values[-1] for name, values in state.history.items()}
    waits = row["data_wait_share"]
    bottleneck = f"data {waits:.0%}" if waits > DATA_BOUND else "compute"
    scores = f"{'-':>10} {'-':>5} {'-':>5} "
    if "valid_f1" in row:
        scores = f"{row['valid_loss']:10.4f} {row['valid_acc']:.3f} {row['valid_f1']:.3f}"
        scores += "*" if better else " "
    return (
        f"{count(state.epoch, config)}  {row['train_loss']:10.4f} {row['train_acc']:.3f}"
        f"  {scores}  {row['images_per_s']:8.0f} {bottleneck:10}"
        f"  {took(row['seconds'])} ETA {clock(seconds_left(state.history['seconds'], config))}"
    )


def count(epoch: int, config: Config) -> str:
    return f"epoch {epoch:{len(str(config.epochs))}}/{config.epochs}"


def seconds_left(seconds: list[float], config: Config) -> float:
    """For the epochs to come: by their pixels, at the pace of the last ones.

    The first one of a process is slow (on a GPU it took 17 s, each other one half a second), so of
    two epochs the faster counts, and of three the middle one.
    """
    done = len(seconds)
    pixels = [size**2 for size in sizes_of_epochs(config)]
    first = max(0, done - LAST)
    paces = [took / size for took, size in zip(seconds[first:], pixels[first:done])]
    return median_low(paces) * sum(pixels[done:])


def took(seconds: float) -> str:
    """`0.6 s` or `12:34`"""
    return f"{seconds:.1f} s" if seconds < 9.95 else clock(seconds)


def clock(seconds: float) -> str:
    """`0:07`, `12:34` or `1:02:03`"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
