"""Shared by the tests: the drawn sample, one tiny finished run, and where real photos lie."""

import atexit
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# The cache of photos must not fill the user's, nor a test find what another left there.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lite0ca-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
REPO = Path(__file__).resolve().parent.parent
RICE_LEAF = Path(os.environ.get("LITE0CA_RICE_LEAF", REPO.parent / "shared/data/rice_leaf"))
TRIES = int(os.environ.get("TRIES", "1"))  # of what takes long; `make trust` sets more
SLOW = pytest.mark.skipif(TRIES < 10, reason="takes long: make trust")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="names of descriptors, RLIMIT_FSIZE")
# Small enough for seconds: 64 pixels are a 2 x 2 feature map.
TINY = ["--epochs", "1", "--train-limit", "8", "--valid-limit", "4", "--image-size", "64"]
TINY += ["--batch-size", "4", "--num-workers", "0"]

# Seconds, where it matters little what is learned.
FAST = ["--epochs", "1", "--image-size", "32", "--batch-size", "4", "--num-workers", "0"]
FAST += ["--device", "cpu", "--model-name", "MobileNetV3_Small"]
# A network of 0.1 M parameters, where a real one would show no more.
LITTLE = {"backbone": "test_efficientnet"}

# Files with tests of ten seconds and more, and fixtures that take as long.
LONG = ("test_kaggle.py", "test_notebooks.py", "test_export.py", "test_web.py", "test_faults.py")
LONG += ("test_ranks.py", "test_batch.py")

# Curves that differ between two runs of one seed.
TIMES = {"seconds", "images_per_s", "data_wait_share"}


def outcome(run):
    """What must be equal to the bit: curves but for times, and both checkpoints' tensors."""
    import torch

    history = json.loads((run / "history.json").read_text())
    curves = {name: values for name, values in history.items() if name not in TIMES}
    best = torch.load(run / "best_model.pt", weights_only=True)["model"]
    last = torch.load(run / "last.pt", weights_only=True)["model"]
    return curves, best, last


def listed(folder: Path) -> list[str]:
    """All files and folders inside, by their path from the folder."""
    walked = os.walk(folder)  # rglob fails where a folder goes meanwhile
    inside = [Path(above, name) for above, *both in walked for names in both for name in names]
    return sorted(str(path.relative_to(folder)) for path in inside)


def assert_equal(one, two):
    import torch

    (curves, best, last), (other_curves, other_best, other_last) = outcome(one), outcome(two)
    assert curves == other_curves
    for ours, theirs in ((best, other_best), (last, other_last)):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def pytest_collection_modifyitems(items):
    """With pytest-xdist what is long comes first: a worker that is done takes from the end, so none
    is left alone with a long test, and no two make the fixtures of one file.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session", autouse=True)
def speed_is_measured_briefly():
    """Half a second in each of the suite's many trainings, a second a form of each export."""
    from lite0ca.speed import timing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "FPS_SECONDS", 0.0)
        patch.setattr("lite0ca.export.verification.SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_power_cut_is_to_be_outlived():
    """Each whole file waits for the disk; children that tests kill still do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def garbage_is_sought_among_what_is_new():
    """Each run of ours collects garbage: half a second in a process with all these modules."""
    gc.collect()
    gc.freeze()


def made_once(name: str, make: Callable[[Path], object], tmp_path_factory) -> Path:
    """The folder that `make` fills, one for all of pytest-xdist's processes."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    with FileLock(place / f"{name}.lock"):
        if not (place / name).exists():
            make(place / f"{name}.part")
            (place / f"{name}.part").rename(place / name)
    return place / name


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """The CSV of the drawn sample, which no test changes."""
    from lite0ca.data.sample import write_sample

    return made_once("data", write_sample, tmp_path_factory) / "metadata.csv"


@pytest.fixture(scope="session")
def rice_leaf() -> Path:
    """The folder of real, labelled leaf photos."""
    if not RICE_LEAF.is_dir():
        pytest.skip(f"no real photos at {RICE_LEAF}: set LITE0CA_RICE_LEAF")
    return RICE_LEAF


@pytest.fixture(scope="session")
def tiny_run(sample, tmp_path_factory) -> Iterator[Path]:
    """A run folder: two epochs on 40 drawn leaves at 64 pixels, with pretrained weights."""
    from lite0ca.settings.config import Config
    from lite0ca.training.fit import fit

    settings = {"epochs": 2, "train_limit": 40, "valid_limit": 12, "image_size": 64}
    settings |= {"batch_size": 8, "num_workers": 0, "head_lr": 1e-3, "base_lr": 1e-3}
    settings |= {"device": "cpu"}  # its files are held against it to the last digits

    def train(folder: Path) -> None:
        fit(Config.of("basic", metadata=str(sample), output_dir=str(folder), **settings))

    results = tmp_path_factory.mktemp("results")
    (made,) = made_once("tiny_run", train, tmp_path_factory).iterdir()
    run = shutil.copytree(made, results / made.name)
    yield run
    # `predict` answers with exported files where a run has some: tests would hang on their order.
    assert not (run / "export").exists(), "a test exported into the run that all share"


def patches(rng: np.random.Generator) -> Image.Image:
    """A plain photo of 40 x 48: few enough corners that near-duplicates are soon sought."""
    colors = rng.integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(colors).resize((48, 40), Image.Resampling.NEAREST)


@pytest.fixture(scope="session")
def leaves(tmp_path_factory) -> Path:
    """Two classes of 12 photos, which no near-duplicate search joins."""
    folder = tmp_path_factory.mktemp("leaves")
    rng = np.random.default_rng(0)
    for label in ("blast", "healthy"):
        (folder / label).mkdir()
        for number in range(12):
            patches(rng).save(folder / label / f"{number:02}.jpg")
    return folder


@pytest.fixture(scope="session")
def little_run(leaves, tmp_path_factory) -> Path:
    """A run of Coordinate Attention on a tiny network, where it is not Lite0 that is shown."""
    from lite0ca.__main__ import main

    out = ["--output-dir", str(tmp_path_factory.mktemp("little")), "--data-dir", str(leaves)]
    system = ["--model-name", "EfficientNet_Lite0_CA", "--backbone", LITTLE["backbone"]]
    assert main(["train", *FAST, *system, *out]) == 0
    return next(Path(out[1]).iterdir())


@pytest.fixture
def script():
    """Run the guide's script (or a module of the package) as a user does."""

    def run(*arguments, module=None, cwd=REPO, **options):
        program = ["-m", module] if module else [str(REPO / "train_EfficientNet_Lite0_CA.py")]
        command = [sys.executable, *program, *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **options)

    return run


@pytest.fixture
def photos(tmp_path):
    """Write a folder of plain photos: `photos({"a": 3, "b/c": 2})` -> the folder."""

    def write(counts: dict[str, int], folder: Path = tmp_path / "photos", suffix=".jpg") -> Path:
        rng = np.random.default_rng(0)
        for name, count in counts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                patches(rng).save(folder / name / f"photo {number}{suffix}")
        return folder

    return write


@pytest.fixture
def device():
    """What tests/gpu run on: cuda, or to see that they themselves work `GPU_TESTS_ON=cpu`."""
    import torch

    name = os.environ.get("GPU_TESTS_ON", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here; GPU_TESTS_ON=cpu tries what a CPU can")
    return torch.device(name)


@pytest.fixture
def gpu(device):
    """cuda, for what only a GPU shows."""
    if device.type != "cuda":
        pytest.skip("only a GPU shows this")
    return device
