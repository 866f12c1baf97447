"""What stops a command: a user's mistake (exit code 2), a diverged training (3), a form that
failed its check (4), a signal."""

import contextlib
import signal


def printable(text: str) -> str:
    """A name of a stranger's as it can be printed: no control characters, no endless line."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= 2000 else f"{shown[:2000]}…"


class InputError(ValueError):
    """Something that was given is wrong; the message says what, where, and what to do."""

    own = False  # of this process alone: other ranks of a training do not meet it

    def __init__(self, message: str):
        # A loader process sends its error with a traceback as text around it.
        if message.startswith("Caught InputError in"):
            message = message.strip().splitlines()[-1].partition("InputError: ")[2]
            self.own = True
        super().__init__(printable(message))


@contextlib.contextmanager
def opening(path, what: str):
    """Around all that reads a stranger's file: whatever goes wrong is one line, `PATH: WHAT (why)`.

    Raises `InputError`; what the system says of the file itself (`OSError` with its name: not
    there, not ours to read) and errors of our own pass.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each library has errors of its own, a hostile file finds more
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise InputError(f"{path}: {what} ({first_line(error)[:200]})") from None


def out_of_memory(error: Exception) -> bool:
    """On cuda, mps or a CPU; torch has a class of its own for the first alone."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


class TrainingDiverged(RuntimeError):
    """The loss, the weights or the BatchNorm statistics stayed non-finite after all retries."""


def first_line(error: Exception) -> str:
    """What a library's error says, without the page behind it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class ExportFailed(RuntimeError):
    """An exported file could not be made or does not answer as its run does (exit code 4)."""


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came, and what was running is saved; the message says how to go on."""

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.exit_code = 128 + number
