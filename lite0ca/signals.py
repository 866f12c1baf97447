"""SIGINT and SIGTERM handled otherwise for a while, by long work that must not just end."""

from __future__ import annotations

import contextlib
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
