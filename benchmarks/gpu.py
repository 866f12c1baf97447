"""What a GPU does with this project: `python benchmarks/gpu.py --metadata my/metadata.csv`.

Training steps in each precision and what `cudnn.deterministic` costs, one image in every form that
is at hand and how near `predict` comes to the best of them, how long a training takes from its
command to its first step and how long its device waits for data. Prints as it goes, needs no
network, and ends within `--minutes` whatever the machine does: each part is a process of its own
(`gpu_parts.py`), the most important first, ended where it takes too long, and left out, by name,
where too little time is left. On a CPU it runs as well (`--device cpu --seconds 0.1 --batch-size 4
--train-limit 40 --minutes 30`), to see that it does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MINUTES = 7.5


@dataclass(frozen=True)
class Part:
    """`least_s`: with less time left it is not begun. `most_s`: then it is ended, so that what
    follows has its time. Both of `MINUTES`.
    """

    title: str
    least_s: float
    most_s: float


# By their names in `gpu_parts.py`, the most important first. All of them together are thought to
# take 7 minutes on an H100 with 16 cores, most of it to load and compile kernels.
PARTS = {
    "steps": Part("training steps", 40, 110),
    "answers": Part("answers, eager and by CUDA graphs", 20, 60),
    "kaggle": Part("a training, --preset kaggle", 40, 80),
    "first": Part("from the command to the first step", 15, 40),
    "shapes": Part("what a new shape costs: one layer there and back", 8, 30),
    "compiled": Part("answers, torch.compile", 30, 60),
    "exported": Part("answers, ONNX Runtime", 20, 60),
    "pictures": Part("pictures a CPU second", 8, 30),
    "strong": Part("a training, --preset kaggle --augmentation strong", 40, 80),
    "robust": Part("a training, --preset robust", 60, 130),
    "cold": Part("from the command to the first step, the device not warmed up", 15, 40),
    "loaders": Part("loaders beside a stand-in for a device", 25, 60),
}
Figures = dict[str, dict]


def say(text: str = "") -> None:
    print(text, flush=True)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    typed = arguments().parse_args(argv)
    if typed.part:
        import gpu_parts

        return gpu_parts.main(typed)
    if not Path(typed.metadata).is_file():
        print(f"error: --metadata {typed.metadata}: there is no such file", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = Path(folder, "figures")
        outcomes = {}
        for name, part in PARTS.items():
            left_s = max(0, 60 * typed.minutes - (time.monotonic() - began))
            outcomes[name] = of_part(name, part, argv, left_s, kept)
            if typed.json:
                Path(typed.json).write_text(json.dumps(figures_in(kept), indent=1), "utf-8")
            if name == "steps" and outcomes[name] == "exit code 2":
                return 2  # it has said what is wrong: all others would say so too
        say(f"\nall of it took {time.monotonic() - began:.0f} s")
        for line in summary(figures_in(kept)):
            say(line)
    missing = {name: why for name, why in outcomes.items() if why}
    for name, why in missing.items():
        say(f"NOT MEASURED, or not to its end: {PARTS[name].title}: {why}")
    return int(any(why.startswith("exit code") for why in missing.values()))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--metadata", required=True, help="a data set, with split and group")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all (default: 7.5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--train-limit", type=int, help="photos, to see that it runs")
    parser.add_argument("--batch-size", type=int, default=128, help="images (default: 128)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file as well")
    for name in ("part", "figures"):  # of the processes that this one starts
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser


def of_part(name: str, part: Part, argv: list[str], left_s: float, kept: Path) -> str:
    """Run a part in a process of its own; returns why it was not done to its end, "" if it was.

    `kept` is where it notes its figures.
    """
    scale = arguments().parse_args(argv).minutes / MINUTES
    say(f"\n{part.title}")
    if left_s < scale * part.least_s:
        return told(f"left out: {left_s:.0f} s are left, about {scale * part.least_s:.0f} needed")
    most_s = min(left_s, scale * part.most_s)
    command = [sys.executable, __file__, *argv, "--part", name, "--figures", str(kept)]
    command += ["--minutes", str(most_s / 60)]  # of those that are typed twice the last counts
    began = time.monotonic()
    # A session of its own, and a folder for what it leaves: both end with it.
    environment = os.environ | {"TMPDIR": str(kept.parent), "PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(command, start_new_session=True, env=environment)
    try:
        code = child.wait(most_s)
    except subprocess.TimeoutExpired:
        return told(f"ended after {most_s:.0f} s")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver that does not answer
                child.wait(5)
    say(f"({time.monotonic() - began:.0f} s)")
    return told(f"exit code {code}") if code else ""


def told(why: str) -> str:
    say(why)
    return why


def figures_in(kept: Path) -> Figures:
    """{what: {of what: figure}}, as the parts have noted them line by line."""
    found: Figures = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        what, name, value = json.loads(line)
        found.setdefault(what, {})[name] = value
    return found


def summary(found: Figures) -> list[str]:
    """The figures that say whether it is as fast as it should be, a line each."""
    lines = []
    rates, first = found.get("training images/s", {}), found.get("first step s", {})
    default, free = "mixed, deterministic", "mixed, not deterministic"
    if default in rates:
        lines.append(f"training steps, {default}: {rates[default]:,.0f} images/s")
    if {default, free} <= set(rates):
        lines.append(
            f"deterministic: {rates[default] / rates[free]:.0%} of the images/s without, first "
            f"step {first[default]:.1f} s, {first[free]:.1f} s without"
        )
    alone = found.get("one image ms", {})
    eager, ours = alone.get("eager, float32"), alone.get("CUDA graph, float32")
    if eager and ours:
        best = min(alone, key=alone.__getitem__)
        lines.append(
            f"one image as predict answers it, CUDA graph, float32: {ours:.2f} ms, "
            f"{eager / ours:.1f} times as fast as eager (8 wanted), {alone[best] / ours:.0%} of "
            f"the speed of the best of {len(alone)} forms, {best} (80 % wanted)"
        )
    for recipe, one in found.get("trainings", {}).items():
        lines.append(
            f"{recipe}: waits {one['waits']:.0%} of the time from epoch 2 on (below 5 % wanted), "
            f"{one['images/s']:,.0f} images/s"
        )
    for way, seconds in found.get("to the end of the first step s", {}).items():
        lines.append(f"from the command to the end of the first step, {way}: {seconds:.1f} s")
    for kind, rate in found.get("pictures per CPU second", {}).items():
        lines.append(f"{kind}: {rate:,.0f} pictures a CPU second")
    return lines


if __name__ == "__main__":
    # So that a part, which is not of this one's session, is ended with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
