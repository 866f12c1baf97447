"""A room imports only from lower storeys, so the package can be read from the ground up."""

import ast
import functools
import graphlib
import subprocess
import sys

import pytest
from conftest import REPO

STOREYS = [
    "errors",
    "files",
    "settings machine plots",
    "images",
    "data model",
    "formats",
    "evaluation speed",
    "adaptation",
    "training export headless notebook prediction",
    "submission",
    "commands",
    "__main__",
]
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms.split()}
PACKAGE = REPO / "lite0ca"
parsed = functools.cache(ast.parse)


def rooms_of(source: str):
    """Rooms of this package that a source imports, wherever in it that is done."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "lite0ca":
            parts = node.module.split(".")[1:]
            yield from parts[:1] or (a.name for a in node.names if a.name in LEVEL)
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from (parts[1] for parts in names if parts[0] == "lite0ca" and parts[1:])


def climbs(own: str, source: str) -> list[str]:
    """The rooms that a source of room `own` imports from its own storey or above."""
    return [room for room in rooms_of(source) if room != own and LEVEL[room] >= LEVEL[own]]


def test_rooms_import_only_from_lower_storeys():
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own != "__init__":
            assert climbs(own, path.read_text(encoding="utf-8")) == [], path


def imported(source: str) -> set[str]:
    """All that a source imports by its full name, wherever that is done: modules, and names."""
    nodes = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {
        node.module for node in nodes
    }


def test_inside_a_room_imports_run_one_way_as_well():
    modules = {
        ".".join(path.relative_to(REPO).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    uses = {
        name: imported(path.read_text(encoding="utf-8")) & modules.keys()
        for name, path in modules.items()
    }
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which names them
    with pytest.raises(graphlib.CycleError):
        source = "def f():\n    from lite0ca.files.whole_file import whole"
        uses["lite0ca.files.scraps"] = imported(source) & modules.keys()
        graphlib.TopologicalSorter(uses).prepare()


@pytest.mark.parametrize(
    ("own", "source", "found"),
    [
        ("images", "from lite0ca.data.split import limited", ["data"]),
        ("data", "def f():\n    from lite0ca.model import network", ["model"]),
        ("settings", "import lite0ca.machine.device", ["machine"]),
        ("speed", "from lite0ca import notebook, files", ["notebook"]),
        ("export", "from lite0ca.settings.config import Config", []),
    ],
)
def test_a_climb_is_found(own, source, found):
    assert climbs(own, source) == found


def test_every_room_says_in_one_sentence_what_it_is():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}:
        source = (folder / "__init__.py").read_text(encoding="utf-8")
        assert "\n" not in ast.get_docstring(ast.parse(source)), folder
        if folder.name != "model":  # which registers timm's name
            assert len(ast.parse(source).body) == 1, folder


def test_help_and_settings_need_the_standard_library_alone():
    """Where nothing else can be imported (-S), every command and its flags can."""
    code = f"import sys; sys.path.insert(0, {str(REPO)!r})\n"
    code += "from lite0ca.__main__ import COMMANDS, command_named, parse\n"
    code += "[command_named(name) for name in COMMANDS]\n"
    code += "parse(['train', '--preset', 'basic'], None)"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_model_tells_timm_its_name():
    code = "import timm, lite0ca.model; print(timm.is_model('efficientnet_lite0_ca'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
