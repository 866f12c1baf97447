"""README tells the truth: generated tables, commands that parse, files that exist."""

import re
import shlex

from conftest import REPO
from readme_tables import filled, presets

from lite0ca.__main__ import parse
from lite0ca.config import Config
from lite0ca.presets import PRESETS

README = (REPO / "README.md").read_text(encoding="utf-8")


def test_tables_are_the_packages():
    assert filled(README) == README, "run: make readme"
    for mark in ("presets", "systems", "flags", "study", "field", "scenes"):
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


VIETNAMESE = (REPO / "README.vi.md").read_text(encoding="utf-8")


def commands_in(text: str) -> set[str]:
    """The lines of all bash blocks without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return {line for line in lines if line}


def test_the_vietnamese_commands_are_the_readmes():
    commands = commands_in(VIETNAMESE)
    assert len(commands) >= 8
    assert commands <= commands_in(README)
    assert all(f"make {t}" in VIETNAMESE for t in ("demo", "test", "kaggle USER="))


def test_the_vietnamese_presets_are_the_packages():
    ours = {line.split("|")[1]: line.split("|")[2] for line in presets().splitlines()[2:]}
    theirs = {
        line.split("|")[1]: line.split("|")[2]
        for line in VIETNAMESE.splitlines()
        if line.startswith("| `") and line.split("|")[1].strip(" `") in PRESETS
    }
    assert theirs == ours


def test_the_vietnamese_numbers_are_the_readmes():
    """Every score and parameter count there stands here as well."""
    numbers = re.findall(r"\b0\.\d{3}\b|\b\d,\d{3},\d{3}\b", VIETNAMESE)
    assert len(numbers) >= 20
    assert [number for number in numbers if number not in README] == []
