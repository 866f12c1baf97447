"""What a run says of the machine and the code that it was made with."""

import subprocess

import pytest
import torch
from conftest import REPO

from lite0ca.machine.device import idle_gpus
from lite0ca.machine.environment import git_commit


def test_a_run_knows_its_commit():
    if not (REPO / ".git").exists():
        pytest.skip("no git checkout")
    command = ["git", "-C", str(REPO), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    assert len(head) == 40
    assert git_commit().removesuffix("-dirty") == head


def test_an_idle_gpu_is_named(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for there, said in ((1, None), (2, "1 of 2 GPUs is used: --devices 2 trains on all")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: there)
        assert idle_gpus(cpu) is None
        assert (idle_gpus(cuda) or "").startswith(said or "") and (said is None) == (there == 1)
    assert '{"devices": 2}' in idle_gpus(cuda)
