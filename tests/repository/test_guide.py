"""Every command of the guide, verbatim, through the real script."""

import json
import shlex

import pytest
from conftest import LITTLE, SLOW, TINY

from lite0ca.__main__ import main, parse
from lite0ca.settings.config import Config

# Copied from the guide; the `!` of notebook cells and `python` go.
COMMANDS = [
    """train_EfficientNet_Lite0_CA.py \
    --pretrained \
    --epochs 15 \
    --batch-size 96 \
    --save-history""",
    """train_EfficientNet_Lite0_CA.py \
    --pretrained \
    --epochs 15 \
    --batch-size 128 \
    --image-size 224 \
    --base-lr 5e-5 \
    --head-lr 5e-4 \
    --weight-decay 1e-2 \
    --reduction 16 \
    --dropout 0.2 \
    --patience 7 \
    --num-workers 2 \
    --pin-memory \
    --save-history""",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 15 --batch-size 128 --base-lr 5e-5 "
    "--head-lr 5e-4 --weight-decay 1e-2 --reduction 16 --dropout 0.2 --patience 7 "
    "--num-workers 2 --pin-memory --save-history",
    """train_EfficientNet_Lite0_CA.py \
    --pretrained \
    --epochs 15 \
    --batch-size 96 \
    --image-size 224 \
    --base-lr 5e-5 \
    --head-lr 5e-4 \
    --weight-decay 1e-2 \
    --reduction 16 \
    --dropout 0.2 \
    --patience 7 \
    --num-workers 4 \
    --pin-memory \
    --save-history""",
    """train_EfficientNet_Lite0_CA.py \
    --pretrained \
    --epochs 12 \
    --batch-size 144 \
    --image-size 192 \
    --base-lr 1e-4 \
    --head-lr 1e-3 \
    --weight-decay 5e-3 \
    --reduction 8 \
    --dropout 0.15 \
    --patience 5 \
    --num-workers 4 \
    --pin-memory \
    --save-history""",
    """train_EfficientNet_Lite0_CA.py \
    --pretrained \
    --epochs 3 \
    --batch-size 64 \
    --train-limit 1000 \
    --valid-limit 300 \
    --num-workers 2 \
    --save-history""",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 3 --batch-size 64 --train-limit 500",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 15 --batch-size 96 --save-history",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 12 --batch-size 144 --image-size 192 "
    "--save-history",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 15 --batch-size 96 --base-lr 5e-5 "
    "--head-lr 5e-4 --weight-decay 1e-2 --reduction 16 --dropout 0.2 --patience 7 "
    "--num-workers 4 --pin-memory --save-history",
    "train_EfficientNet_Lite0_CA.py --pretrained --epochs 15 --batch-size 96 --image-size 192 "
    "--reduction 8 --dropout 0.15 --save-history",
]
SAME_AS = {0: "basic", 1: "kaggle", 2: "kaggle", 3: "gtx1660s", 4: "max-speed", 5: "quick-test"}
SAME_AS |= {7: "basic", 9: "gtx1660s", 10: "mobile"}
AGAIN = {2, 7, 9}  # they say what an earlier one says
# Loose settings of its tips and troubleshooting.
FRAGMENTS = [
    "--base-lr 1e-4 --head-lr 1e-3",
    "--base-lr 1e-5 --head-lr 1e-4",
    "--batch-size 192",
    "--image-size 256",
    "--reduction 32",
    "--epochs 20",
    "--dropout 0.3 --weight-decay 2e-2",
]


def typed(command: str) -> dict:
    program, *arguments = shlex.split(command)
    return parse(["train", *arguments], program)[1]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_commands_mean_what_their_preset_means(number):
    config = Config.of(**typed(COMMANDS[number]))
    if number in SAME_AS:
        preset = Config.of(SAME_AS[number]).as_dict() | {"preset": None, "reduction": None}
        assert config.as_dict() | {"reduction": None} == preset
        assert config.system.reduction == Config.of(SAME_AS[number]).system.reduction


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_fragments_parse(fragment):
    settings = typed("train_EfficientNet_Lite0_CA.py " + fragment)
    assert Config.of(**settings) != Config()


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=SLOW if n in AGAIN else ()) for n in range(len(COMMANDS))]
)
def test_commands_run_end_to_end(number, sample, tmp_path, monkeypatch, capsys):
    """With data found without flags, at data/metadata.csv; limits come last, so they win.

    The first trains the real network, the others a little one, which has no pretrained weights.
    """
    (tmp_path / "data").symlink_to(sample.parent)
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(COMMANDS[number])
    if number > 0:
        arguments += ["--no-pretrained", "--backbone", LITTLE["backbone"]]
    assert main(["train", *arguments, *TINY], prog=program) == 0
    assert "data/metadata.csv (found without flags)" in capsys.readouterr().out
    (run,) = (tmp_path / "results").iterdir()
    files = {path.name for path in run.iterdir()}
    always = {"best_model.pt", "last.pt", "config.json", "environment.json", "data.csv"}
    with_history = {"history.json", "metrics.json", "training_plot.png", "report.html"}
    with_history |= {"MODEL_CARD.md"}
    scores = ("scores", "json"), ("confusion", "png"), ("reliability", "png")
    with_history |= {f"{kind}_data_test_drawn_sample.{suffix}" for kind, suffix in scores}
    assert files == always | (with_history if "--save-history" in arguments else set())
    if "--save-history" in arguments:
        metrics = json.loads((run / "metrics.json").read_text())
        contract = "valid_acc valid_loss train_acc train_loss best_epoch fps valid_f1 num_params "
        contract += "size_mb model_name ckpt_path fps_batch_size fps_device test_acc test_f1"
        assert set(contract.split()) <= set(metrics)
        little = f"_backbone-{LITTLE['backbone']}" if number > 0 else ""
        assert metrics["model_name"] == f"EfficientNet_Lite0_CA{little}"


def test_the_script_itself(script, sample, tmp_path):
    """As a user: a fresh process, the real file."""
    done = script("--pretrained", *TINY, "--metadata", sample, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "best: epoch 1" in done.stdout and done.stderr == ""
