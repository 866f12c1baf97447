"""A file imports only from a lower floor, so the package can be read from the bottom up."""

import ast

from conftest import REPO

FLOORS = [
    {"__init__", "errors"},
    {"systems", "presets", "files", "guide", "signals", "quiet"}
    | {"confidence", "preprocess", "rounding", "litert_metadata", "background"},
    {"config", "shards", "headless", "ranks"} | {"form_onnx", "form_litert"},
    {"flags", "images", "listing", "facts", "machine", "plots", "cluster", "stopping"}
    | {"form_openvino"},
    {"runs", "data", "groups", "model", "cache", "colors", "pictures", "launch", "web"}
    | {"augment"},
    {"split", "sample", "weights", "evaluate", "loaders", "forms", "deployed"},
    {"state", "predict", "bench", "notebook", "answers", "equalize"}
    | {"form_executorch", "compare", "explain"},
    {"results", "step", "pack", "proof", "executed", "leaderboard"} | {"adapt"},
    {"record", "export", "batch", "bench_forms"},
    {"train", "report"},
    {"__main__", "ranked"},
]
STANDARD_LIBRARY_ONLY = {"__init__", "errors", "systems", "presets", "files", "guide"}
STANDARD_LIBRARY_ONLY |= {"config", "flags", "signals", "quiet"}
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imported(path):
    """(top-level package, module inside lite0ca or None) of every import statement."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            top, _, inner = node.module.partition(".")
            if top != "lite0ca":
                yield top, None
            elif inner:
                yield top, inner
            else:
                names = (alias.name for alias in node.names)
                yield from (("lite0ca", n if n in FLOOR else "__init__") for n in names)


def test_every_file_has_a_floor():
    assert {path.stem for path in (REPO / "lite0ca").glob("*.py")} == set(FLOOR)


def test_imports_come_from_lower_floors():
    wrong = [
        f"{path.stem} imports {inner}"
        for path in (REPO / "lite0ca").glob("*.py")
        for _, inner in imported(path)
        if inner and FLOOR[inner] >= FLOOR[path.stem]
    ]
    # timm calls the registered entry point only when a model is made; weights.py is loaded then.
    assert wrong == ["model imports weights"]


def test_the_ground_floor_is_light():
    import sys

    for name in STANDARD_LIBRARY_ONLY:
        tops = {top for top, _ in imported(REPO / f"lite0ca/{name}.py")}
        assert tops - {"lite0ca"} <= sys.stdlib_module_names, name
