"""Images/s of a training epoch: `fit` against timm's loop, fastai and Ultralytics classify.

    python benchmarks/training_against_peers.py --metadata my/metadata.csv

Every tool trains the same photos (hard links in a folder a class, drawn evenly from the CSV's train
split) at one image size and batch size, in float32, from random weights, on the same cores and
loader processes, with its own augmentation, loader and loop (`peers.py`). The network is timm's
tf_efficientnet_lite0 wherever a tool takes it; for the others multiply-accumulates a second stand
beside images a second.

An epoch is timed in the tool's own loop, from before the first batch is asked for until the last
step is done: loading and augmentation count, validation does not. Each row is a process of its own
that trains two epochs; the second is compared. Rows take turns in each round, so that what else the
machine does meets all of them; the figures are medians over the rounds.

The peers are installed for this benchmark alone and none is a dependency; one that is missing is
named and left out. Beside the package itself:  pip install fastai ultralytics
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import peers

VALID_IMAGES = 16  # not timed, but each tool wants some
PACKAGES = ("torch", "timm", "fastai", "ultralytics", "albumentations", "pillow", "numpy")
PACKAGES += ("opencv-python-headless", "opencv-python")
# What lite0ca asks of glibc by itself (`machine.keep_freed_memory`), as a user of others can.
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
}


@dataclass(frozen=True)
class Row:
    """A line of the table: a function of `peers`, its options, and the allocator's variables."""

    name: str
    tool: str
    package: str
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)


TIMM, FASTAI, ULTRALYTICS = "timm_loop", "fastai_learner", "ultralytics_classify"
NHWC, LITE0 = {"channels_last": True}, {"network": "Lite0"}
LIKE = {"network": "YOLO26-cls of like MACs"}
AS_IT_COMES = {"network": "YOLO26n-cls", "as_it_comes": True}
ROWS = [
    Row("lite0ca", "lite0ca", "torch"),
    Row("timm loop", TIMM, "timm"),
    Row("timm loop, channels-last", TIMM, "timm", NHWC),
    Row("fastai", FASTAI, "fastai"),
    Row("Ultralytics, Lite0", ULTRALYTICS, "ultralytics", LITE0),
    Row("Ultralytics, YOLO26-cls of like MACs", ULTRALYTICS, "ultralytics", LIKE),
    Row("Ultralytics, YOLO26n-cls as it comes", ULTRALYTICS, "ultralytics", AS_IT_COMES),
]
# lite0ca without its cache of photos, and what somebody who knows its tricks can make of the peers.
VARIANTS = [
    Row("lite0ca, no cache", "lite0ca", "torch", {"flags": "--cache none"}),
    Row("timm loop, kept memory", TIMM, "timm", {}, KEPT_MEMORY),
    Row("timm loop, channels-last, kept memory", TIMM, "timm", NHWC, KEPT_MEMORY),
    Row("fastai, channels-last", FASTAI, "fastai", NHWC),
    Row("fastai, channels-last, kept memory", FASTAI, "fastai", NHWC, KEPT_MEMORY),
    Row(
        "Ultralytics, Lite0, kept memory and photos",
        ULTRALYTICS,
        "ultralytics",
        LITE0 | {"cache": "ram"},
        KEPT_MEMORY,
    ),
]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metadata", type=Path, required=True, help="CSV with path,label,split")
    parser.add_argument("--images", type=int, default=480, help="of an epoch (default: 480)")
    parser.add_argument("--batch-size", type=int, default=48, help="(default: 48)")
    parser.add_argument("--image-size", type=int, default=224, help="(default: 224)")
    parser.add_argument("--workers", type=int, default=2, help="loader processes (default: 2)")
    parser.add_argument("--cores", type=int, default=2, help="for each tool (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each row (default: 3)")
    parser.add_argument("--variants", action="store_true", help="peers tuned by hand as well")
    parser.add_argument("--only", default="", metavar="WORD", help="rows with this in their name")
    parser.add_argument("--lite0ca-flags", default="", help="more flags for lite0ca's script")
    parser.add_argument("--raw", type=Path, metavar="JSON", help="write every figure here as well")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # a row, in its own process
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    settings = arguments().parse_args()
    if settings.measure:
        return measure(settings)
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print(f"note: other work is running here, the load is {os.getloadavg()[0]:.1f}")
    if settings.images % settings.batch_size:
        print("note: --images is no multiple of --batch-size; timm and fastai leave out the rest")
    rows = [row for row in ROWS + VARIANTS * settings.variants if settings.only in row.name]
    missing = {row.package for row in rows if not importlib.util.find_spec(row.package)}
    if missing:
        print(f"not installed and left out: {', '.join(sorted(missing))}")
    rows = [row for row in rows if row.package not in missing]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "photos"
        link_photos(settings, folder)
        figures = {row.name: [] for row in rows}
        for number in range(settings.rounds):
            for row in rows:
                if row.name in figures:
                    figures[row.name].append(turn(row, folder, f"{number + 1}/{settings.rounds}"))
                    if not figures[row.name][-1]:
                        del figures[row.name]
    if not figures:
        return 1
    print(report(settings, figures))
    if settings.raw:
        settings.raw.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return int(len(figures) < len(rows))


def link_photos(settings, folder: Path) -> None:
    """`folder`/train|valid/class/photo, drawn evenly from the two splits of the CSV."""
    with settings.metadata.open(newline="", encoding="utf-8") as file:
        table = sorted(csv.DictReader(file), key=lambda row: (row["label"], row["path"]))
    for split, wanted in (("train", settings.images), ("valid", VALID_IMAGES)):
        rows = [row for row in table if row["split"] == split]
        if len(rows) < wanted:
            raise SystemExit(f"{settings.metadata}: {len(rows)} {split} images, {wanted} are asked")
        for index in range(wanted):
            row = rows[index * len(rows) // wanted]
            source = (settings.metadata.parent / row["path"]).resolve()
            target = folder / split / row["label"] / f"{index}_{source.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another file system
                shutil.copyfile(source, target)


def turn(row: Row, folder: Path, round_name: str) -> dict:
    """The figures of one row, measured in a process of its own; none if it failed."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", row.name]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "OMP_", "MKL_"))  # each tool chooses
    }
    place = folder.parent / "turn"  # nothing that a turn leaves helps the next one
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    environment |= {"PYTHONPATH": str(peers.REPOSITORY), "NO_ALBUMENTATIONS_UPDATE": "1"}
    # Ultralytics would ask its servers for versions, and keeps its settings in the home folder.
    environment |= {"XDG_CACHE_HOME": str(place), "YOLO_CONFIG_DIR": str(place)}
    environment |= {"YOLO_OFFLINE": "true"}
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        env=environment | row.environment,
        cwd=place,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"{row.name} failed and is left out:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    figures = json.loads(done.stdout.splitlines()[-1])
    speeds = ", ".join(f"{speed:.1f}" for speed in figures["images_per_s"])
    print(f"round {round_name}  {row.name}: {speeds} images/s", file=sys.stderr, flush=True)
    return figures


def measure(settings) -> int:
    """Train as one row does and print its figures as the last line, as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.cores])
    row = next(row for row in ROWS + VARIANTS if row.name == settings.measure)
    settings.classes = sum(path.is_dir() for path in (settings.folder / "train").iterdir())
    speeds, network = getattr(peers, row.tool)(settings, settings.folder, **row.options)
    from lite0ca.machine.processor import cpu_name
    from lite0ca.model.network import mac_count, parameter_count

    figures = {"images_per_s": speeds, "cpu": cpu_name(), "parameters": parameter_count(network)}
    print(json.dumps(figures | {"macs": mac_count(network, settings.image_size)}))
    return 0


def report(settings, figures: dict) -> str:
    """The table in Markdown, and the conditions under it."""
    lines = [
        "| tool | parameters | million MACs | images/s, 1st epoch | images/s, 2nd epoch (range) | "
        "GMAC/s | lite0ca is times as fast (range) | in MAC/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    own = figures.get("lite0ca", [])
    lines += [line(name, turns, own) for name, turns in figures.items()]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if version(name))
    flags = f"; lite0ca with {settings.lite0ca_flags}" if settings.lite0ca_flags else ""
    cpu = next(turns[0]["cpu"] for turns in figures.values())
    conditions = (
        f"{cpu}, {settings.cores} cores, {settings.workers} loader processes; {settings.images} "
        f"images of {settings.image_size} pixels an epoch, batch {settings.batch_size}, float32; "
        f"medians over {settings.rounds} rounds; {versions}{flags}"
    )
    return "\n".join([*lines, "", conditions])


def line(name: str, turns: list[dict], own: list[dict]) -> str:
    """A row of the table; its ratios compare the second epochs of the same round."""
    first, second = zip(*(one["images_per_s"] for one in turns))
    macs = turns[0]["macs"]
    cells = [name, f"{turns[0]['parameters']:,}", f"{macs / 1e6:,.0f}", f"{median(first):.1f}"]
    cells += [f"{median(second):.1f} ({min(second):.1f} to {max(second):.1f})"]
    cells += [f"{median(second) * macs / 1e9:.1f}"]
    ratios = [mine["images_per_s"][1] / theirs for mine, theirs in zip(own, second)]
    if ratios:
        cells += [f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
        cells += [f"{median(ratios) * own[0]['macs'] / macs:.2f}"]
    return f"| {' | '.join(cells)} |"


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
