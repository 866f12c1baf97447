"""From the command to the first training step, stage by stage, and from the last step to the end.

`python benchmarks/first_step.py --metadata my/metadata.csv [--before CHECKOUT] [FLAGS]`: wall and
CPU seconds of a real `train`, whose functions are timed from outside; so another checkout of this
project can take turns with this one. `FLAGS` are any of `train`.

A stage's seconds are without those of the stages inside it. CPU seconds are of all threads of the
process; those of loader processes are counted apart. The first two steps follow: what the first
takes longer than the second is what a device and its libraries need to get going.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
# Module, name in it, stage. What another version does not have is passed over.
TIMED = [
    ("lite0ca.data.dataset", "load", "table"),
    ("lite0ca.images.cache", "open_reader", "cache opened"),
    ("lite0ca.data.split", "for_training", "split"),
    ("lite0ca.data.split", "without_bad_images", "every photo read once"),
    ("lite0ca.data.split", "find_groups", "near-duplicates"),
    ("lite0ca.training.state", "State.new", "network, optimiser"),
    ("lite0ca.training.state", "State.start_from_weights", "weights"),
    ("lite0ca.images.photos", "Photos.find_scenes", "scenes"),
    ("lite0ca.training.fit", "train_loader", "loaders made"),
    ("lite0ca.training.fit", "score_loader", "loaders made"),
    ("lite0ca.images.delivery", "Loader.started", "loader processes begun"),
    ("lite0ca.training.run_folder", "Record.begin", "run folder"),
    ("lite0ca.training.fit", "warm_up", "device warmed up"),
]
LAST = [
    ("lite0ca.training.fit", "outcome", "else, at the end"),
    ("lite0ca.training.outcome", "know_the_training_photos", "training photos looked at"),
    ("lite0ca.training.outcome", "answered", "test photos answered"),
    ("lite0ca.evaluation.scoring", "scores_of", "scores"),
    ("lite0ca.evaluation.scoring", "write_scores", "scores written and drawn"),
    ("lite0ca.training.outcome", "write_page", "page"),
    ("lite0ca.training.outcome", "write_card", "card"),
    ("lite0ca.training.run_folder", "draw_curves", "curves drawn"),
    ("lite0ca.training.run_folder", "images_per_s", "speed of the network"),
]
START, IMPORTS, WAIT, ELSE = "Python, flags", "imports", "first batch awaited", "else"
TOTAL = "to the first step"


class Stages:
    """Wall and CPU seconds of named stages of the main thread; one inside another is its own."""

    def __init__(self, began: float):
        self.found, self.stack = {}, [ELSE]
        self.at = began, 0.0

    def count(self) -> None:
        """What has passed since the last call belongs to the stage that is on."""
        now = time.monotonic(), time.process_time()
        wall, cpu = self.found.get(self.stack[-1], (0.0, 0.0))
        self.found[self.stack[-1]] = (wall + now[0] - self.at[0], cpu + now[1] - self.at[1])
        self.at = now

    @contextlib.contextmanager
    def on(self, name: str):
        self.count()
        self.stack.append(name)
        try:
            yield
        finally:
            self.count()
            self.stack.pop()

    def time(self, module: str, path: str, stage: str) -> None:
        """Have a function's seconds counted as those of a stage."""
        try:
            owner = importlib.import_module(module)
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            function = getattr(owner, name)
        except (ImportError, AttributeError):
            return

        @functools.wraps(function)
        def timed(*arguments, **named):
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            with self.on(stage):
                return function(*arguments, **named)

        setattr(owner, name, timed)


class Done(BaseException):
    """The second step is done."""


def measured(answer: str, began: str, way: str, argv: list[str]) -> None:
    """In a process of its own: train, and write what was found as JSON; `one_run` has the ways."""
    stages = Stages(float(began))
    stages.stack = [START]
    found = {"steps": []}
    import lite0ca.commands.train as command
    from lite0ca.__main__ import parse

    from_flags = command.from_flags

    def instrumented(typed):
        config = from_flags(typed)
        as_the_command = getattr(command, "nothing_collected", contextlib.nullcontext)
        with stages.on(IMPORTS), as_the_command():
            from lite0ca.machine import device

            getattr(device, "begin", str)(config.device)
            import lite0ca.images.augmentation
            import lite0ca.training.fit
        for one in TIMED:
            stages.time(*one)
        if way == "cold":
            lite0ca.training.fit.warm_up = lambda *_: None
        instrument_steps(stages, found, way == "end")
        stages.stack = [ELSE]
        return config

    command.from_flags = instrumented
    function, typed = parse(["train", *argv], None)
    with contextlib.suppress(Done):
        function(**typed)
        stages.count()
        found["end"] = stages.found
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def instrument_steps(stages: Stages, found: dict, to_end: bool) -> None:
    import torch

    from lite0ca.images.loaders import Stream
    from lite0ca.training import epoch

    of_epoch, train_step = Stream.of_epoch, epoch.train_step

    def timed_batches(self, *arguments):
        batches = of_epoch(self, *arguments)
        while True:
            with stages.on(WAIT):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def timed_step(*arguments):
        if not found["steps"]:
            stages.count()
            found["first"] = dict(stages.found)
            found["loaders"] = cpu_of_children()
        began = time.monotonic()
        answer = train_step(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found["steps"].append(time.monotonic() - began)
        if len(found["steps"]) == 2:
            if not to_end:
                raise Done
            for one in LAST:
                stages.time(*one)
        if len(found["steps"]) >= 2:  # the last one counts
            stages.found, stages.at = {}, (time.monotonic(), time.process_time())
        return answer

    Stream.of_epoch, epoch.train_step = timed_batches, timed_step


def cpu_of_children() -> float:
    """CPU seconds of the processes that this one has started and that are not done yet."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def one_run(checkout: Path, flags: list[str], way: str = "step", compiled: str = "") -> dict:
    """What `measured` finds with the package of a checkout.

    `way` is "step": two steps, "cold": those without a warm-up of the device, or "end": all.
    `compiled` is a folder for Python's compiled files, so that none is written into a checkout.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        environment = os.environ | {"PYTHONPATH": str(checkout), "NO_ALBUMENTATIONS_UPDATE": "1"}
        if compiled:
            environment |= {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, __file__, "--measured", str(answer), str(time.monotonic())]
        command += [way, *flags, "--output-dir", folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not answer.exists():
            sys.exit(f"{checkout}: {done.stderr.strip() or done.returncode}")
        return json.loads(answer.read_text(encoding="utf-8"))


def table(runs: dict[str, list[dict]], part: str, total: str) -> None:
    """Medians over the runs of each checkout, side by side."""
    names = list(dict.fromkeys(name for of in runs.values() for run in of for name in run[part]))
    print(f"{'':26}" + "".join(f"{name:>12} wall    CPU  share" for name in runs))
    sums = {
        name: [tuple(map(sum, zip(*run[part].values()))) for run in of] for name, of in runs.items()
    }

    def row(title: str, values: dict[str, list]) -> None:
        line = f"{title:26}"
        for name, pairs in values.items():
            wall, cpu = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
            share = statistics.median(p[0] / s[0] for p, s in zip(pairs, sums[name]))
            line += f"{wall:17.2f} {cpu:6.2f} {share:6.0%}"
        print(line)

    for stage in names:
        row(stage, {n: [run[part].get(stage, (0, 0)) for run in of] for n, of in runs.items()})
    row(total, sums)
    if len(runs) == 2:
        (old_wall, old_cpu), (wall, cpu) = (
            [statistics.median(pair[i] for pair in pairs) for i in (0, 1)]
            for pairs in sums.values()
        )
        names = " / ".join(reversed(runs))
        print(f"{names}: {wall / old_wall:.2f} of the time, {cpu / old_cpu:.2f} of the CPU's")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False, epilog="Other flags are train's."
    )
    parser.add_argument("--before", type=Path, help="a checkout that takes turns with this one")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--end", action="store_true", help="train to the end, and time that too")
    typed, flags = parser.parse_known_args()
    checkouts = {"before": typed.before.resolve()} if typed.before else {}
    checkouts["now"] = HERE
    runs = {name: [] for name in checkouts}
    way = "end" if typed.end else "step"
    with tempfile.TemporaryDirectory() as compiled:
        for number in range(typed.rounds + 1):
            for name, checkout in checkouts.items():
                found = one_run(checkout, flags, way, compiled)
                if number:  # the first one fills caches: the disk's, Python's, that of the photos
                    runs[name].append(found)
    print(f"train {' '.join(flags)}: seconds, median of {typed.rounds}")
    table(runs, "first", TOTAL)
    steps_of(runs)
    if typed.end:
        print()
        table(runs, "end", "from the last step")


def steps_of(runs: dict[str, list[dict]]) -> None:
    """What loader processes have done before the first step, and how long two steps take."""
    for name, of in runs.items():
        loaders, *steps = (
            statistics.median(values)
            for values in zip(*([run["loaders"], *run["steps"][:2]] for run in of))
        )
        print(f"{name}: loader processes until then {loaders:.2f} CPU s; ", end="")
        print("steps 1 and 2: " + ", ".join(f"{step:.2f} s" for step in steps))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measured"]:
        answer, began, way, *argv = sys.argv[2:]
        measured(answer, began, way, argv)
    else:
        main()
