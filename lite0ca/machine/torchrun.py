"""Whether `torchrun` started this process, by what it says in the environment. Without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping

TEXTS = ("MASTER_ADDR", "TORCHELASTIC_RUN_ID")
NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")


def started() -> bool:
    """Whether this is one of the processes of a training that `torchrun` started.

    All that it sets must be there and fit together: what is left over from elsewhere says nothing.
    """
    if not all(map(os.environ.get, TEXTS)):
        return False
    try:
        rank, ranks, here, ranks_here, port = (int(os.environ[name]) for name in NUMBERS)
    except (KeyError, ValueError):
        return False
    return 0 <= rank < ranks and 0 <= here < ranks_here <= ranks and 0 < port < 2**16


def first() -> bool:
    """Whether this process writes the files and speaks; known before the ranks have met."""
    return not started() or int(os.environ["RANK"]) == 0


def on_this_machine() -> int:
    """How many ranks share its devices."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if started() else 1


def without_torchrun(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what another `torchrun` set in it, or what a new one would obey."""
    left_over = ("TORCHELASTIC_", "PET_")
    return {name: text for name, text in environment.items() if not name.startswith(left_over)}
