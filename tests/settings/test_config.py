"""Settings: the contract's defaults and presets, precedence, and refusals that name the flag."""

import dataclasses
import json

import pytest

from lite0ca.errors import InputError
from lite0ca.settings.config import Config
from lite0ca.settings.presets import PRESETS
from lite0ca.settings.systems import SYSTEMS

# The guide's table, typed here a second time on purpose: a preset must not drift.
CONTRACT = {
    #             epochs batch size  base  head   wd  reduction dropout patience workers pin
    "basic": (15, 96, 224, 5e-5, 5e-4, 1e-2, 16, 0.2, 7, 4, False),
    "kaggle": (15, 128, 224, 5e-5, 5e-4, 1e-2, 16, 0.2, 7, 2, True),
    "gtx1660s": (15, 96, 224, 5e-5, 5e-4, 1e-2, 16, 0.2, 7, 4, True),
    "max-speed": (12, 144, 192, 1e-4, 1e-3, 5e-3, 8, 0.15, 5, 4, True),
    "quick-test": (3, 64, 224, 5e-5, 5e-4, 1e-2, 16, 0.2, 7, 2, False),
    "mobile": (15, 96, 192, 5e-5, 5e-4, 1e-2, 8, 0.15, 7, 4, False),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_presets_are_the_contracts(name):
    c = Config.of(name)
    got = (c.epochs, c.batch_size, c.image_size, c.base_lr, c.head_lr, c.weight_decay)
    got += (c.system.reduction, c.dropout, c.patience, c.num_workers, c.pin_memory)
    assert got == CONTRACT[name]
    assert c.pretrained and c.save_history
    limits = (1000, 300) if name == "quick-test" else (None, None)
    assert (c.train_limit, c.valid_limit) == limits


def test_no_other_presets_and_defaults_of_the_contract():
    assert set(PRESETS) == {*CONTRACT, "fast", "robust", "best", "sample"}  # four of our own
    c = Config()
    assert (c.pretrained, c.save_history, c.output_dir, c.seed) == (False, False, "results", 42)
    assert (c.device, c.model_name, c.plot) == ("auto", "EfficientNet_Lite0_CA", False)


def test_what_is_given_overrides_the_preset():
    assert Config.of("max-speed", dropout=0, epochs=2).dropout == 0
    assert Config.of("max-speed", epochs=2).epochs == 2
    assert Config.of(preset="mobile").image_size == 192


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"preset": "kagle"}, "did you mean 'kaggle'"),
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"epochs": "3"}, "--epochs takes int"),
        ({"epochs": True}, "--epochs takes int"),
        ({"pretrained": 1}, "--pretrained takes bool"),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"image_size": 200}, "--image-size must be a multiple of 32"),
        ({"image_size": 0}, "--image-size must be at least 32"),
        ({"base_lr": 0.0}, "--base-lr must be above 0"),
        ({"head_lr": float("nan")}, "--head-lr must be a finite number"),
        ({"dropout": 1.0}, "--dropout must be below 1"),
        ({"weight_decay": -0.1}, "--weight-decay must be at least 0"),
        ({"patience": -1}, "--patience must be at least 0"),
        ({"reduction": 0}, "--reduction must be at least 1"),
        ({"device": "gpu"}, "--device: 'gpu' is unknown"),
        ({"attention": "se"}, "--attention: 'se' is unknown"),
        ({"model_name": "ResNet18_ECA_"}, "did you mean 'ResNet18_ECA'"),
        ({"time_budget": 0.0}, "--time-budget must be above 0"),
        ({"epochs": None}, "--epochs needs a value"),
        ({"metadata": "a.csv", "data_dir": "b"}, "give one of them"),
    ],
)
def test_wrong_settings_name_the_flag(given, message):
    with pytest.raises(InputError, match=message):
        Config.of(**given)


def test_systems_rows_and_overrides():
    assert Config.of(model_name="EfficientNetV2_S_CA").system.reduction == 32
    assert Config.of(model_name="EfficientNetV2_S_CA", reduction=8).system.reduction == 8
    none = Config.of(attention="none").system
    assert (none.name, none.attention) == ("EfficientNet_Lite0_CA_attention-none", "none")
    controls = {s.backbone for s in SYSTEMS.values() if s.attention == "none"}
    assert controls == {s.backbone for s in SYSTEMS.values()}, "every backbone has its control"


def test_resuming_keeps_the_runs_settings(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(Config.of("mobile", epochs=3).as_dict()))
    again = Config.of_run(tmp_path, num_workers=0, data_dir="elsewhere")
    assert (again.epochs, again.image_size, again.resume) == (3, 192, str(tmp_path))
    assert (again.num_workers, again.data_dir, again.metadata) == (0, "elsewhere", None)
    with pytest.raises(InputError, match="--epochs cannot change with --resume"):
        Config.of_run(tmp_path, epochs=5)
    with pytest.raises(InputError, match=r"no config\.json there"):
        Config.of_run(tmp_path / "nothing")


def test_a_config_is_plain_data():
    config = Config.of("kaggle")
    assert Config.of(**json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3


def test_settings_of_earlier_versions_are_passed_over_where_they_are_stored():
    stored = Config.of("fast").as_dict() | {"head_epochs": 3, "attention": "ca-open"}
    assert Config.of_stored(stored) == Config.of("fast")
    # What is not stored has its default, not what the preset says by now: exported files keep no
    # size that training began with, which may be larger than their own.
    small = {"preset": "fast", "image_size": 64}
    assert Config.of_stored(small) == Config(**small)
    with pytest.raises(InputError, match="'head_epochs' is unknown"):
        Config.of("fast", head_epochs=3)
