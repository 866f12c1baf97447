"""A trained model, opened to be asked: a run, a checkpoint, or an exported file without torch."""

from __future__ import annotations

from pathlib import Path

from lite0ca.evaluation.together import Member
from lite0ca.formats.exported_file import (
    format_of,
    open_exported,
    refuse_mixed_precision,
    refuse_other_size,
)
from lite0ca.formats.run_files import best_of
from lite0ca.machine.processor import threads
from lite0ca.settings.trained import settings_of


def member_of(source: str, typed: dict) -> Member:
    """With the settings that were `typed` over its own. Raises `InputError`."""
    if Path(source).is_dir() or format_of(source) is None:
        best_of(source)  # before torch is imported
        return member_of_network(source, typed)
    refuse_mixed_precision(source, typed.get("amp"))
    exported = open_exported(source, threads(), typed.get("device", "auto"))
    refuse_other_size(exported, source, typed.get("image_size"))
    config = settings_of(exported.metadata, typed)
    return Member(source, exported.metadata, exported, config)


def member_of_network(source: str, typed: dict) -> Member:
    from lite0ca.evaluation.inference import Network, network_of
    from lite0ca.machine.device import Precision, device_of
    from lite0ca.machine.memory import keep_freed_memory

    metadata, network, config = network_of(source, typed)
    keep_freed_memory()
    asked = Network(network, Precision.for_answers(device_of(config.device), config.amp))
    return Member(source, metadata, asked, config)
