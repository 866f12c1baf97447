"""What ends a process from outside: signals, and the death of the process that started it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from lite0ca.errors import Stopped

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
LOOK_AGAIN_S = 0.05
IMPATIENT_S = 3  # what comes sooner after the first signal belongs to it: a key held down
TOO_LONG_S = 10  # to end in, for a call into C++ that no handler can interrupt
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


class Ending:
    """How signals end a command: the first raises `Stopped` in it, once; nothing interrupts the
    cleaning up that follows.

    A command that is all of its process (`alone`) can still be left: a signal more than
    `IMPATIENT_S` after the first ends the process at once, as it ends by itself after `TOO_LONG_S`.
    """

    current: Ending | None = None  # of the command that runs in this process

    def __init__(self, alone: bool = False):
        self.alone, self.stderr = alone, 2
        self.restore = contextlib.ExitStack()
        self.speaks = True  # not of many ranks that all are stopped
        self.number = 0  # of the signal that ends the command
        self.armed = self.heard = False
        self.deferring = 0  # how many `on_signals` and `going_on` are on
        self.goes_on = ""  # how, for the message

    def begin(self) -> None:
        """Take the signals; what comes before `arm` is raised there. Main thread only."""
        self.process = os.getpid()
        self.restore.callback(setattr, Ending, "current", Ending.current)
        Ending.current = self
        hook = sys.unraisablehook
        self.restore.callback(setattr, sys, "unraisablehook", hook)
        # What was left half made, by a signal or an error, complains when it is taken down.
        sys.unraisablehook = lambda what: None if self.number else hook(what)
        if self.alone:
            with contextlib.suppress(OSError, RuntimeError):  # no descriptor, no thread to be had
                self.stderr = os.dup(2)  # which `console.quiet` does not silence
                wakeups, self.waker = socket.socketpair()
                self.waker.setblocking(False)
                signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
                threading.Thread(target=self.watch, args=[wakeups], daemon=True).start()
        if hasattr(signal, "SIGALRM"):
            self.restore.enter_context(handled((signal.SIGALRM,), self.look))
        self.restore.enter_context(handled(listened_to(), self.note))

    def note(self, number: int, frame) -> None:
        if os.getpid() == self.process and not self.number:
            self.number = number
            self.look(number, frame)

    def arm(self) -> None:
        self.armed = True
        if self.number:
            leave(self.number)

    def look(self, _number: int, frame) -> None:
        """Raise, but not in the middle of an import, and again where the first was swallowed."""
        if self.heard or os.getpid() != self.process:
            return
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN_S)
            if is_ending(sys.exception()):
                return
            if importing(frame):  # where C code would turn it into a page of other errors
                if self.alone and not self.deferring:
                    self.end_now(self.number)
                return
        if self.armed:
            leave(self.number)

    def hear(self) -> None:
        """The command has ended, by a signal or otherwise: nothing is raised any more."""
        self.heard, self.number = True, self.number or -1
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)  # it would end Python while that ends

    def watch(self, wakeups: socket.socket) -> None:
        """In a thread: end the process where the handlers cannot, or a person will not wait."""
        first_at, number, interrupts = None, 0, 0
        while True:
            left_s = None if first_at is None else first_at + TOO_LONG_S - time.monotonic()
            if not select.select([wakeups], [], [], left_s and max(0, left_s))[0]:
                self.end_now(number)
            (came,) = wakeups.recv(1)
            if came not in listened_to():
                continue
            number = came
            interrupts += number == signal.SIGINT
            if first_at is not None and time.monotonic() - first_at > IMPATIENT_S:
                self.end_now(number)
            # Long work that takes signals itself has its time, until it is asked again.
            if first_at is None and (not self.deferring or interrupts > 1):
                first_at = time.monotonic()

    def end_now(self, number: int) -> NoReturn:
        text = f"error: stopped by {signal.Signals(number).name}{self.goes_on}\n"
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            if self.speaks and not self.heard:
                os.write(self.stderr, text.encode())
        os._exit(128 + number)


def leave(number: int, more: str = "") -> NoReturn:
    """Raise `Stopped`; signals that come later do not interrupt the cleaning up."""
    if Ending.current:
        Ending.current.number = number
        more = more or Ending.current.goes_on
    raise Stopped(f"stopped by {signal.Signals(number).name}{more}", number)


def is_ending(error: BaseException | None) -> bool:
    """Whether `Stopped` is what is being handled, or something that came up meanwhile."""
    while error and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def importing(frame) -> bool:
    while frame and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def listened_to() -> list[int]:
    """The signals to handle: not SIGHUP under nohup, which ignores it."""
    hangup = getattr(signal, "SIGHUP", None)
    return [n for n in SIGNALS if n != hangup or signal.getsignal(n) != signal.SIG_IGN]


@contextlib.contextmanager
def handled(numbers, handler: Callable) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if earlier is not None:  # of a C library, which Python cannot put back
                signal.signal(number, earlier)


@contextlib.contextmanager
def on_signals(handler: Callable) -> Iterator[None]:
    """The signals call `handler(number, frame)` inside, until one ends the command.

    For long work that must not just end; main thread only. A child process that is forked
    meanwhile does not hear them.
    """
    process, ending = os.getpid(), Ending.current or Ending()

    def note(number: int, frame) -> None:
        if os.getpid() == process and not ending.number:
            handler(number, frame)

    ending.deferring += 1
    try:
        with handled(listened_to(), note):
            yield
    finally:
        ending.deferring -= 1


@contextlib.contextmanager
def going_on(how: str) -> Iterator[None]:
    """A signal inside ends the command with these words as well; cleaning up has its time."""
    ending = Ending.current or Ending()
    ending.deferring, ending.goes_on = ending.deferring + 1, f"; {how}"
    try:
        yield
    finally:
        ending.deferring, ending.goes_on = ending.deferring - 1, ""


def leave_signals_to_the_parent() -> None:
    """For a child process: a signal to the group is for the parent, who still needs the child."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    for number in listened_to():
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_parent(parent: int) -> None:
    """This process is killed when `parent`, which started it, is gone, however it went.

    Linux only. There the thread counts that started it, so it must live as long.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it went before that was said
        os._exit(1)


if hasattr(os, "register_at_fork"):
    # A child's signals would wake the thread of its parent.
    os.register_at_fork(after_in_child=lambda: Ending.current and signal.set_wakeup_fd(-1))
