"""SIGINT and SIGTERM handled otherwise for a while, by long work that must not just end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable


@contextlib.contextmanager
def on_signals(handler: Callable):
    """SIGINT and SIGTERM call `handler(number, frame)` inside; main thread only."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave_signals_to_the_parent() -> None:
    """For a child process: a signal to the group is for the parent, who still needs the child."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
