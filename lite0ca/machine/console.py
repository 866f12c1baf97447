"""What a person sees, and does not: progress bars, and silence where libraries greet."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings


def prepare() -> None:
    """Make stdout and stderr take whatever is printed, also where nobody opened them.

    To be called before anything opens a file: it would get the number of a closed stream, and
    what a C++ library complains of would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:  # as services and pythonw start a program
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # a notebook's, a closed one
            stream.reconfigure(errors="backslashreplace")


def tell(text: str, stream) -> None:
    """Print what must not fail: nobody may be there to read it any more."""
    try:
        print(text, file=stream, flush=True)
    except RuntimeError:  # a signal came within a print
        pass
    except (OSError, ValueError):
        forsake(stream)


def settle() -> None:
    """What waits to be printed comes out, or is given up, so that Python ends without a word."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            forsake(stream)


def forsake(stream) -> None:
    """What is written to the stream from now on, and what waits in it, goes nowhere."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def quiet():
    """What this process prints meanwhile, C++ libraries included, goes nowhere."""
    import tempfile  # not where a command's parser is made

    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with tempfile.TemporaryFile() as nowhere:
            for number in (1, 2):
                os.dup2(nowhere.fileno(), number)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)


def shows_progress() -> bool:
    """Whether somebody watches: a terminal, or a notebook that a person runs.

    TQDM_DISABLE=1, tqdm's own variable, says no.
    """
    if os.environ.get("TQDM_DISABLE"):
        return False
    if in_notebook():
        return can_be_asked() and os.environ.get("KAGGLE_KERNEL_RUN_TYPE") != "Batch"
    return sys.stderr.isatty()


def can_be_asked() -> bool:
    """Whether a person could answer a question of the cell that runs.

    Each request to run a cell says so: JupyterLab, VS Code and Colab have somebody who reads,
    papermill, nbconvert and nbval do not, and would store every step of a bar.
    """
    try:
        request = sys.modules["IPython"].get_ipython().kernel.get_parent("shell")
    except (LookupError, AttributeError, TypeError):  # no cell's thread; a kernel of another kind
        return False
    return bool(request.get("content", {}).get("allow_stdin"))


def in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has imported it before anything else
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def bar(steps, title: str, total: int | None = None):
    """`steps`, with a tqdm bar where somebody watches; `total` for steps that have no length."""
    with warnings.catch_warnings(action="ignore"):  # of a missing ipywidgets: plain bars will do
        from tqdm.auto import tqdm

    # A notebook paints what is written to stderr red, and a bar that is gone leaves a red stripe.
    file = sys.stdout if in_notebook() else sys.stderr
    return tqdm(steps, title, total, leave=False, file=file, disable=not shows_progress())
