"""The wheel of an installed distribution, made again, and one of files: no network."""

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
    paths = [path for path in sorted(distribution.files, key=str) if belongs(path)]
    write_wheel(wheel, {str(p): Path(distribution.locate_file(p)).read_bytes() for p in paths})
    return wheel


def data_wheel(name: str, version: str, sources: list[Path], folder: Path) -> Path:
    """A wheel of files in one package. Beside wheels, tables would be taken for photos' labels."""
    files = {f"{name}/{source.name}": source.read_bytes() for source in sources}
    about = f"{name}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{about}/METADATA"] = text.encode()
    text = "Wheel-Version: 1.0\nGenerator: lite0ca\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/WHEEL"] = text.encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    write_wheel(wheel, files)
    return wheel


def write_wheel(wheel: Path, files: dict[str, bytes]) -> None:
    """The files, and the list of them that a wheel carries."""
    (about,) = [name for name in files if name.endswith(".dist-info/METADATA")]
    record, lines = f"{PurePosixPath(about).parent}/RECORD", io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    with zipfile.ZipFile(wheel, "w") as file:
        for name, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            table.writerow([name, f"sha256={digest.decode()}", len(content)])
            # A fixed date, and not compressed: the same package gives the same file anywhere.
            file.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
        table.writerow([record, "", ""])
        file.writestr(zipfile.ZipInfo(record, (2020, 1, 1, 0, 0, 0)), lines.getvalue())


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
