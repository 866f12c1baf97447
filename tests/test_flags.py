"""The command line: every flag of the contract, groups, switches, and one-line refusals."""

import argparse
import subprocess
import sys

import pytest
from conftest import REPO

from lite0ca.__main__ import main, parse
from lite0ca.flags import add_flags, from_flags

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
    for command in ("sample", "train", "evaluate", "predict"):
        with pytest.raises(SystemExit) as stop:
            parse([command, "--help"], None)
        assert stop.value.code == 0
    assert main(["trian"]) == 2
    assert main([]) == 2
