"""What a training that keeps no photo back takes from one that did: how far it can be trusted."""

from __future__ import annotations

import dataclasses

from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import load_best
from lite0ca.formats.ending import has_ended
from lite0ca.formats.run_files import ADAPTED, run_folder
from lite0ca.settings.config import Config
from lite0ca.settings.fields import flag

MEASURED = ("temperature", "sure_from")
# Settings in which the two may differ: what they are called and begin with, and how long they are.
FREE = {"preset", "model_name", "backbone", "attention", "reduction", "weights"}
FREE |= {"epochs", "patience", "keep", "seed", "calibration_run"}


def calibration_of(run: str, config: Config, label2id: dict[str, int]) -> dict[str, float]:
    """`temperature` and `sure_from` of a finished run, for one with these settings.

    Runs of one recipe agree in them (docs/log.md). Raises `InputError` for a run that kept no
    photo back itself, or was trained in another way.
    """
    of, kept = f"--calibration-run {run}", load_best(run)
    if kept["config"].get("all") or kept.get("sure_from") is None:
        raise InputError(f"{of}: it kept no photo back to measure that on; name a run that did")
    if (run_folder(run) / ADAPTED).is_file() or not has_ended(run_folder(run)):
        raise InputError(f"{of}: it is adapted, or not finished; name a finished training")
    if kept["label2id"] != label2id:
        raise InputError(f"{of}: knows other classes than this data has")
    if kept["system"] != dataclasses.asdict(config.system):
        raise InputError(f"{of}: is another network than {config.system.name} as it is set here")
    other = Config.of_stored(kept["config"])
    for name in Config.in_groups("model", "training"):
        ours, theirs = getattr(config, name), getattr(other, name)
        if name not in FREE and ours != theirs:
            raise InputError(
                f"{of}: was trained with {flag(name)} {theirs}, not {ours}, so its "
                "probabilities say nothing of these; name a run that was trained alike"
            )
    return {name: kept[name] for name in MEASURED}
