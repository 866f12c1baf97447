"""Workflows and hooks call what exists, and may do no more than they need."""

import os
import re
import shlex

import pytest
import yaml
from conftest import REPO

WORKFLOW = yaml.safe_load((REPO / ".github/workflows/tests.yml").read_text())
JOBS = WORKFLOW["jobs"]
HOOKS = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_what_exists(name):
    commands = [step["run"] for step in JOBS[name]["steps"] if "run" in step]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert set(arguments) <= TARGETS
        else:
            assert os.access(REPO / program, os.X_OK) and not arguments


def test_a_workflow_reads_only_and_ends():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
    for job in JOBS.values():
        assert "permissions" not in job and job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
            if "cache-dependency-path" in step.get("with", {}):
                assert (REPO / step["with"]["cache-dependency-path"]).is_file()


def test_hooks_fetch_nothing_and_call_what_exists():
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    for hook in HOOKS[0]["hooks"]:
        assert hook["language"] == "system"
        for word in shlex.split(hook["entry"])[1:]:
            assert not word.endswith(".py") or (REPO / word).is_file()
