"""What stops a command: a user's mistake (exit code 2), a diverged training (3), a form that
failed its check (4), a signal."""

import contextlib
import errno
import signal
import unicodedata


def printable(text: str) -> str:
    """A name of a stranger's as it can be printed: no control characters, no endless line."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= 2000 else f"{shown[:2000]}…"


def composed(name: str) -> str:
    """Letters as one code each (NFC): Macs write `ô` as two, and a zip keeps that."""
    return unicodedata.normalize("NFC", name)


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
        if isinstance(error, OSError) and (error.filename is not None or out_of_files(error)):
            raise
        if out_of_memory(error):  # of which nobody knows whose fault it is
            what = f"needs more memory than can be had, or {what}"
        raise InputError(f"{path}: {what} ({first_line(error)[:200]})") from None


# What the libraries say, small letters. Only torch has a class of its own, and only for cuda.
NO_MEMORY = (
    "out of memory",
    "t allocate memory",  # can't, cannot
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",  # ONNX Runtime
    "insufficient memory",  # OpenCV
    "could not create a primitive",  # oneDNN, which knows no other reason in a model that ran
    "could not create a memory",
    "failed to map segment",  # of a library that is loaded
    "status_alloc_failed",  # cuBLAS, cuDNN
    "unable to find an engine",  # torch, of cuDNN: each way failed, mostly for want of room to work
)


def out_of_memory(error: Exception) -> bool:
    """On cuda, mps or a CPU, in whichever library."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    return any(words in text for words in NO_MEMORY)


def out_of_files(error: Exception) -> bool:
    """Whether the limit of open files is met, said by the system or by torch."""
    number = getattr(error, "errno", None)
    return number in (errno.EMFILE, errno.ENFILE) or "too many open files" in str(error).lower()


def out_of_room(error: Exception) -> bool:
    """Whether a disk is full, or a quota or the limit of a file's size is met."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TrainingDiverged(RuntimeError):
    """The loss, the weights or the BatchNorm statistics stayed non-finite after all retries."""


def first_line(error: Exception) -> str:
    """What a library's error says, without the page behind it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class ExportFailed(RuntimeError):
    """An exported file could not be made or does not answer as its run does (exit code 4)."""


class Stopped(KeyboardInterrupt):
    """A signal came; the message says which, and of a training that is saved how to go on."""

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.exit_code = 128 + number
