"""What each rank of `launch.py` runs: `python -m lite0ca.ranked SETTINGS.json ANSWER.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lite0ca import ranks
from lite0ca.config import Config
from lite0ca.files import write_json
from lite0ca.launch import ERRORS
from lite0ca.train import fit


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
    if ranks.first() or came_to.get("own"):
        write_json(f"{sys.argv[2]}.{os.environ['RANK']}", came_to)
    if came_to.get("own"):
        sys.exit(2)  # the others wait for this rank: torchrun ends them
