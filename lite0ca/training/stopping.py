"""When a training stops early, or saves on the way: signals, the time budget, long epochs."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch

from lite0ca.formats.ending import OUT_OF_TIME
from lite0ca.machine import distributed
from lite0ca.machine.console import tell
from lite0ca.machine.signals import leave, on_signals

SAVE_EVERY_S = 300.0  # within an epoch: a kill costs at most so much
LOOK_EVERY = 10  # steps on cuda when there are ranks: each look waits for all of them


class Paused(Exception):
    """Training stopped at a step, saved; the message says why. `signal` is 0 for lack of time."""

    def __init__(self, reason: str, number: int = 0):
        super().__init__(reason)
        self.signal = number


class Wish:
    """`signal` is the number of the signal that came, 0 as long as none did."""

    signal = 0
    passed_to = None  # a child process that does the work

    def __init__(self, run=None):
        self.run = run  # its folder, once there is one

    def goes_on(self) -> str:
        return f"; --resume {self.run} goes on" if self.run else " before the first step"

    def note(self, number: int, _frame) -> None:
        if self.signal and number == signal.SIGINT:
            leave(number, self.goes_on())  # Ctrl-C after another signal: at once, saved or not
        if not self.signal:
            self.signal = number
            if self.passed_to:
                self.passed_to.send_signal(number)  # torchrun passes it on to its ranks
                return
            at_once = "; again: leaves at once" if number == signal.SIGINT else ""
            name = signal.Signals(number).name
            tell(f"\n{name}: one more step, then it saves{at_once}", sys.stdout)


@contextmanager
def wish(run=None):
    """While this lasts signals are noted instead of ending the process (in the main thread)."""
    noted = Wish(run)
    main = threading.current_thread() is threading.main_thread()
    with on_signals(noted.note) if main else nullcontext():
        yield noted


class Watch:
    """Looks after each step whether to save, and whether to stop.

    `save` writes the checkpoint, on whichever rank that is. `minutes` is the time budget, None
    for none, counted from `began`.
    """

    def __init__(self, noted: Wish, save: Callable, began: float, minutes, device: torch.device):
        self.noted, self.save, self.began, self.device = noted, save, began, device
        self.minutes = minutes
        self.saved = time.monotonic()
        self.longest_s = {}  # seconds of the slowest step, scoring, save

    def look(self, step: int, next_is: str = "step") -> None:
        """Before a step, or before "scoring"; raises `Paused` once the state is saved."""
        seldom = distributed.count() > 1 and self.device.type == "cuda" and next_is == "step"
        if seldom and step % LOOK_EVERY:
            return
        now, ahead = time.monotonic(), LOOK_EVERY if seldom else 1
        soon_s = ahead * self.longest_s.get(next_is, 0.0) + self.longest_s.get("save", 0.0)
        out_of_time = self.minutes is not None and now - self.began + soon_s > 60 * self.minutes
        long_ago = now - self.saved > SAVE_EVERY_S
        # Ranks act together: the most urgent wish is everybody's.
        urgency = self.noted.signal or (0.5 if out_of_time else 0.25 if long_ago else 0)
        urgency = distributed.largest(urgency, self.device)
        if urgency:
            with self.timed("save"):
                self.save()
            self.saved = time.monotonic()
        if urgency >= 1:
            raise Paused(signal.Signals(int(urgency)).name, int(urgency))
        if urgency == 0.5:
            raise Paused(f"{OUT_OF_TIME} of {self.minutes:g} minutes")

    @contextmanager
    def timed(self, what: str):
        """Remember how long the slowest of its kind takes."""
        started = time.monotonic()
        yield
        self.longest_s[what] = max(self.longest_s.get(what, 0.0), time.monotonic() - started)
