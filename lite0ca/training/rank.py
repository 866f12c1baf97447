"""What each rank of `launch.py` runs, as `-m lite0ca.training.rank SETTINGS.json ANSWER.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lite0ca.files import write_json
from lite0ca.machine import distributed
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit
from lite0ca.training.launch import ERRORS


def answer_of(config: Config) -> dict:
    """What the training came to, or the error that a user can do something about."""
    try:
        result = fit(config)
    except tuple(ERRORS.values()) as error:
        own = getattr(error, "own", False)
        return {"error": type(error).__name__, "message": str(error), "own": own}
    return {"run": str(result.run), "metrics": result.metrics, "history": result.history}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    came_to = answer_of(Config(**given))
    if distributed.first() or came_to.get("own"):
        write_json(f"{sys.argv[2]}.{os.environ['RANK']}", came_to)
    if came_to.get("own"):
        sys.exit(2)  # the others wait for this rank: torchrun ends them
