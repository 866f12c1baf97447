"""The lock: `make lock` writes the exact versions that go together for every Python here.

pip itself decides, with `--dry-run`: it asks the index and installs nothing. The oldest Python is
asked first and the others are asked to take its versions, so a version differs between them, with
a marker on its line, only where it must.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from lite0ca.files.ownership import is_table
from lite0ca.files.whole_file import whole

# All figures of this repository were measured with this torch, and litert-torch 0.10 asks for
# torch < 2.15. To move on: change these two, `make lock`, `make test`, `make test-deploy`.
HELD = {"torch": "2.14.1", "torchvision": "0.29.1"}


def lines(pins: dict[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def solved(python: str, extras: str, pins: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A Python's full version, and {package: version} of what pip would install on it."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraints = Path(folder, "report.json"), Path(folder, "constraints.txt")
        constraints.write_text(lines(pins))
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        command += ["--dry-run", "--ignore-installed", "--report", str(report)]
        command += ["--constraint", str(constraints), "--editable", f".[{extras}]"]
        subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
        answer = json.loads(report.read_text())
    found = {}
    for package in answer["install"]:
        name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
        found[name] = package["metadata"]["version"].split("+")[0]
    found.pop("lite0ca")
    return answer["environment"]["python_full_version"], found


def merged(found: dict[str, dict[str, str]]) -> list[str]:
    """{Python: {package: version}} -> one line a package, or one for each Python that differs."""
    result = []
    for name in sorted(set().union(*found.values())):
        versions = {python: pins[name] for python, pins in found.items() if name in pins}
        if len(set(versions.values())) == 1:
            result.append(f"{name}=={next(iter(versions.values()))}")
            continue
        for python, version in versions.items():
            minor = ".".join(python.split(".")[:2])
            result.append(f'{name}=={version} ; python_version == "{minor}"')
    return result


def lock(path: Path, extras: str, pythons: list[str]) -> None:
    if path.exists() and not is_table(path, "# Written by `make lock`"):
        sys.exit(f"{path}: is there, and no lock; name another file")
    found: dict[str, dict[str, str]] = {}
    for python in pythons:
        earlier = {name: v for pins in reversed(found.values()) for name, v in pins.items()}
        try:
            version, pins = solved(python, extras, earlier | HELD)
        except subprocess.CalledProcessError as error:
            if not earlier:
                sys.exit(error.stderr)
            print(f"{python} needs versions of its own", flush=True)
            version, pins = solved(python, extras, HELD)
        found[version] = pins
        print(f"{path}: Python {version}, {len(pins)} packages", flush=True)
    pip = subprocess.check_output([sys.executable, "-m", "pip", "--version"], text=True).split()[1]
    head = [
        f"# Written by `make lock` on {date.today()}: pip {pip} on {platform.system()}"
        f" {platform.machine()},",
        f"# for Python {', '.join(found)}.",
        f"# pip install -c {path} -e '.[{extras}]'",
    ]
    with whole(path) as file:
        file.write("\n".join([*head, *merged(found)]) + "\n")


if __name__ == "__main__":
    path, extras, *pythons = sys.argv[1:]
    missing = [python for python in pythons if not shutil.which(python)]
    if missing:
        sys.exit(f"{missing[0]} is not here; name what is: make lock PYTHONS='python3.11 ...'")
    lock(Path(path), extras, pythons)
