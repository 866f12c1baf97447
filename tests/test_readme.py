"""README tells the truth: generated tables, commands that parse, files that exist."""

import re
import shlex

from conftest import REPO

from lite0ca.__main__ import parse
from lite0ca.config import Config
from lite0ca.tables import filled

README = (REPO / "README.md").read_text(encoding="utf-8")


def test_tables_are_the_packages():
    assert filled(README) == README, "run: make readme"
    for mark in ("presets", "systems", "flags"):
        assert README.count(f"<!-- {mark} -->") == README.count(f"<!-- /{mark} -->") == 1
    assert "| `max-speed` |" in README and "`--no-amp`" in README


def test_commands_parse():
    commands = [line.split("#")[0] for line in README.splitlines() if line.startswith("python ")]
    assert len(commands) >= 5
    for command in commands:
        program, *arguments = shlex.split(command)[1:]
        if program == "-m":
            assert arguments.pop(0) == "lite0ca"
            parse(arguments, None)
        else:
            assert program == "train_EfficientNet_Lite0_CA.py"
            typed = parse(["train", *arguments], program)[1]
            if "resume" not in typed:
                Config.of(**typed)


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    assert {"demo", "test", "readme"} <= named <= set(targets)


def test_the_file_tree_is_complete():
    tree = README[README.index("## How it is built") :]
    for path in (REPO / "lite0ca").glob("*.py"):
        assert path.name in tree or path.name == "__init__.py", path.name


def test_no_machine_paths_or_registries():
    for path in [*REPO.glob("*"), *REPO.glob("lite0ca/*.py"), *REPO.glob("tests/*.py")]:
        if path.is_file() and path.name != "test_readme.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/(root|work|home)/\w|pypi\.org|index-url", text), path
