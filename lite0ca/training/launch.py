"""Training on several devices from one process: `torchrun` as a child, its lines live.

A child, since a notebook that has touched cuda cannot fork. The ranks run `rank.py`; what they
came to comes back as one JSON file, written by rank 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from lite0ca.errors import InputError, Stopped, TrainingDiverged
from lite0ca.files.json_files import write_json
from lite0ca.files.scratch import scratch_folder
from lite0ca.machine.console import tell
from lite0ca.machine.signals import leave
from lite0ca.machine.torchrun import without_torchrun
from lite0ca.settings.config import Config
from lite0ca.training.stopping import wish

ERRORS = {error.__name__: error for error in (InputError, TrainingDiverged, Stopped)}
LAST_LINES = 3  # of what the ranks wrote to stderr, when they leave no answer


def trained_on_devices(config: Config) -> dict:
    """Train on `config.devices`; returns {"run", "metrics", "history", "scores"}.

    Raises what the ranks raised, and `InputError` if one of them died.
    """
    with scratch_folder() as folder:
        settings, answer, complaints = (Path(folder, name) for name in ("in", "out", "errors"))
        write_json(settings, config.as_dict())
        command = [sys.executable, "-m", "lite0ca.training.agent", str(os.getpid())]
        command += ["--standalone", "--nproc-per-node", str(config.devices)]
        command += ["--log-dir", str(folder), "-m", "lite0ca.training.rank"]
        environment = without_torchrun(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
        with (
            open(complaints, "w", encoding="utf-8") as stderr,
            wish() as noted,
            # A session of its own: the ranks learn of Ctrl-C from here, once.
            subprocess.Popen(
                [*command, str(settings), str(answer)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                errors="backslashreplace",
                start_new_session=True,
            ) as child,
            ended_at_once(child),
        ):
            noted.passed_to = child
            if noted.signal:  # it came before there was anybody to tell
                child.send_signal(noted.signal)
            for line in child.stdout:
                # The terminal may be gone, and the ranks must save all the same.
                tell(line[:-1], sys.stdout) if noted.signal else print(line, end="", flush=True)
                noted.run = line[5:].strip() if line.startswith("run: ") else noted.run
        answers = sorted(folder.glob(f"{answer.name}.*"))
        if not answers and noted.signal:
            leave(noted.signal, noted.goes_on())
        if not answers:
            lines = complaints.read_text(encoding="utf-8", errors="replace").splitlines()
            raise InputError(died(config, noted.run, lines))
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in answers]
        # A rank's own error is why the first one, if it answered at all, failed.
        content = next((one for one in contents if one.get("own")), contents[0])
    if "error" in content:
        message, number = content["message"], noted.signal or signal.SIGTERM
        error = ERRORS[content["error"]]
        raise error(message, number) if error is Stopped else error(message)
    return content


@contextlib.contextmanager
def ended_at_once(child: subprocess.Popen):
    """Where this is left by an exception, nobody waits for the child and its ranks."""
    try:
        yield
    except BaseException:
        child.kill()  # its ranks end with it
        raise


def died(config: Config, run: str | None, lines: list[str]) -> str:
    """What to say when the ranks are gone without an answer."""
    telling = [line for line in lines if "Error" in line or "exitcode" in line][-LAST_LINES:]
    goes_on = f"--resume {run} goes on" if run else "nothing is lost: it had not begun"
    why = "; ".join(line.strip() for line in telling) or "no reason given"
    return f"--devices {config.devices}: a process of this training died; {goes_on} ({why})"
