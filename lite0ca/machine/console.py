"""What a person sees, and does not: progress bars, and silence where libraries greet."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings


@contextlib.contextmanager
def quiet():
    """What this process prints meanwhile, C++ libraries included, goes nowhere."""
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
    """Whether somebody watches: a terminal, or a notebook that is not a batch run.

    TQDM_DISABLE=1, tqdm's own variable, says no: for notebooks that papermill runs.
    """
    if os.environ.get("TQDM_DISABLE"):
        return False
    batch = os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch"
    return (in_notebook() and not batch) or sys.stderr.isatty()


def in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # a notebook has imported it before anything else
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def bar(steps, title: str, total: int | None = None):
    """`steps`, with a tqdm bar where somebody watches."""
    with warnings.catch_warnings(action="ignore"):  # of a missing ipywidgets: plain bars will do
        from tqdm.auto import tqdm

    # A notebook paints what is written to stderr red, and a bar that is gone leaves a red stripe.
    file = sys.stdout if in_notebook() else sys.stderr
    return tqdm(steps, title, total, leave=False, file=file, disable=not shows_progress())
