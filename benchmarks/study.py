"""Does attention help, and does the model hold outside the lab? Every arm over seeds, as CSV.

    python benchmarks/study.py --metadata my/metadata.csv

Each run is the package's own `fit`; what it answers on the test split, as it is and with
backgrounds changed, is kept in `benchmarks/study/`, and a run that stands there is not done again,
so the study can stop and go on at any time. Notebook 07_study reads those files.

Split "given" is the data's own. Two are made here. "field": photos with a plain background train
and validate, all others (taken in fields) test, as someone meets who trains on pictures of a lab.
"scenes": half of the healthy fields train too, so that in training every field is healthy; the
other half and all diseased photos from fields test. With `--outside` the runs of split "given" are
asked about photos of another set as well, split "outside".
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lite0ca.adaptation.without_labels import adapt_run
from lite0ca.data import dataset
from lite0ca.evaluation import calibration, comparison
from lite0ca.evaluation.color_baseline import color_answers
from lite0ca.evaluation.metrics import macro_f1
from lite0ca.evaluation.missed_disease import missed_disease
from lite0ca.evaluation.predictions import answers_of, with_plain_background
from lite0ca.files.whole_file import whole
from lite0ca.images.background import KINDS
from lite0ca.machine.processor import cpu_name
from lite0ca.settings.config import Config
from lite0ca.settings.names import is_healthy
from lite0ca.training.fit import fit

STUDY = Path(__file__).resolve().parent / "study"
# One size throughout, since self-attention has positions; otherwise the preset `fast`.
SHORT = {"preset": "fast", "start_size": None, "image_size": 160, "epochs": 4}
PHOTO = ["path", "label", "group", "truth"]


@dataclass(frozen=True)
class Arm:
    """What is trained, on which split, with how many seeds."""

    settings: dict
    split: str = "given"
    seeds: int = 3
    recipe: dict = field(default_factory=lambda: SHORT)

    def config(self, seed: int, metadata: Path, folder: str) -> Config:
        where = {"metadata": str(metadata), "output_dir": folder, "seed": seed}
        return Config.of(**{**self.recipe, **self.settings, **where})


ARMS = {
    "none": Arm({"attention": "none"}, seeds=5),
    "ca": Arm({}, seeds=5),
    "eca": Arm({"attention": "eca"}),
    "bot": Arm({"attention": "bot"}),
    "ca+bot": Arm({"attention": "ca+bot"}),
    "ca, reduction 8": Arm({"reduction": 8}),
    "ca, reduction 32": Arm({"reduction": 32}),
    "fast": Arm({}, recipe={"preset": "fast"}),
    "robust": Arm({}, recipe={"preset": "robust"}),
    "best": Arm({}, recipe={"preset": "best"}),
    "best, all": Arm({"all": True}, recipe={"preset": "best"}),
    "basic": Arm({}, recipe={"preset": "basic"}),
    "basic, none": Arm({"attention": "none"}, recipe={"preset": "basic"}),
    "none, field": Arm({"attention": "none"}, "field"),
    "ca, field": Arm({}, "field"),
    "robust, field": Arm({}, "field", recipe={"preset": "robust"}),
    "ca, scenes": Arm({}, "scenes"),
    "robust, scenes": Arm({}, "scenes", recipe={"preset": "robust"}),
}
FLOOR = "six colour numbers"


def write(table: pd.DataFrame, path: Path) -> None:
    with whole(path) as file:
        table.to_csv(file, index=False, float_format="%.9g")


def made_split(name: str, data: dataset.DataSet, folder: Path) -> Path:
    """The CSV of split "field" or "scenes"."""
    plain = with_plain_background(data, SHORT["image_size"]).rows["path"]
    rows = data.rows.assign(path=data.rows["absolute_path"].map(str))
    is_plain = data.rows["path"].isin(plain)
    # Photos of one leaf stay together: in the field, if any of them was taken there.
    trains = is_plain & ~rows["group"].isin(rows["group"][~is_plain])
    if name == "scenes":
        is_well = rows["label"].map(is_healthy)
        fields = np.sort(rows["group"][~trains & is_well].unique())
        known = np.random.default_rng(0).permutation(fields)[: len(fields) // 2]
        trains |= rows["group"].isin(known) & is_well
    rows["split"] = np.where(trains, rows["split"].replace("test", "train"), "test")
    write(rows[["path", "label", "group", "split"]], folder / f"{name}.csv")
    return folder / f"{name}.csv"


def answers_to(run: Path, kinds: list[str], label2id: dict) -> dict[str, pd.Series]:
    """kind of background -> class number, confidence and whether it is sure, by path."""
    found = {}
    for kind in kinds:
        rows = answers_of(run, "test", background=None if kind == "test" else kind)
        rows = rows.assign(answer=rows["answer"].map(label2id), path=rows["path"].map(short))
        found[kind] = rows.set_index("path")[["answer", "confidence", "sure"]]
    return found


def answers_outside(run: Path, metadata: Path, label2id: dict) -> tuple[dict, pd.DataFrame]:
    """As `answers_to`, to all photos of another set; and those photos as `test_of` has them."""
    rows = answers_of(str(run), "all", metadata=str(metadata))
    rows = rows.assign(path=rows["path"].map(short), truth=rows["label"].map(label2id))
    rows["answer"] = rows["answer"].map(label2id)
    return {"test": rows.set_index("path")[["answer", "confidence", "sure"]]}, rows


def short(path: str) -> str:
    """class/file, wherever the data lies."""
    return "/".join(Path(path).parts[-2:])


def test_of(data: dataset.DataSet) -> pd.DataFrame:
    """The test photos, with short paths and class numbers as `truth`."""
    rows = data.part("test")
    return rows.assign(path=rows["path"].map(short), truth=rows["label"].map(data.label2id))


def scores(found: dict, truth: pd.Series, label2id: dict) -> dict:
    """Macro-F1 of each kind of background; calibration and missed disease on the test split."""
    row = {}
    for kind, rows in found.items():
        name = "test" if kind == "test" else f"background_{kind}"
        row[f"{name}_f1"] = macro_f1(truth[rows.index].to_numpy(), rows["answer"].to_numpy())
    test = found["test"]
    right = (truth[test.index] == test["answer"]).to_numpy()
    row["test_accuracy"] = right.mean()
    healthy = [number for label, number in label2id.items() if is_healthy(label)]
    sure = test["sure"].to_numpy() if "sure" in test else None
    known = truth[test.index].to_numpy(), test["answer"].to_numpy()
    if missed := missed_disease(*known, healthy, sure=sure):
        row["diseased_called_healthy"] = missed["share"]
        if sure is not None:
            row["diseased_surely_healthy"] = missed["surely"] / missed["diseased"]
    if "confidence" in test:
        known = test["confidence"].to_numpy()
        row["calibration_error"] = calibration.calibration_error(known, right)
        row["confidence"] = known.mean()
    return row


def keep(folder: Path, split: str, name: str, found: dict, photos: pd.DataFrame) -> None:
    """Add a run's answers to the table of its split: a row a photo, a column a kind."""
    file = folder / comparison.ANSWERS.format(split)
    table = pd.read_csv(file) if file.is_file() else photos
    columns = {
        f"{name} {kind}": table["path"].map(rows["answer"]).astype("Int64")
        for kind, rows in found.items()
    }
    table = table.drop(columns=list(columns), errors="ignore")  # of a run that was cut off here
    write(pd.concat([table, pd.DataFrame(columns)], axis=1), file)


def trained(
    name: str, seed: int, data: dataset.DataSet, metadata: Path, folder: Path, outside: Path | None
) -> list[dict]:
    """Train, ask, keep the answers; returns the row of the run.

    Where the test photos are of another place, a second row: adapted to them, without labels. With
    photos `outside` a row for these.
    """
    arm = ARMS[name]
    test = test_of(data)
    truth = test.set_index("path")["truth"]
    kinds = ["test", *(KINDS if arm.split == "given" else ())]
    with tempfile.TemporaryDirectory() as scratch:
        config = arm.config(seed, metadata, scratch)
        result = fit(config)
        found = {name: answers_to(result.run, kinds, data.label2id)}
        elsewhere = None
        if arm.split == "given" and outside:
            elsewhere = answers_outside(result.run, outside, data.label2id)
        if arm.split != "given":
            adapted = adapt_run(str(result.run), list(map(str, test["absolute_path"])), None)
            end = f", {arm.split}"
            found[f"{name.removesuffix(end)}, adapted{end}"] = answers_to(
                Path(adapted), kinds, data.label2id
            )
    for one, answers in found.items():
        keep(folder, arm.split, f"{one} {seed}", answers, test[PHOTO])
    names = ("epochs", "batch_size", "image_size", "start_size", "base_lr", "head_lr", "reduction")
    row = {"seed": seed, "split": arm.split, "preset": config.preset}
    row |= {"attention": config.system.attention, "parameters": result.metrics["num_params"]}
    row |= {key: getattr(config, key) for key in names} | {"reduction": config.system.reduction}
    row |= {"train_seconds": result.metrics["train_seconds"], "cpu": cpu_name()}
    row |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    valid = {name: result.metrics["valid_f1"]}  # not of what is adapted to other photos
    rows = [
        {"arm": one, **row, "valid_f1": valid.get(one), **scores(answers, truth, data.label2id)}
        for one, answers in found.items()
    ]
    if elsewhere:
        answers, photos = elsewhere
        there = {"arm": f"{name}, outside", **row, "split": "outside", "train_seconds": None}
        keep(folder, "outside", f"{there['arm']} {seed}", answers, photos[PHOTO])
        truth = photos.set_index("path")["truth"]
        rows.append(there | scores(answers, truth, data.label2id))
    return rows


def floor(data: dataset.DataSet, split: str, folder: Path) -> dict:
    """What six colour numbers know, as a row like the others."""
    test = test_of(data)
    answers = pd.Series(color_answers(data.part("train"), test)).map(data.label2id)
    found = {"test": pd.DataFrame({"answer": answers.to_numpy()}, index=test["path"])}
    keep(folder, split, f"{FLOOR} 0", found, test[PHOTO])
    truth = test.set_index("path")["truth"]
    return {"arm": FLOOR, "seed": 0, "split": split, **scores(found, truth, data.label2id)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metadata", required=True, help="with split and group")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--folder", type=Path, default=STUDY, help="where the CSV files are kept")
    parser.add_argument("--outside", type=Path, help="CSV of labelled photos of another place")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        given = Path(arguments.metadata).absolute()
        sources = {"given": given}
        data = {"given": dataset.load(Config(metadata=str(given)))}
        for split in sorted({ARMS[name].split for name in arguments.arms} - {"given"}):
            sources[split] = made_split(split, data["given"], Path(scratch))
            data[split] = dataset.load(Config(metadata=str(sources[split])))
        jobs = [(FLOOR, 0, split) for split in sources]
        # Seed by seed, so that a study that is cut short has some of every arm.
        for seed in range(1, 1 + max(ARMS[name].seeds for name in arguments.arms)):
            jobs += [(a, seed, ARMS[a].split) for a in arguments.arms if seed <= ARMS[a].seeds]
        for number, (name, seed, split) in enumerate(jobs, 1):
            runs = comparison.runs_of(folder)
            if ((runs["arm"] == name) & (runs["seed"] == seed) & (runs["split"] == split)).any():
                continue
            print(f"{number} of {len(jobs)}: {name}, seed {seed}", flush=True)
            if name == FLOOR:
                rows = [floor(data[split], split, folder)]
            else:
                rows = trained(name, seed, data[split], sources[split], folder, arguments.outside)
            runs = pd.concat([runs, pd.DataFrame(rows)], ignore_index=True)
            write(runs, folder / comparison.RUNS)
    print(comparison.summary(comparison.runs_of(folder)).to_string())


if __name__ == "__main__":
    main()
