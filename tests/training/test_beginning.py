"""From the command to the first step: what is not waited for, and what a warm-up must not touch."""

import copy
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest
import torch
from conftest import FAST, LITTLE, assert_equal
from timm.optim import param_groups_weight_decay

from lite0ca.machine import device
from lite0ca.machine.device import CPU
from lite0ca.model.adamw import AdamW
from lite0ca.settings.config import Config
from lite0ca.training import fit as fit_module
from lite0ca.training.fit import fit
from lite0ca.training.state import State
from lite0ca.training.warm_up import rehearse

HEAVY = ("torch._dynamo", "sympy", "triton", "sklearn", "scipy.stats", "matplotlib")


def test_the_first_step_waits_for_no_compiler(sample, tmp_path):
    """The real command, stopped after it."""
    code = f"""
import sys
from lite0ca.__main__ import main
from lite0ca.training import fit, epoch
step = epoch.train_step
def told(*arguments):
    answer = step(*arguments)
    print([name for name in {HEAVY} if name in sys.modules])
    sys.exit()
epoch.train_step = told
main(sys.argv[1:])"""
    command = [sys.executable, "-c", code, "train", *FAST, "--metadata", sample]
    command += ["--train-limit", "4", "--valid-limit", "4", "--output-dir", tmp_path]
    told = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]", told


def test_the_device_is_waited_for(monkeypatch):
    """What loads cuda beside imports is done before anything else of cuda, or forks."""
    monkeypatch.setattr(device, "touch", lambda name: time.sleep(0.2))
    device.begin("auto")
    device.device_of("cpu")
    assert not device.early.is_alive()
    monkeypatch.undo()
    random = torch.get_rng_state()
    monkeypatch.setattr(device.contextlib, "suppress", lambda *_: nullcontext())
    device.touch("cpu")
    assert torch.equal(torch.get_rng_state(), random)


def test_adamw_is_that_of_torch():
    """Steps, and what a checkpoint keeps of them; also once the compiler is there."""
    torch.manual_seed(0)
    one = torch.nn.Linear(3, 2)
    two = copy.deepcopy(one)
    pair = [kind(net.parameters(), 0.1, fused=True)
            for kind, net in ((AdamW, one), (torch.optim.AdamW, two))]  # fmt: skip
    for _ in range(3):
        for net, optimizer in zip((one, two), pair):
            optimizer.zero_grad()
            net(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
        pair[0].load_state_dict(pair[0].state_dict())
        torch.compile(one, backend="eager")(torch.ones(1, 3))
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
    assert pair[0].state_dict().keys() == pair[1].state_dict().keys()


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_groups_of_parameters_are_timms(decay):
    config = Config.of(weight_decay=decay, **LITTLE)
    state = State.new(config, 3, CPU)
    head = {id(parameter) for parameter in state.model.head_parameters()}
    expected = []
    for is_head in (False, True):
        for parameter in state.model.parameters():
            parameter.requires_grad = (id(parameter) in head) is is_head
        expected += param_groups_weight_decay(state.model, decay)
    ours = state.optimizer.param_groups
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected):
        assert one["weight_decay"] == other["weight_decay"]
        assert [*map(id, one["params"])] == [*map(id, other["params"])]


def test_a_rehearsal_leaves_everything_as_it_is():
    config = Config.of(ema=True, batch_size=4, image_size=32, grad_clip=1.0, **LITTLE)
    state = State.new(config, 3, CPU)
    before, random = copy.deepcopy(state.as_dict()), torch.get_rng_state()
    rehearse(state, config, CPU, images=3, size=64)
    assert torch.equal(torch.get_rng_state(), random)
    after = state.as_dict()
    for part in ("model", "ema"):
        assert all(torch.equal(before[part][name], value) for name, value in after[part].items())
    assert after["optimizer"] == before["optimizer"] and not after["optimizer"]["state"]
    assert all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="a warm-up is for cuda, which is not here"
)
def test_a_warm_up_changes_no_bit_on_cuda(sample, tmp_path, monkeypatch):
    config = Config.of(
        "kaggle", metadata=str(sample), output_dir=str(tmp_path), device="cuda", epochs=2,
        train_limit=32, valid_limit=8, image_size=64, batch_size=8, ema=True, num_workers=2,
    )  # fmt: skip
    warm = fit(config).run
    monkeypatch.setattr(fit_module, "warm_up", lambda *_: None)
    assert_equal(warm, fit(config).run)
