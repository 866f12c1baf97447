"""What a batch runs: the notebook with the parameters of each preset, seed and fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lite0ca.data.dataset import SAMPLE
from lite0ca.data.sources import Source, find
from lite0ca.data.split import refuse_too_few_for_folds
from lite0ca.errors import InputError, opening
from lite0ca.files.json_files import json_object
from lite0ca.files.names import cut
from lite0ca.files.reading import read_bytes
from lite0ca.settings.config import MOST_FOLDS, Config, fold_of
from lite0ca.settings.fields import unknown
from lite0ca.settings.flags import assignments
from lite0ca.settings.presets import PRESETS


@dataclass(frozen=True)
class Job:
    """One run of the notebook."""

    preset: str
    seed: int | None  # None: the preset's own
    source: Path
    folder: Path  # where run folders go
    parameters: dict  # what papermill injects
    fold: str | None = None  # as in 1/5

    @property
    def labels(self) -> dict:
        named = {"preset": self.preset, "seed": self.seed, "fold": self.fold}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def title(self) -> str:
        _, *others = self.labels.items()
        return ", ".join([self.preset, *(f"{name} {value}" for name, value in others)])

    @property
    def name(self) -> str:
        """Of the preset and the seed, in the names of files."""
        return self.preset if self.seed is None else f"{self.preset}_seed{self.seed}"

    @property
    def notebook(self) -> Path:
        """The executed notebook, until it moves into its run folder."""
        fold = "" if self.fold is None else f"_fold{self.fold.replace('/', 'of')}"
        return self.folder / f"{cut(self.source.stem)}_{self.name}{fold}.ipynb"


def jobs_of(
    presets, seeds, assigned, metadata, data_dir, source: Path, folder: Path, folds=None
) -> list[Job]:
    """Every preset with every seed and fold, each once.

    Raises `InputError` for a mistake in any of them.
    """
    if folds is not None and not 2 <= folds <= MOST_FOLDS:
        raise InputError(f"--folds must be from 2 to {MOST_FOLDS}, not {folds}")
    if folds and {"fold", "all"} & set(assignments(list(assigned))):
        raise InputError("--folds: trains every fold; leave fold and all out of --set")
    if seeds and "seed" in assignments(list(assigned)):
        raise InputError("--set seed=...: --seeds says that already; give one of them")
    jobs = []
    for preset in dict.fromkeys(presets):
        if preset not in PRESETS:
            raise InputError(f"preset {unknown(preset, PRESETS)}")
        for seed in dict.fromkeys(seeds) or [None]:
            for fold in [f"{k}/{folds}" for k in range(1, folds + 1)] if folds else [None]:
                parameters = parameters_of(preset, seed, assigned, metadata, data_dir, folder, fold)
                jobs.append(Job(preset, seed, source, folder, parameters, fold))
    refuse_mistakes(jobs)
    return jobs


def refuse_mistakes(jobs: list[Job]) -> None:
    """Raise `InputError` now, not after a kernel has started for each preset."""
    configs = {}
    for job in jobs:
        given = job.parameters
        named = {name: given[name] for name in ("metadata", "data_dir") if given[name]}
        config = Config.of(job.preset, **{**named, **given["overrides"]})
        if config.fold and config.valid_limit:
            raise InputError(
                f"--folds: {job.preset} scores {config.valid_limit} photos of a fold, and each "
                "photo needs an answer; add --set valid_limit=none"
            )
        configs[config.metadata, config.data_dir] = config
    for config in configs.values():  # every file below a folder is looked at: once, not a job
        if config.metadata != SAMPLE:
            source = find(config)
            if config.fold:
                refuse_rare(source, fold_of(config.fold)[1])


def refuse_rare(source: Source, folds: int) -> None:
    """Raise `InputError` for a class with fewer photos than folds: each of them would say so."""
    rows = source.rows()
    rows = rows[rows["split"] != "test"] if "split" in rows else rows
    if len(rows):
        refuse_too_few_for_folds(rows, folds)


def with_parameters(file: Path) -> Path:
    """The file, if it is a notebook that takes parameters; raises `InputError`."""
    content = read_bytes(file)
    with opening(f"--notebook {file}", "is not a notebook"):
        cells = json_object(content)["cells"]
        tags = [tag for cell in cells for tag in cell["metadata"].get("tags", [])]
    if "parameters" not in tags:
        raise InputError(f"--notebook {file}: has no cell tagged `parameters` to set")
    return file


def notebook_file(name: str) -> Path:
    """The notebook of a name like 03_train or of a path; raises `InputError`."""
    if Path(name).suffix == ".ipynb":
        if Path(name).is_file():
            return with_parameters(Path(name))
        raise InputError(f"--notebook {name}: there is no such file")
    folders = [Path("notebooks"), Path(__file__).resolve().parents[2] / "notebooks"]
    known = [file for folder in folders for file in sorted(folder.glob("*.ipynb"))]
    for file in known:
        if file.stem == name:
            return file
    if not known:
        raise InputError(f"--notebook {name}: no notebooks/ here; give the path of the .ipynb")
    raise InputError(f"--notebook: {unknown(name, [file.stem for file in known])}")


def parameters_of(preset, seed, assigned, metadata, data_dir, folder: Path, fold=None) -> dict:
    """What papermill injects. Paths are absolute: the notebook may work elsewhere."""
    settings = assignments(list(assigned)) | ({} if seed is None else {"seed": seed})
    settings |= {} if fold is None else {"fold": fold}
    for name in ("output_dir", "resume", "preset"):
        if name in settings:
            raise InputError(f"--set {name}=...: batch has a way of its own to say that")
    named = {name: absolute(path) if path else None for name, path in
             (("metadata", metadata), ("data_dir", data_dir))}  # fmt: skip
    return {
        "preset": preset,
        "overrides": {"output_dir": str(folder), **settings},
        **named,
    }


def absolute(path: str) -> str:
    return path if path == SAMPLE else str(Path(path).absolute())
