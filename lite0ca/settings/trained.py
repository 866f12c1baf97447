"""The settings of a model that is taken up again."""

from __future__ import annotations

from lite0ca.settings.config import Config

WHERE = ("metadata", "data_dir", "label2id")  # settings that say where the data lies


def settings_of(metadata: dict, typed: dict) -> Config:
    """The settings that a run was trained with, and what was typed for this command over them."""
    # What only training uses may not fit what is typed now: --start-size, a smaller --image-size.
    settings = dict(metadata["config"]) | {"resume": None, "weights": None, "start_size": None}
    if typed.get("metadata") or typed.get("data_dir"):
        settings |= dict.fromkeys(WHERE)
    # Its machine may not be this one.
    settings |= {"device": "auto", "amp": None, "num_workers": Config.num_workers}
    return Config.of_stored(settings, **typed)
