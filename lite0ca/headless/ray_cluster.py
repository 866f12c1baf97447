"""Jobs as tasks of a Ray cluster, one core or one GPU each."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator

from lite0ca.errors import InputError
from lite0ca.headless.execution import GRACE

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run(
    function: Callable, calls: list[tuple], address: str, gpu: bool
) -> Iterator[tuple[int, object]]:
    """Call the function once for each tuple of arguments; yields (number of the call, outcome).

    They come as they end. The outcome is what the function returned, or the exception that
    ended it. Where the cluster has GPUs and `gpu` is wanted, each call has one, else one core.
    When this is left early, calls that run get a KeyboardInterrupt and time to save. Raises
    `InputError` at once if ray or the cluster is not there.
    """
    return outcomes(connect(address), function, calls, gpu)


def outcomes(ray, function: Callable, calls: list[tuple], gpu: bool):
    """What `run` yields, from a cluster that is connected; it is left at the end."""
    calls_of = {}
    try:
        gpus = int(gpu and "GPU" in ray.cluster_resources())
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(in_worker)
        for number, arguments in enumerate(calls):
            calls_of[task.remote(function, arguments, os.getcwd())] = number
        while calls_of:
            (ended,), _ = ray.wait(list(calls_of), num_returns=1)
            yield calls_of.pop(ended), outcome(ray, ended)
    finally:
        for running in calls_of:
            ray.cancel(running)
        if calls_of:
            ray.wait(list(calls_of), num_returns=len(calls_of), timeout=GRACE + 10)
        ray.shutdown()


def connect(address: str):
    """The module ray, connected. Raises `InputError`."""
    if address not in ("auto", "local"):
        refuse_unreachable(address)
    if address != "local":
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # of 40 s; ray tries 20 times
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it reports to its makers
    try:
        import ray
    except ImportError:
        raise InputError("batch --ray needs ray: pip install 'lite0ca[ray]'") from None
    handler = signal.getsignal(signal.SIGTERM)
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        with no_stderr():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # ray has no one class for "there is no cluster"
        reason = str(error).strip().splitlines()[0]
        if "AuthToken" in str(error.__cause__):
            reason = "the cluster wants its token: set RAY_AUTH_MODE=token (ray's documentation)"
        raise InputError(f"--ray {address}: {reason}") from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # ray puts one of its own in its place
    return ray


@contextlib.contextmanager
def no_stderr():
    """What ray's C++ side says of each attempt to connect does not come out."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def refuse_unreachable(address: str) -> None:
    """Raise `InputError` at once where nothing listens."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray {address}: takes auto, local or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--ray {address}: no cluster answers there ({reason})") from None


def in_worker(function: Callable, arguments: tuple, folder: str):
    """One call in its worker process: in the command's folder, on the one core it was given."""
    os.chdir(folder)
    os.environ.update(dict.fromkeys(THREADS, "1"))
    return function(*arguments)


def outcome(ray, ended) -> object:
    """What a call returned, or the exception that ended it."""
    try:
        return ray.get(ended)
    except Exception as error:
        return getattr(error, "cause", None) or error  # the cause carries no remote traceback
