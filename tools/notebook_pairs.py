"""Notebooks as pairs: `python tools/notebook_pairs.py notebooks/*.py` makes each .ipynb
with its outputs; with --check it only says where a pair differs.

The .py is the source. Its cells are run on the drawn sample; what depends on the moment alone
(cell ids, timings, progress on stderr) is not stored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import papermill

from lite0ca.files.whole_file import whole

KEPT = ("tags", "jupyter", "_kg_hide-input")  # of a cell's metadata; the last two fold its code
# ipykernel warns that who can listen on this machine's own wire hears it.
QUIETLY = ["--log-level=ERROR"]


def differences(script: Path, notebook: Path) -> list[str]:
    """How the cells of a pair differ: count, kind, text, tags."""
    one, other = jupytext.read(script).cells, nbformat.read(notebook, as_version=4).cells
    found = [f"{len(one)} cells in {script.name}, {len(other)} in {notebook.name}"]
    found = found if len(one) != len(other) else []
    for number, (a, b) in enumerate(zip(one, other), 1):
        for what in ("cell_type", "source"):
            if a[what] != b[what]:
                found.append(f"cell {number}: {what} differs")
        for what in KEPT:
            if a.metadata.get(what) != b.metadata.get(what):
                found.append(f"cell {number}: {what} differ")
    return found


def rebuild(script: Path) -> Path:
    """Run the cells of a .py in a fresh kernel and write the .ipynb beside it."""
    content = jupytext.read(script)
    for number, cell in enumerate(content.cells, 1):
        cell["id"] = f"cell-{number}"
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.ipynb"), Path(folder, "out.ipynb")
        nbformat.write(content, source)
        papermill.execute_notebook(
            str(source), str(target), kernel_name="python3", progress_bar=False, log_output=False,
            extra_arguments=QUIETLY,
        )  # fmt: skip
        content = nbformat.read(target, as_version=4)
    content.metadata = {
        name: content.metadata[name] for name in ("jupytext", "kernelspec", "language_info")
    }
    content.metadata["language_info"].pop("version", None)
    for cell in content.cells:
        cell.metadata = {what: cell.metadata[what] for what in KEPT if cell.metadata.get(what)}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook = script.with_suffix(".ipynb")
    with whole(notebook) as file:
        file.write(nbformat.writes(content) + "\n")
    return notebook


def check(script: Path) -> list[str]:
    """What differs in a pair, or which half is missing, each as a line for a person."""
    pair = script, script.with_suffix(".ipynb")
    if missing := [f"{path}: does not exist" for path in pair if not path.exists()]:
        return missing
    return [f"{script}: {difference}" for difference in differences(*pair)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--check", action="store_true", help="run nothing; 1 if a pair differs")
    parser.add_argument("files", nargs="+", type=Path, help="one of each pair, or both")
    typed = parser.parse_args()
    scripts = sorted({path.with_suffix(".py") for path in typed.files})
    if typed.check:
        if found := [line for script in scripts for line in check(script)]:
            sys.exit("\n".join([*found, "the .py is the source: make notebooks"]))
    else:
        for script in scripts:
            print(rebuild(script), flush=True)
