"""The command line: every flag of the contract, groups, switches, and one-line refusals."""

import argparse
import dataclasses
import shlex
import subprocess
import sys

import pytest
from conftest import REPO

from lite0ca.__main__ import main, parse
from lite0ca.settings.config import Config
from lite0ca.settings.fields import value_type
from lite0ca.settings.flags import add_flags, from_flags

CONTRACT = {
    "--pretrained",
    "--epochs",
    "--batch-size",
    "--image-size",
    "--base-lr",
    "--head-lr",
    "--weight-decay",
    "--reduction",
    "--dropout",
    "--patience",
    "--num-workers",
    "--pin-memory",
    "--train-limit",
    "--valid-limit",
    "--save-history",
    "--metadata",
    "--label2id",
    "--data-dir",
    "--output-dir",
    "--seed",
    "--device",
    "--model-name",
    "--plot",
    "--preset",
    "--amp",
    "--grad-clip",
    "--label-smoothing",
    "--class-weights",
    "--warmup-epochs",
    "--ema",
    "--backbone",
    "--attention",
    "--resume",
    "--time-budget",
    "--weights",
    "--skip-bad-images",
}


def parser():
    made = argparse.ArgumentParser()
    add_flags(made)
    return made


def test_every_flag_of_the_contract_and_no_for_each_switch():
    options = {option for action in parser()._actions for option in action.option_strings}
    assert options >= CONTRACT
    for switch in ("pretrained", "pin-memory", "save-history", "plot", "amp", "ema"):
        assert f"--no-{switch}" in options


def test_only_typed_flags_override_the_preset():
    typed = parser().parse_args(["--preset", "max-speed", "--dropout", "0", "--no-pin-memory"])
    config = from_flags(vars(typed))
    assert (config.dropout, config.pin_memory, config.epochs) == (0, False, 12)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epoch", "3"],  # no abbreviations: a misspelt flag must not pass for another
        ["--epochs", "three"],
        ["--preset", "basik"],
        ["--dropout", "2"],
        ["--device", "tpu"],
        ["stray"],
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, capsys):
    assert main(["train", *arguments], prog="train_EfficientNet_Lite0_CA.py") == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("error: ") and output.err.count("\n") == 1


def test_help_is_grouped_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv[1:] = ['--help']; import runpy\n"
        "try: runpy.run_path('train_EfficientNet_Lite0_CA.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'timm', 'cv2', 'PIL', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    for part in ("Data:", "Model:", "Training:", "Machine:", "What a run leaves:", "--no-amp"):
        assert part in shown


def test_commands_of_the_module():
    for typed in (["sample", "--help"], ["train", "--help"], ["predict", "--help"], []):
        with pytest.raises(SystemExit) as stop:
            parse(typed, None)
        assert stop.value.code == 0
    assert main(["trian"]) == 2


def beyond_its_limits(field) -> list[str]:
    """Texts that a setting cannot take: no number, out of its range, none of its choices."""
    limits, kind = field.metadata, value_type(field)
    if kind is bool:
        return []
    if kind is str:
        return ["", *(["x"] if limits["choices"] else [])]
    texts = ["x", "", "nan", "1e999", "0x10", "1,5", "-1e999"]
    texts += ["1.5", str(2**32), "9" * 400] if kind is int else []
    texts += [str(limits["low"] - 1)] if limits["low"] is not None else []
    texts += [str(limits["above"])] if limits["above"] is not None else []
    texts += [str(limits["below"])] if limits["below"] is not None else []
    return texts + ([str(limits["multiple"] * 3 + 1)] if limits["multiple"] else [])


@pytest.mark.parametrize("field", dataclasses.fields(Config), ids=lambda field: field.name)
def test_each_flag_refuses_what_is_beyond_its_limits(field, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "--" + field.name.replace("_", "-")
    for text in beyond_its_limits(field):
        assert main(["train", f"{name}={text}"]) == 2, text
        output = capsys.readouterr()
        assert output.err.startswith("error: ") and output.err.count("\n") == 1, output.err
        assert name in output.err and len(output.err) < 700
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "predict",
        "predict nowhere",
        "predict nowhere x.jpg",
        "predict nowhere x.jpg --top 0",
        "predict nowhere x.jpg --top many",
        "predict nowhere x.jpg --sure-from 2",
        "predict nowhere x.jpg --sure-from nan",
        "evaluate",
        "evaluate nowhere",
        "evaluate nowhere --split tests",
        "evaluate nowhere --background blue",
        "evaluate nowhere --batch-size 0",
        "adapt nowhere",
        "adapt nowhere x.jpg",
        "adapt nowhere x.jpg --image-size 96",
        "export nowhere",
        "export nowhere --format tflite2",
        "export nowhere --format ,",
        "export nowhere --opset x",
        "export nowhere --opset -1",
        "export nowhere --image-size 100",
        "bench --batch-size 0",
        "bench --rounds 0",
        "bench --rounds -1 --loader",
        "bench --seconds -1",
        "bench --seconds nan",
        "bench --forms nowhere",
        "bench NoSystem",
        "bench --image-size 100",
        "batch",
        "batch basik",
        "batch basic --set epochs",
        "batch basic --set epochs=x",
        "batch basic --set epoch=1",
        "batch basic --seeds x",
        "batch basic --seeds -1",
        "batch basic --notebook nowhere",
        "batch basic --metadata nowhere.csv",
        "shard",
        "shard out --shard-mb 0",
        "shard out --shard-mb nan",
        "shard out --data-dir nowhere",
        "sample --seed x",
        "sample --seed -1",
        "train --resume nowhere",
        "train --resume nowhere --epochs 3",
        "train --weights nowhere --data-dir nowhere",
        "train --metadata a --data-dir b",
        "train --start-size 256 --image-size 224",
        "train --attention bot --start-size 64",
        "train --preset Basic",
        "train --backbone ../../x --data-dir nowhere",
        "train --devices 0",
        "train --output-dir ''",
        "train --time-budget -1",
    ],
)
def test_each_command_refuses_nonsense(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ") and output.err.count("\n") == 1, output.err
    assert list(tmp_path.iterdir()) == []
