"""What a run says of the machine and the code that it was made with."""

import subprocess

import pytest
from conftest import REPO

from lite0ca.machine.environment import git_commit


def test_a_run_knows_its_commit():
    if not (REPO / ".git").exists():
        pytest.skip("no git checkout")
    command = ["git", "-C", str(REPO), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    assert len(head) == 40
    assert git_commit().removesuffix("-dirty") == head
