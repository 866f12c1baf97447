"""A notebook run by papermill, and stopped so that what it computes can be saved."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from lite0ca.errors import InputError
from lite0ca.files.scratch import own_temporary_folder
from lite0ca.files.whole_file import whole
from lite0ca.machine.signals import on_signals

GRACE = 25  # seconds to save in: Slurm and Kubernetes kill 30 s after their SIGTERM


def execute(source: Path, target: Path, parameters: dict) -> str | None:
    """Run the notebook; returns None, or what went wrong in one line.

    A signal interrupts the cell that runs, waits for it, runs no other one, and is then
    passed on to the handler of the caller. Raises `InputError` without papermill.
    """
    try:
        import papermill
    except ImportError:
        raise InputError("batch needs papermill: pip install 'lite0ca[notebooks]'") from None
    write_notebooks_whole()
    os.environ["TQDM_DISABLE"] = "1"  # bars would be stored in the notebook
    kernel, problem = Kernel(), None
    with own_temporary_folder(), on_signals(kernel.stop):
        try:
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters,
                kernel_name="python3",  # of this environment, whatever the notebook says
                language="python",
                progress_bar=False,
                stdout_file=sys.stdout,
                kernel_manager_class=manager_of(kernel),
                on_cell_start=kernel.before_cell,
            )
        except papermill.PapermillExecutionError as error:
            problem = f"{error.ename}: {error.evalue}".splitlines()[0]
        except KeyboardInterrupt:
            pass  # from `kernel`
        except Exception as error:  # a kernel that died or never came: the others still run
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
        finally:
            logging.disable(logging.NOTSET)
    if kernel.stopped_by:
        signal.raise_signal(kernel.stopped_by)
    return problem


@functools.cache
def write_notebooks_whole() -> None:
    """papermill saves after every cell, in place: a kill would leave half a notebook."""
    from papermill.iorw import LocalHandler, papermill_io

    class Whole(LocalHandler):
        def write(self, buf, path):
            with whole(path) as file:
                file.write(buf)

    papermill_io.register("/", Whole())  # absolute paths, as ours are


def manager_of(kernel: Kernel) -> type:
    """Jupyter's class that starts and ends kernels, known to `kernel` once papermill has one."""
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        def __init__(self, **options):
            super().__init__(**options)
            kernel.manager = self

        async def start_kernel(self, extra_arguments=(), **options):
            # It warns on stderr that who can listen on this machine's own wire hears it.
            quietly = [*extra_arguments, "--log-level=ERROR"]
            with sigint_unblocked():
                await super().start_kernel(extra_arguments=quietly, **options)

        async def shutdown_kernel(self, now=False, restart=False):
            # Saved is saved: loader processes that are ended one by one leave a traceback.
            await super().shutdown_kernel(now or kernel.stopped_by is not None, restart)

    return Manager


@contextlib.contextmanager
def sigint_unblocked():
    """Ray's workers block SIGINT, and a kernel that they start would inherit that."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Kernel:
    """What a signal does to the kernel of a notebook: it is asked first, and killed later."""

    def __init__(self):
        self.manager, self.stopped_by, self.in_cell = None, None, False
        self.signals = 0

    def before_cell(self, **_):
        """papermill is about to run a cell."""
        if self.stopped_by:
            raise KeyboardInterrupt
        self.in_cell = True

    def stop(self, number: int, _frame) -> None:
        """A handler of signals: only the first one waits for the cell, the third for nothing."""
        self.signals += 1
        if self.signals == 2 and self.in_cell:  # before, `before_cell` will: nobody else knows
            raise KeyboardInterrupt  # yet of the kernel that starts, to end it
        if self.signals > 2:
            self.send(signal.SIGKILL)
        if self.stopped_by:
            return
        self.stopped_by = number
        logging.disable()  # that a kernel died is no news then
        if self.in_cell:  # while it starts, SIGINT would end it with a traceback
            self.send(signal.SIGINT)
        late = threading.Timer(GRACE, self.send, [signal.SIGKILL])
        late.daemon = True
        late.start()

    def send(self, number: int) -> None:
        """The signal to the kernel and what it started, as Jupyter's stop button does it."""
        if self.manager is not None and self.manager.has_kernel:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.manager.provisioner.pid, number)  # it leads a session of its own
