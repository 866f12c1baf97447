"""Macro-F1 on test photos and on photos from elsewhere: lite0ca's presets beside other tools.

    python benchmarks/peers_accuracy.py --metadata my/metadata.csv --outside other/metadata.csv
    python benchmarks/peers_accuracy.py --metadata my/metadata.csv --only fastai --seeds 2

Every tool learns from the same photos, with the same split, from the same ImageNet weights of
Lite0, on the same cores, in about the same CPU time (`--minutes`; lite0ca's presets take what they
take), each as its own guide says (`peers_recipes.py`). Test photos choose nothing. Each run is a
row of `benchmarks/study/peers_accuracy.csv`, and what stands there is not done again: one seed of
one tool can be run alone, and elsewhere, and each with other minutes as well.

The peers are installed for this benchmark alone, by `make peers-accuracy`; one that is missing is
named and left out. AutoGluon asks for an older torch and timm, so it has a Python of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
from peers_recipes import NETWORK, clocks
from safetensors.torch import save_file

from lite0ca import __version__
from lite0ca.data import dataset
from lite0ca.errors import InputError
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.evaluation.predictions import answers_of
from lite0ca.files.whole_file import whole
from lite0ca.machine.processor import cpu_name
from lite0ca.model.network import build_model
from lite0ca.model.weights import packaged
from lite0ca.settings.config import Config
from lite0ca.settings.presets import PRESETS
from lite0ca.settings.systems import SYSTEMS

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks/study/peers_accuracy.csv"
OURS = [f"lite0ca {name}" for name in ("fast", "robust", "best") if name in PRESETS]
# The package whose version a row names, and its program's name of the recipe.
PEERS = {
    "fastai": ("fastai", "fastai"),
    "timm": ("timm", "timm_plain"),
    "timm, mixup": ("timm", "timm_mixup"),
    "ultralytics": ("ultralytics", "ultralytics"),
    "autogluon": ("autogluon.multimodal", "autogluon"),
}
VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]), m.version('torch'))"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metadata", required=True, help="CSV with path,label,split")
    parser.add_argument("--outside", help="CSV of photos from elsewhere, all of them are asked")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--minutes", type=float, default=18, help="CPU minutes of a peer (default: 18)"
    )
    parser.add_argument("--epochs", type=int, help="of a peer, in place of minutes")
    parser.add_argument("--image-size", type=int, default=224, help="of a peer")
    parser.add_argument("--batch-size", type=int, default=32, help="of a peer")
    parser.add_argument("--cores", type=int, default=2, help="for each run (default: 2)")
    parser.add_argument("--workers", type=int, default=2, help="loader processes (default: 2)")
    parser.add_argument("--limit", type=int, help="photos of each class and split: to try it out")
    parser.add_argument("--lite0ca-flags", default="", help="more flags for lite0ca: to try it out")
    parser.add_argument("--autogluon-python", type=Path, metavar="FILE", default=sys.executable)
    parser.add_argument("--csv", type=Path, default=RESULTS, help="where the rows are kept")
    return parser


def main() -> int:
    settings = arguments().parse_args()
    if settings.limit and settings.csv == RESULTS:
        sys.exit("--limit: a run on fewer photos is no result; name another file with --csv")
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        photos = Photos(settings, Path(scratch))
        for seed in settings.seeds:  # so that a study that is cut short has some of every tool
            for tool in settings.only:
                minutes = None if tool in OURS else settings.minutes
                rows = pd.read_csv(settings.csv) if settings.csv.is_file() else pd.DataFrame()
                if is_done(rows, tool, seed, minutes):
                    continue
                place = Path(scratch) / "run"
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                print(f"{tool}, seed {seed}", flush=True)
                train = ours if tool in OURS else theirs
                if row := train(tool, seed, settings, photos, place):
                    row = {"tool": tool, "seed": seed, "minutes": minutes, **row}
                    rows = pd.concat([rows, pd.DataFrame([row])], ignore_index=True)
                    with whole(settings.csv) as file:
                        rows.to_csv(file, index=False, float_format="%.6g")
                failed |= not row
    if settings.csv.is_file():
        print(summary(pd.read_csv(settings.csv)).to_string())
    return int(failed)


def is_done(rows: pd.DataFrame, tool: str, seed: int, minutes: float | None) -> bool:
    """Whether there is a row of this run; a preset's time is its own, a peer's is asked for."""
    if rows.empty:
        return False
    same = (rows["tool"] == tool) & (rows["seed"] == seed)
    return bool((same & (rows["minutes"] == minutes if minutes else True)).any())


class Photos:
    """The photos in folders as every tool reads them, those that are asked, and what they show."""

    def __init__(self, settings, scratch: Path):
        data = dataset.load(Config(metadata=os.path.abspath(settings.metadata)))
        if "split" not in data.rows:
            raise InputError(f"{settings.metadata}: give a column split, the same for every tool")
        self.labels = sorted(data.label2id)
        rows = limited(data.rows, settings.limit)
        self.folder, self.table = scratch / "photos", scratch / "metadata.csv"
        for number, (file, label, split) in enumerate(
            zip(rows["absolute_path"], rows["label"], rows["split"])
        ):
            target = self.folder / split / label / f"{number}_{Path(file).name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.abspath(file))
        kept = [name for name in ("label", "split", "group") if name in rows]
        table = rows[kept].assign(path=rows["absolute_path"].map(os.path.abspath))
        table.to_csv(self.table, index=False)
        self.asked = {"test": table[table["split"] == "test"]}
        if settings.outside:
            elsewhere = dataset.load(Config(metadata=os.path.abspath(settings.outside))).rows
            unknown = ~elsewhere["label"].isin(self.labels)
            if unknown.any():
                print(f"{settings.outside}: {unknown.sum()} photos of other classes are left out")
            elsewhere = limited(elsewhere[~unknown].assign(split="test"), settings.limit)
            elsewhere["path"] = elsewhere["absolute_path"].map(os.path.abspath)
            self.asked["outside"] = elsewhere[["path", "label", "split"]]
        self.hub = scratch / "hub"
        put_weights(self.hub)

    def scores(self, answers: dict[str, list[str]]) -> dict:
        """{test_f1, test_accuracy, test_images, outside_f1, ...} of the labels that were given."""
        found = {}
        for name, rows in self.asked.items():
            truth, said = rows["label"].to_numpy(), pd.Series(answers[name]).to_numpy()
            found |= {f"{name}_f1": macro_f1(truth, said)}
            found |= {f"{name}_accuracy": (truth == said).mean(), f"{name}_images": len(truth)}
        return found


def limited(rows: pd.DataFrame, most: int | None) -> pd.DataFrame:
    rows = rows.reset_index(drop=True)
    return rows.groupby(["label", "split"]).head(most).reset_index(drop=True) if most else rows


def put_weights(hub: Path) -> None:
    """Google's weights, of the package that lite0ca takes them from, where timm looks for them."""
    backbone = build_model(SYSTEMS["EfficientNet_Lite0"], 1000).backbone
    _, state = packaged(backbone, NETWORK.partition(".")[0])
    repository = hub / f"models--timm--{NETWORK}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("packaged")
    (repository / "snapshots/packaged").mkdir(parents=True)
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        repository / "snapshots/packaged/model.safetensors",
        metadata={"format": "pt"},
    )


def environment(photos: Photos, place: Path) -> dict[str, str]:
    """Of a run: no network, no settings in the home folder, the cores that it is given."""
    own = {name: v for name, v in os.environ.items() if not name.startswith(("OMP_", "MKL_"))}
    own |= {"HF_HUB_CACHE": str(photos.hub), "HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    own |= {"YOLO_CONFIG_DIR": str(place), "YOLO_OFFLINE": "true", "MPLBACKEND": "agg"}
    return own | {"XDG_CACHE_HOME": str(place)}


def ours(tool: str, seed: int, settings, photos: Photos, place: Path) -> dict | None:
    """A preset as a user trains it: the command, in a process of its own."""
    command = ["-m", "lite0ca", "train", "--preset", tool.split()[1], "--seed", str(seed)]
    command += ["--metadata", str(photos.table), "--output-dir", str(place / "results")]
    command += ["--num-workers", str(settings.workers), *settings.lite0ca_flags.split()]
    own = environment(photos, place) | {"OMP_NUM_THREADS": str(settings.cores)}
    own["PYTHONPATH"] = str(REPOSITORY)
    began = clocks()
    if not ended([sys.executable, *command], own, place):
        return None
    seconds = [now - then for now, then in zip(clocks(), began)]
    (run,) = (place / "results").iterdir()
    answers = {}
    for name, rows in photos.asked.items():
        rows.assign(split="test").to_csv(place / f"{name}.csv", index=False)
        found = answers_of(str(run), "test", metadata=str(place / f"{name}.csv"))
        by_path = dict(zip(map(str, found["absolute_path"]), found["answer"]))
        answers[name] = [by_path[path] for path in rows["path"]]
    about = {"version": __version__, "torch": torch.__version__}
    about |= {"epochs": json.loads((run / "metrics.json").read_text())["epochs"]}
    config = json.loads((run / "config.json").read_text())
    about |= {name: config[name] for name in ("image_size", "batch_size")}
    return about | conditions(settings, seconds) | photos.scores(answers)


def theirs(tool: str, seed: int, settings, photos: Photos, place: Path) -> dict | None:
    """A peer by its recipe, in a process of its own."""
    package, recipe = PEERS[tool]
    # Not resolved: what makes it an environment's Python is where the link lies.
    python = settings.autogluon_python if tool == "autogluon" else sys.executable
    python = os.path.abspath(python)
    if not (versions := versions_in(python, package)):
        print(f"{tool}: {package} is not installed in {python}; left out")
        return None
    job = {"folder": str(photos.folder), "labels": photos.labels, "seed": seed}
    job |= {"image_size": settings.image_size, "batch_size": settings.batch_size}
    job |= {"cpu_seconds": 60 * settings.minutes, "epochs": settings.epochs}
    job |= {"workers": settings.workers, "cores": settings.cores}
    job |= {"asked": {name: list(rows["path"]) for name, rows in photos.asked.items()}}
    file = place / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    program = str(Path(__file__).with_name("peers_recipes.py"))
    if not ended([python, program, recipe, str(file)], environment(photos, place), place):
        return None
    found = json.loads(file.with_suffix(".answers").read_text(encoding="utf-8"))
    about = {"version": versions[0], "torch": versions[1], "epochs": found["epochs"]}
    about |= {"image_size": found["image_size"], "batch_size": settings.batch_size}
    return about | conditions(settings, found["seconds"]) | photos.scores(found["answers"])


def versions_in(python: str, package: str) -> list[str]:
    """Those of a package and of torch in another Python; none if it is not there."""
    if not os.path.exists(python):
        return []
    asked = subprocess.run([python, "-c", VERSION, package], capture_output=True, text=True)
    return asked.stdout.split()


def ended(command: list[str], own: dict[str, str], place: Path) -> bool:
    """Whether it went well; else the end of what it said is printed."""
    done = subprocess.run(command, env=own, cwd=place, capture_output=True, text=True)
    if done.returncode:
        print(f"failed and left out:\n{(done.stdout + done.stderr)[-2000:]}", file=sys.stderr)
    return not done.returncode


def conditions(settings, seconds: list[float]) -> dict:
    return {
        "wall_seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "cores": settings.cores,
        "cpu": cpu_name(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and deviation over the seeds, a row a tool and its minutes, the best on test first."""
    scores = [name for name in ("test_f1", "outside_f1", "cpu_seconds") if name in rows]
    table = rows.groupby(["tool", "minutes"], dropna=False)[scores].agg(["mean", "std", "count"])
    return table.sort_values(("test_f1", "mean"), ascending=False).round(3)


if __name__ == "__main__":
    sys.exit(main())
