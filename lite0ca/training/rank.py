"""What each rank of `launch.py` runs: `-m lite0ca.training.rank SETTINGS.json ANSWER.json PARENT`.

It ends with the process of that number, which started it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lite0ca.files.json_files import write_json
from lite0ca.machine import console
from lite0ca.machine.memory import nothing_collected
from lite0ca.machine.signals import end_with_parent
from lite0ca.machine.torchrun import first
from lite0ca.settings.config import Config


def answer_of(config: Config) -> dict:
    """What the training came to, or the error that a user can do something about."""
    with nothing_collected():
        from lite0ca.training.fit import OF_RESULT, fit
        from lite0ca.training.launch import ERRORS

    try:
        result = fit(config)
    except tuple(ERRORS.values()) as error:
        own = getattr(error, "own", False)
        return {"error": type(error).__name__, "message": str(error), "own": own}
    return {"run": str(result.run)} | {name: getattr(result, name) for name in OF_RESULT}


if __name__ == "__main__":
    console.prepare()
    end_with_parent(int(sys.argv[3]))
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    came_to = answer_of(Config(**given))
    if first() or came_to.get("own"):
        write_json(f"{sys.argv[2]}.{os.environ['RANK']}", came_to)
    if came_to.get("own"):
        sys.exit(2)  # the others wait for this rank: torchrun ends them
