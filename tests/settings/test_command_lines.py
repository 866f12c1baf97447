"""The commands that are printed mean what they say."""

import shlex

import pytest

from lite0ca.__main__ import parse
from lite0ca.settings.command_lines import COMMAND, SCRIPT, after, of_training, resuming
from lite0ca.settings.config import Config
from lite0ca.settings.flags import from_flags


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config.of("robust"),
        Config.of("fast", epochs=9, ema=True, pretrained=False, data_dir="my photos", amp=False),
        Config.of(dropout=0, weights="a'b.pth", save_history=True, time_budget=1.5),
    ],
)
def test_a_trainings_command_gives_its_settings(config):
    line = of_training(config)
    assert line.startswith(SCRIPT)
    words = shlex.split(line.removeprefix(SCRIPT))
    assert from_flags(parse(["train", *words], SCRIPT)[1]) == config


def test_data_below_this_folder_is_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.of("fast", data_dir=str(tmp_path / "photos"))
    assert of_training(config) == f"{SCRIPT} --preset fast --data-dir photos"
    away = Config.of("fast", data_dir=str(tmp_path.parent))
    assert of_training(away).endswith(f" .../{tmp_path.parent.name}"), "a page is sent to others"


def test_what_comes_next_can_be_typed():
    for line in after("results/my run"):
        words = shlex.split(line.removeprefix(COMMAND))
        typed = parse(words, None)[1]
        assert typed.get("run", typed.get("runs")) in ("results/my run", ["results/my run"])
    (line,) = resuming("results/my run")
    assert parse(shlex.split(line)[1:], None)[1]["resume"] == "results/my run"
