"""A run taken up again: its settings, its data, its fastest file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lite0ca.data import dataset, split
from lite0ca.data.metadata_csv import read_made_split
from lite0ca.errors import InputError, opening, printable
from lite0ca.formats.checkpoint import BEST, EXPORTS, REPORT, TABLE, digest, load_best, run_folder
from lite0ca.formats.opening import FORMATS, format_of
from lite0ca.formats.report import INSTEAD, read_report, refuse_replaced
from lite0ca.machine.device import device_of
from lite0ca.settings.config import Config

WHERE = ("metadata", "data_dir", "label2id")  # settings that say where the data lies


def data_of(run: str, metadata: dict, config: Config) -> dataset.DataSet:
    """The data that a model is asked about, with the run's own split where it has none."""
    trained = metadata
    if format_of(run):
        # An exported file does not say where the data lay; the run that it lies in does.
        trained = checkpoint_beside(run)
        if not (config.metadata or config.data_dir):
            lay = {key: trained["config"].get(key) for key in WHERE} if trained else {}
            config = replace(config, **lay)
    sha256 = trained.get("sha256", {}).get(TABLE)
    return with_known_split(dataset.load(config, metadata["label2id"]), run, sha256)


def fastest_exported_file(run: str, typed: dict) -> str:
    """The exported file that answers as the run does and was fastest, if its runtime is here.

    The run itself without one, where the files take pictures of another size than the run was
    trained on, or where another device, precision or size was typed. Raises `InputError` if the
    report is damaged, or the file is not the one that was proved.
    """
    report = Path(run) / EXPORTS / REPORT
    if any(typed.get(name) for name in ("device", "amp", "image_size")) or not report.is_file():
        return run
    if device_of("auto").type != "cpu":
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
        if made["image_size"] != load_best(run)["config"]["image_size"]:
            return run
        same = [row for row in made["files"] if row["file"] and row["passed"]]
        same = [row for row in same if row["form"] in FORMATS]  # float32, resized by us
        for row in sorted(same, key=lambda row: row["latency_ms"]):
            path = report.parent / Path(row["file"]).name
            there = format_of(path) == row["form"] and path.is_file()
            if there and FORMATS[row["form"]].is_installed(row["form"]):
                refuse_replaced(report.parent, row)
                speed = f"{row['times_torch']:.1f} x torch's speed"
                print(printable(f"answered by {path} ({speed} when exported)"))
                return str(path)
    return run


def settings_of(run: str, metadata: dict, typed: dict) -> Config:
    """The settings of a run, with what was typed for this command over them."""
    # What only training uses may not fit what is typed now: --start-size, a smaller --image-size.
    settings = dict(metadata["config"]) | {"resume": None, "weights": None, "start_size": None}
    if typed.get("metadata") or typed.get("data_dir"):
        settings |= dict.fromkeys(WHERE)
    # Its machine may not be this one.
    settings |= {"device": "auto", "amp": None, "num_workers": Config.num_workers}
    return Config.of_stored(settings, **typed)


def checkpoint_beside(file: str) -> dict:
    """The best checkpoint of the run that an exported file lies in; empty if it lies in none."""
    path = run_folder(file) / BEST
    return load_best(path) if path.is_file() else {}


def with_known_split(data: dataset.DataSet, run: str, sha256: str | None) -> dataset.DataSet:
    """The run's own split for data without one that the run was trained on.

    A split made in training is not in the data; scoring all of it would score training images.
    `sha256` is of the table that holds it, None of runs that kept none. Raises `InputError`.
    """
    table = run_folder(run) / TABLE
    # Of a split with train alone, training makes valid: that one is in the table only.
    has_valid = "split" in data.rows and (data.rows["split"] == "valid").any()
    if has_valid or not table.is_file():
        return data
    made = split.with_split_of(data, read_made_split(table, sha256))
    if made.rows.empty:
        return data
    print(printable(f"the run was trained on images of {data.root}: its own split is used"))
    return made


def choose(data: dataset.DataSet, part: str | None) -> tuple[dataset.DataSet, str]:
    """(the images to score, name of the part)."""
    if "split" not in data.rows:
        if part not in (None, "all"):
            raise InputError(f"--split {part}: the data has no split; leave it out to score all")
        return data, "all"
    part = part or "test"
    rows = data.rows if part == "all" else data.part(part)
    if rows.empty:
        counts = ", ".join(f"{n} {name}" for name, n in data.rows["split"].value_counts().items())
        raise InputError(f"--split {part}: the data has no such images (it has {counts})")
    return replace(data, rows=rows.reset_index(drop=True)), part
