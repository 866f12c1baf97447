"""Which file of a run answers: its checkpoint, or the fastest of the files exported from it."""

from __future__ import annotations

from pathlib import Path

from lite0ca.errors import opening, printable
from lite0ca.formats.exported_file import FORMATS, format_of
from lite0ca.formats.report import INSTEAD, read_report, refuse_replaced
from lite0ca.formats.run_files import EXPORTS, REPORT, digest
from lite0ca.settings.config import Config

BEGINS_AT_ONCE = "onnx"  # other runtimes compile first
FEW = 200  # photos, for which starting torch, or loading a network onto a GPU, takes longest


def fastest_exported_file(run: str, typed: dict, photos: int) -> str:
    """The exported file that answers as the run does and first has so many photos answered, if its
    runtime is here.

    The run itself without one, where the files take pictures of another size than the run was
    trained on, where another device, precision or size was typed, and for many photos on a GPU.
    Raises `InputError` if the report is damaged, or the file is not the one that was proved.
    """
    report = Path(run) / EXPORTS / REPORT
    if any(typed.get(name) for name in ("device", "amp", "image_size")) or not report.is_file():
        return run
    if photos > FEW and not computes_on_cpu():
        return run
    made = read_report(report)
    if made is None:
        print(
            f"{report.parent}: is of an earlier version, without checksums; export again to use it"
        )
        return run
    with opening(report, f"is damaged; {INSTEAD}"):
        if made["checkpoint_sha256"] != digest(run):
            print(printable(f"{report.parent}: is of an earlier training; export again to use it"))
            return run
        if made["image_size"] != (made.get("trained_at") or image_size_of(run)):
            return run
        same = [row for row in made["files"] if row["file"] and row["passed"]]
        same = [row for row in same if row["form"] in FORMATS]  # float32, resized by us
        few = photos <= FEW
        for row in sorted(
            same, key=lambda row: (few and row["form"] != BEGINS_AT_ONCE, row["latency_ms"])
        ):
            path = report.parent / Path(row["file"]).name
            there = format_of(path) == row["form"] and path.is_file()
            if there and FORMATS[row["form"]].is_installed(row["form"]):
                refuse_replaced(report.parent, row)
                speed = f"{row['times_torch']:.1f} x torch's speed"
                print(printable(f"answered by {path} ({speed} when exported)"))
                return str(path)
    return run


def computes_on_cpu() -> bool:
    from lite0ca.machine.device import device_of  # torch

    return device_of("auto").type == "cpu"


def image_size_of(run: str) -> int:
    """What a run was trained at, where its report does not say (version 0.3)."""
    return Config.of_run(run).image_size
