"""A process that waits for the end of this one, and removes what it left."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from lite0ca.files.scraps import SCRAP

DEEPEST = 50  # folders that a guardian takes away at most, when they are empty
# Waits for the end of the process that started it, whatever ends that one, SIGKILL too; a line
# says that there is nothing to remove. In the background, so that it belongs to no process group.
GUARDIAN = f"""exec 3<&0
{{
    trap '' HUP INT QUIT TERM
    read -r line <&3 && exit
    case ${{1##*/}} in .*{SCRAP}) rm -rf -- "$1" ;; esac
    shift
    test $# -eq 0 || rmdir -- "$@"
}} &"""
PIPES = set()  # to guardians; a loader process that outlives its parent must not hold one open

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: [pipe.close() for pipe in PIPES])


@contextlib.contextmanager
def guarded(scratch: Path, absent: list[Path]):
    """While this lasts, the end of this process removes `scratch`, and `absent` that are empty."""
    pipe = guardian_of(scratch, [place.absolute() for place in absent[:DEEPEST]])
    try:
        yield
    finally:
        if pipe:
            dismiss(pipe, scratch)


def dismiss(pipe, scratch: Path) -> None:
    """Let a guardian go: with nothing left to do, or else to do it."""
    PIPES.discard(pipe)
    with pipe, contextlib.suppress(OSError):
        if not os.path.lexists(scratch):
            pipe.write(b"\n")


def guardian_of(scratch: Path, absent: list[Path]):
    """What a guardian reads; None if no process can be had: then the next writer cleans up."""
    try:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "guardian", scratch, *absent],
            stdin=subprocess.PIPE,
            bufsize=0,  # a buffer of Python's would be flushed into a closed pipe
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError:  # also Windows, which has no such shell
        return None
    shell.wait()  # what it left behind waits for us
    PIPES.add(shell.stdin)
    return shell.stdin
