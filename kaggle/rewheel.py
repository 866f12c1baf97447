"""The wheel of an installed distribution, made again: no network, no download cache."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

# What pip writes when it installs, and what is not the wheel's own.
INSTALLERS = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"}


def rebuilt_wheel(name: str, folder: Path) -> Path:
    """Write the pure-Python wheel of an installed distribution into `folder`.

    Raises `PackageNotFoundError` where it is not installed, `ValueError` where the wheel was for
    one platform only.
    """
    distribution = metadata.distribution(name)
    tag = wheel_tag(distribution)
    stem = distribution.metadata["Name"].replace("-", "_")
    wheel = folder / f"{stem}-{distribution.version}-{tag}.whl"
    record, lines = "", io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    with zipfile.ZipFile(wheel, "w") as file:
        for path in sorted(distribution.files, key=str):
            if not belongs(path):
                continue
            content = Path(distribution.locate_file(path)).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            table.writerow([path, f"sha256={digest.decode()}", len(content)])
            # A fixed date, and not compressed: the same package gives the same file anywhere.
            file.writestr(zipfile.ZipInfo(str(path), (2020, 1, 1, 0, 0, 0)), content)
            if path.parent.suffix == ".dist-info" and path.name == "METADATA":
                record = f"{path.parent}/RECORD"
        table.writerow([record, "", ""])
        file.writestr(zipfile.ZipInfo(record, (2020, 1, 1, 0, 0, 0)), lines.getvalue())
    return wheel


def wheel_tag(distribution: metadata.Distribution) -> str:
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.split(":", 1)[1].strip() for line in lines if line.startswith("Tag:")]
    pure = next((tag for tag in tags if tag.endswith("-none-any")), None)
    if pure is None:
        raise ValueError(f"{distribution.metadata['Name']}: its wheel is for {tags} only")
    return "py3-none-any" if "py3-none-any" in tags else pure


def belongs(path: PurePosixPath) -> bool:
    return (
        ".." not in path.parts and "__pycache__" not in path.parts and path.name not in INSTALLERS
    )
