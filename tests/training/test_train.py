"""`fit`: seeds, resuming, going back after NaN, stopping; every system through the same loop."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import LITTLE, REPO, SLOW, assert_equal, outcome

from lite0ca.__main__ import main
from lite0ca.data.dataset import DataSet
from lite0ca.errors import InputError, TrainingDiverged
from lite0ca.formats.checkpoint import load_best, load_checkpoint, save_checkpoint
from lite0ca.machine.device import Precision
from lite0ca.model.network import LeafClassifier
from lite0ca.settings.config import Config
from lite0ca.settings.systems import SYSTEMS
from lite0ca.training import epoch as epoch_module
from lite0ca.training import fit as fit_module
from lite0ca.training import warm_up
from lite0ca.training.epoch import one_epoch, rate_factor, train_step
from lite0ca.training.fit import class_weights, fit
from lite0ca.training.state import State, parameter_groups

SMALL = {"epochs": 3, "train_limit": 16, "valid_limit": 8, "image_size": 64, "batch_size": 8}
SMALL |= {"num_workers": 0, "save_history": True, "patience": 0, "device": "cpu"} | LITTLE


def settings(sample, tmp_path, **changes):
    return Config.of(**{"metadata": str(sample), "output_dir": str(tmp_path), **SMALL, **changes})


def test_equal_seeds_give_equal_runs(sample, tmp_path, monkeypatch):
    one = fit(settings(sample, tmp_path, epochs=2)).run
    # As on cuda, where a copy of the network takes a step and answers before the first epoch.
    monkeypatch.setattr(fit_module, "warm_up", warm_up.rehearse)
    two = fit(settings(sample, tmp_path, epochs=2)).run
    assert one != two, "two runs in one minute do not overwrite each other"
    assert_equal(one, two)
    other = fit(settings(sample, tmp_path, epochs=2, seed=7)).run
    assert outcome(other)[0] != outcome(one)[0]


def test_killed_and_resumed_equals_uninterrupted(sample, tmp_path, capsys):
    """kill -9 of a process in the second epoch; ema and loader processes included."""
    # With its own backbone, of which an epoch takes long enough to be hit in.
    others = ("save_history", "num_workers", *LITTLE)
    flags = {k: v for k, v in SMALL.items() if k not in others}
    flags |= {"metadata": sample, "num_workers": 1}
    typed = [f"--{k.replace('_', '-')}={v}" for k, v in flags.items()]
    typed += ["--save-history", "--ema"]
    command = [sys.executable, str(REPO / "train_EfficientNet_Lite0_CA.py"), *typed]
    command += [f"--output-dir={tmp_path}/killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        for line in killed.stdout:
            if line.startswith("epoch 1/3"):
                break
        time.sleep(0.3)
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    (run,) = (tmp_path / "killed").iterdir()
    assert main(["train", "--resume", str(run)]) == 0
    resumed = capsys.readouterr().out
    assert "epoch 3/3" in resumed and "epoch 1/3" not in resumed
    assert main(["train", *typed, f"--output-dir={tmp_path}/whole"]) == 0
    (whole,) = (tmp_path / "whole").iterdir()
    assert_equal(run, whole)


def test_resuming_a_finished_run_and_wrong_folders(tiny_run, tmp_path, capsys):
    before = (tiny_run / "best_model.pt").read_bytes()
    assert main(["train", "--resume", str(tiny_run)]) == 0
    assert "stopped: all epochs done" in capsys.readouterr().out
    assert (tiny_run / "best_model.pt").read_bytes() == before
    for arguments in (
        ["--resume", str(tmp_path / "none")],
        ["--resume", str(tiny_run / "best_model.pt")],
        ["--resume", str(tiny_run), "--epochs", "9"],
    ):
        assert main(["train", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


LOCK = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); "
LOCK += "fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print('held', flush=True); input()"


def test_two_processes_do_not_train_in_one_folder(tiny_run, sample, tmp_path, capsys, monkeypatch):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    command = [sys.executable, "-c", LOCK, str(run / "data.csv")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        assert main(["train", "--resume", str(run)]) == 2
        assert "another process is training in it" in capsys.readouterr().err
        other.communicate("\n")
    assert main(["train", "--resume", str(run)]) == 0

    def while_it_trains(*_):
        (begun,) = (tmp_path / "new").iterdir()
        tried = subprocess.run([*command[:-1], str(begun / "data.csv")], capture_output=True)
        assert b"BlockingIOError" in tried.stderr
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_module, "one_epoch", while_it_trains)
    with pytest.raises(KeyboardInterrupt):
        fit(settings(sample, tmp_path / "new", epochs=1))


def test_resuming_with_changed_data_is_refused(sample, tmp_path, capsys):
    run = fit(settings(sample, tmp_path, epochs=1)).run
    table = (run / "data.csv").read_text()
    (tmp_path / "other.csv").write_text(table.replace("brown_spot,train", "healthy,train", 1))
    for path in {line.split(",")[0] for line in table.splitlines()[1:]}:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        if not (tmp_path / path).exists():
            (tmp_path / path).symlink_to(sample.parent / path)
    arguments = ["train", "--resume", str(run), "--metadata", str(tmp_path / "other.csv")]
    assert main(arguments) == 2
    assert "the data is not what the run began with" in capsys.readouterr().err


def test_a_diverging_run_goes_back_and_then_stops_with_3(sample, tmp_path, capsys):
    """Rate x decay = 8e9: the weights leave float32 within an epoch, at any halving."""
    numbers = {k: v for k, v in SMALL.items() if not isinstance(v, bool)}  # 0 is one
    arguments = [f"--{k.replace('_', '-')}={v}" for k, v in numbers.items()]
    arguments += ["--metadata", str(sample), "--output-dir", str(tmp_path), "--head-lr", "9e5"]
    arguments += ["--base-lr", "9e5", "--weight-decay", "9e3", "--save-history"]
    assert main(["train", *arguments]) == 3
    output = capsys.readouterr()
    assert output.out.count("with the learning rates x") == 3
    assert "x 0.125 (3 of 3)" in output.out
    assert output.err.startswith("error: ") and output.err.count("\n") == 1
    (run,) = tmp_path.iterdir()
    last = load_checkpoint(run / "last.pt", needs=State.KEYS)
    assert last["epoch"] < 3, "a run that diverged is not reported done"
    assert all(value.isfinite().all() for value in last["model"].values())


@pytest.mark.parametrize("amp", [False, pytest.param(True, marks=SLOW)])
@pytest.mark.parametrize("where", ["input", "gradient", "loss", "weight", "batch norm"])
def test_nan_once_is_recovered(sample, tmp_path, monkeypatch, where, amp, capsys):
    """NaN in the second epoch: back to the first, half the rate, and on to the end."""
    real, calls = train_step, []
    normalize = LeafClassifier.normalize

    def poisoned(self, images):
        now = calls.count(1) == 1 and self.training and where == "input"
        return normalize(self, images) * (math.nan if now else 1)

    def poison(grad):
        return grad * (math.nan if calls.count(1) == 1 and where == "gradient" else 1)

    def faulty(state, *arguments):
        if not calls:
            state.model.get_classifier().weight.register_hook(poison)
        calls.append(state.epoch)
        loss, right = real(state, *arguments)
        if calls.count(1) == 1 and state.epoch == 1:
            if where == "loss":
                loss = loss * math.nan
            elif where == "weight":
                state.model.get_classifier().weight.data[0, 0] = math.inf
            elif where == "batch norm":
                state.model.backbone.bn1.running_var[0] = math.nan
        return loss, right

    monkeypatch.setattr(epoch_module, "train_step", faulty)
    monkeypatch.setattr(LeafClassifier, "normalize", poisoned)
    # The test below writes and draws the history of such a run.
    result = fit(settings(sample, tmp_path, amp=amp, save_history=False))
    assert "back to epoch 1 with the learning rates x 0.5 (1 of 3)" in capsys.readouterr().out
    assert result.metrics["epochs"] == 3 and result.metrics["restarts_after_nan"] == 1
    assert all(math.isfinite(x) for values in result.history.values() for x in values)
    rates = result.history["base_lr"]
    assert rates[1] < 0.5 * SMALL.get("base_lr", 5e-5), "the second epoch ran at half the rate"
    state = torch.load(result.run / "last.pt", weights_only=True)["model"]
    assert all(value.isfinite().all() for value in state.values())


def test_the_guides_lost_run_is_caught_in_its_first_epoch(sample, tmp_path, monkeypatch, capsys):
    """The guide's first run had NaN in all 8 epochs: most likely float16 that overflowed.

    The scaler skips such a step; BatchNorm's statistics keep what they saw, and every later score
    is NaN. Here the stem overflows in one step, in float16 on a CPU.
    """
    overflows = []

    def too_large(module, inputs, output):
        if module.training and not overflows:
            overflows.append(output.dtype)
            output = output * 60_000  # float16 ends at 65,504
        return output

    real = one_epoch

    def epoch(state, *arguments):
        if not overflows:
            state.model.backbone.conv_stem.register_forward_hook(too_large)
        return real(state, *arguments)

    monkeypatch.setattr(Precision, "dtype", torch.float16)
    monkeypatch.setattr("lite0ca.training.fit.one_epoch", epoch)
    result = fit(settings(sample, tmp_path, epochs=2, amp=True))
    assert overflows == [torch.float16]
    output = capsys.readouterr().out
    assert "epoch 1: back to epoch 0 with the learning rates x 0.5 (1 of 3)" in output
    assert result.metrics["epochs"] == 2 and result.metrics["restarts_after_nan"] == 1
    assert all(math.isfinite(x) for values in result.history.values() for x in values)


def test_a_save_within_an_epoch_never_keeps_nan(sample, tmp_path, monkeypatch):
    """NaN in step 1, a wish to save in step 2: the file of before stays, and the run goes back."""
    from lite0ca.training import stopping

    real, broken = train_step, []

    def faulty(state, *arguments):
        loss, right = real(state, *arguments)
        if state.epoch == 1 and not broken:
            broken.append(state.step)
            loss = loss * math.nan
            state.model.get_classifier().weight.data[0, 0] = math.nan
        return loss, right

    monkeypatch.setattr(epoch_module, "train_step", faulty)
    monkeypatch.setattr(stopping, "SAVE_EVERY_S", 0.0)
    result = fit(settings(sample, tmp_path))
    assert broken == [0] and result.metrics["restarts_after_nan"] == 1
    assert result.metrics["epochs"] == 3


def test_divergence_is_an_error_of_its_own(sample, tmp_path, monkeypatch):
    nan = lambda *_: (torch.tensor(math.nan), torch.tensor(0.0))  # noqa: E731
    monkeypatch.setattr(epoch_module, "train_step", nan)
    with pytest.raises(TrainingDiverged, match="after going back 3 times"):
        fit(settings(sample, tmp_path))


def test_early_stopping(sample, tmp_path, monkeypatch, capsys):
    from lite0ca.training import fit as fit_module

    flat = {"valid_loss": 1.0, "valid_acc": 0.5, "valid_f1": 0.5}
    monkeypatch.setattr(fit_module, "scored", lambda *_: dict(flat))
    result = fit(settings(sample, tmp_path / "best", epochs=9, patience=2))
    assert (result.metrics["best_epoch"], result.metrics["epochs"]) == (1, 3)
    assert "no better macro-F1 for 2 epochs" in capsys.readouterr().out
    result = fit(settings(sample, tmp_path / "last", epochs=4, patience=2, keep="last"))
    assert (result.metrics["best_epoch"], result.metrics["epochs"]) == (4, 4)
    assert load_best(result.run)["epoch"] == 4


def test_the_best_epoch_is_by_f1_then_loss():
    state = State(None, None, None, None)
    row = lambda f1, loss: {"valid_f1": f1, "valid_loss": loss}  # noqa: E731
    better = [state.remember(row(*r)) for r in ((0.5, 1), (0.4, 0.1), (0.5, 0.9), (0.5, 0.9))]
    assert better == [True, False, True, False] and state.best_epoch == 3


def test_learning_rates():
    config = Config.of(epochs=10, warmup_epochs=2.0)
    factors = [rate_factor(step, 5, config) for step in range(50)]
    assert factors[0] == pytest.approx(1 / 11) and factors[10] == 1
    assert factors[:10] == sorted(factors[:10]) and factors[10:] == sorted(factors[10:])[::-1]
    assert factors[30] == pytest.approx(0.5) and 0 < factors[49] < 0.01
    short = Config.of(epochs=1, warmup_epochs=5.0)
    assert max(rate_factor(step, 10, short) for step in range(10)) == 1


def test_parameter_groups():
    config = Config()
    state = State.new(config, 4, Precision.of(torch.device("cpu"), None))
    names = {id(p): name for name, p in state.model.named_parameters()}
    seen = {}
    for group in parameter_groups(state.model, config):
        for parameter in group["params"]:
            seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert set(seen) == set(names.values()), "every parameter in one group"
    assert seen["backbone.conv_stem.weight"] == (5e-5, 1e-2)
    assert seen["backbone.bn1.weight"] == (5e-5, 0.0)
    assert seen["attention.conv1.weight"] == (5e-4, 1e-2)
    assert seen["attention.conv1.bias"] == seen["attention.bn1.weight"] == (5e-4, 0.0)
    assert seen["backbone.classifier.weight"] == (5e-4, 1e-2)
    assert seen["backbone.classifier.bias"] == (5e-4, 0.0)


# One of each attention; `make trust` takes all.
SOME = ("EfficientNet_Lite0_CA", "MobileNetV3_Small_Hybrid", "ResNet18_ECA")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME else SLOW) for name in SYSTEMS]
)
def test_every_system_trains_resumes_evaluates_and_predicts(name, sample, tmp_path, capsys):
    small = {"epochs": 2, "train_limit": 4, "valid_limit": 4, "batch_size": 4}
    config = settings(sample, tmp_path, model_name=name, backbone=None, **small)
    config = replace(config, time_budget=1e-9)
    run = fit(config).run
    assert run.name.startswith(f"{name}_")
    assert fit(Config.of_run(run, time_budget=60.0)).metrics["epochs"] == 2
    photo = str(sample.parent / "healthy/sample_000_0.jpg")
    assert main(["evaluate", str(run), "--split", "valid", "--num-workers", "0"]) == 0
    assert main(["predict", str(run), photo]) == 0
    assert "healthy/sample_000_0.jpg  " in capsys.readouterr().out


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_takes_a_step_and_goes_on_from_its_file(name, tmp_path):
    """Two steps, or one that is stored, taken up by another network, and one more."""
    config = Config.of(model_name=name, image_size=64, dropout=0.0)
    precision = Precision.of(torch.device("cpu"), None)
    photos = torch.randint(256, (2, 64, 64, 3), dtype=torch.uint8)
    step = lambda state: train_step(state, photos, torch.tensor([0, 2]), config, precision, None)  # noqa: E731
    state, other = (State.new(config, 4, precision) for _ in range(2))
    weights = [state.model.get_classifier().weight, next(state.model.parameters())]
    before = [weight.clone() for weight in weights]
    assert step(state)[0].isfinite()
    assert not any(torch.equal(old, new) for old, new in zip(before, weights))
    save_checkpoint(tmp_path / "last.pt", state.as_dict())
    other.restore(load_checkpoint(tmp_path / "last.pt", needs=State.KEYS))
    assert torch.equal(step(state)[0], step(other)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"class_weights": True, "label_smoothing": 0.1, "grad_clip": 0.0},
        {"ema": True, "warmup_epochs": 0.0},
        {"amp": True},
        {"start_size": 32, "epochs": 2},
        {"attention": "bot", "dropout": 0.0},
        {"backbone": "mobilenetv3_large_100", "attention": "eca"},
    ],
)
def test_other_settings_train(changes, sample, tmp_path):
    result = fit(settings(sample, tmp_path, **{"epochs": 1, **changes}))
    assert math.isfinite(result.metrics["valid_loss"])
    if "start_size" in changes:
        assert result.history["image_size"] == [32, 64]
    for name in set(changes) & {"attention", "backbone"}:
        assert f"{name}-{changes[name]}" in result.run.name


def test_the_run_learns(tiny_run):
    """Two epochs on 40 drawn leaves are few, yet the loss must fall."""
    losses = json.loads((tiny_run / "history.json").read_text())["train_loss"]
    assert losses[1] < losses[0]


def test_an_unwritable_output_folder(sample, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = ["train", "--metadata", str(sample), "--output-dir", str(tmp_path / "file/results")]
    assert main(arguments) == 2
    assert "file/results" in capsys.readouterr().err


def test_class_weights_are_balanced():
    labels = ["a"] * 6 + ["b"] * 3 + ["c"] * 3
    rows = pd.DataFrame({"label": labels, "split": ["train"] * 9 + ["valid"] * 3})
    weights = class_weights(DataSet(rows, {"a": 0, "b": 1, "c": 2}, None, None))
    assert weights.tolist() == [9 / (2 * 6), 9 / (2 * 3), 0]


def test_cuda_where_there_is_none(sample):
    if torch.cuda.is_available():
        pytest.skip("cuda is here")
    with pytest.raises(InputError, match=r"--device cuda: torch .* sees none here"):
        fit(Config.of(metadata=str(sample), device="cuda"))


def test_parts_of_a_batch_give_its_gradient():
    """With BatchNorm fixed and no dropout: the parts' gradients add up, class weights included."""
    torch.manual_seed(0)
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    photos = torch.randint(256, (7, 64, 64, 3), dtype=torch.uint8)
    numbers = torch.tensor([0, 1, 1, 2, 3, 3, 0])
    gradients, sums = [], []
    for at_once in (None, 3):
        torch.manual_seed(0)
        config = Config.of(dropout=0.0, micro_batch_size=at_once, grad_clip=0.0, batch_size=7)
        precision = Precision.of(torch.device("cpu"), None)
        state = State.new(config, 4, precision)
        state.model.eval()
        sums.append(train_step(state, photos, numbers, config, precision, weight))
        gradients.append([p.grad.clone() for p in state.model.parameters()])
    assert sums[0][0] == pytest.approx(sums[1][0]) and sums[0][1] == sums[1][1]
    for whole, parts in zip(*gradients):
        assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-6)


def test_out_of_memory_halves_what_is_done_at_once(sample, tmp_path, monkeypatch, capsys):
    real, error = train_step, RuntimeError("CPUAllocator: can't allocate memory: 9 bytes")

    def small_memory(state, *arguments):
        if state.images_at_once > 3:
            raise error
        return real(state, *arguments)

    monkeypatch.setattr(epoch_module, "train_step", small_memory)
    result = fit(settings(sample, tmp_path, epochs=1))
    out = capsys.readouterr().out
    assert "out of memory with 8 images at once: from now on 4" in out
    assert "out of memory with 4 images at once: from now on 2" in out
    assert result.metrics["epochs"] == 1
    monkeypatch.setattr(epoch_module, "train_step", lambda *_: (_ for _ in ()).throw(error))
    flags = ["--metadata", str(sample), "--output-dir", str(tmp_path), "--image-size=64"]
    assert main(["train", *flags, "--batch-size=4", "--num-workers=0"]) == 2
    assert "out of memory: lower" in capsys.readouterr().err
