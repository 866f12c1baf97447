"""The lock knows every dependency, in a version that pyproject.toml allows."""

import tomllib

import pytest
from conftest import REPO
from lock import merged
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {
    "constraints.txt": set(EXTRAS) - {"litert", "deploy"},
    "constraints-deploy.txt": {"dev", "onnx", "openvino", "litert", "executorch"},
}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_is_asked_for(lock):
    pins = [Requirement(line.split("#")[0]) for line in content(lock) if line.split("#")[0]]
    versions = {}
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        versions.setdefault(pin.name, []).append(exact.version)
    assert [pin.name for pin in pins] == sorted(pin.name for pin in pins)
    asked = [*PROJECT["dependencies"], *(line for name in LOCKS[lock] for line in EXTRAS[name])]
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:
            found = versions.get(canonicalize_name(requirement.name), [])
            assert found, f"{requirement.name} is not in {lock}: make lock"
            assert all(requirement.specifier.contains(version) for version in found), requirement


def test_a_version_that_must_differ_gets_a_marker():
    found = {"3.11.7": {"a": "1", "b": "1"}, "3.13.0": {"a": "1", "b": "2", "c": "3"}}
    old, new = 'b==1 ; python_version == "3.11"', 'b==2 ; python_version == "3.13"'
    assert merged(found) == ["a==1", old, new, "c==3"]


def content(lock: str) -> list[str]:
    return (REPO / lock).read_text().splitlines()
