"""Nothing is written over that lite0ca did not make, and what a kill cuts off leaves nothing."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import FAST, LITTLE, REPO, SLOW, TRIES
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.data import sample as drawing
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit

WORK = ["--num-workers", "0"]


@pytest.fixture(scope="module")
def own_run(leaves, tmp_path_factory) -> Path:
    """A run of a second's training, for this file alone."""
    out = tmp_path_factory.mktemp("overwriting")
    settings = {"epochs": 1, "image_size": 32, "batch_size": 8, "num_workers": 0, "device": "cpu"}
    settings |= LITTLE | {"data_dir": str(leaves), "cache": "none"}
    return fit(Config.of(output_dir=str(out), **settings)).run


def content(*folders: Path) -> dict[str, bytes | None]:
    inside = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {
        str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in inside
    }


def refused(arguments, capsys, *said: str) -> None:
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert all(word in error for word in said), error


@pytest.fixture
def place(own_run, leaves, tmp_path, monkeypatch) -> Path:
    """A working folder with a photo, a run and the user's own files in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "below/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((leaves / "blast/00.jpg").read_bytes())
    (tmp_path / "RUN").symlink_to(own_run)
    (tmp_path / "thesis.csv").write_text("chapter,pages\n1,20\n")
    (tmp_path / "notes").write_text("x")
    (tmp_path / "link.csv").symlink_to("a.jpg")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "below/c.jpg")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "to_empty.png").hardlink_to(tmp_path / "empty.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("a.jpg", "the name of a photo"),
        ("new.JPG", "the name of a photo"),  # of a shell's *.JPG
        ("thesis.csv", "did not make it"),
        ("notes", "did not make it"),
        ("link.csv", "did not make it"),
        ("hard.csv", "did not make it"),
        ("empty.csv", "is one of the photos"),
        ("RUN/best_model.pt", "did not make it"),
        ("RUN/config.json", "did not make it"),
        ("RUN/data.csv", "did not make it"),
        ("RUN/metrics.json", "a file of the run"),
        ("RUN", "is a folder"),
        ("new/", "is a folder"),
        ("", "name a file"),
        ("notes/a.csv", "is a file"),
        ("a" * 252 + ".csv", "too long a name"),
        ("a/" * 2100 + "b.csv", "too long a name"),
    ],
)
def test_answers_take_the_place_of_nothing(named, said, place, capsys, monkeypatch):
    from lite0ca.formats import opening

    monkeypatch.setattr(opening, "open_model", None)  # said before the model is opened
    before = content(place, place / "RUN")
    refused(["predict", "RUN", "below", "to_empty.png", "--csv", named], capsys, said)
    assert content(place, place / "RUN") == before


def test_answers_replace_earlier_ones(place, capsys):
    for number, named in enumerate(["new.csv", "new.csv", "RUN/answers.csv", "deep/er/a.csv"]):
        assert main(["predict", "RUN", *["a.jpg", "b.jpg"][: number + 1], "--csv", named]) == 0
        assert len(pd.read_csv(named)) == min(number + 1, 2)
    Path("RUN/answers.csv").unlink()


def test_answers_into_a_pipe(place, capsys):
    os.mkfifo("pipe.csv")
    refused(["predict", "RUN", "a.jpg", "--csv", "pipe.csv"], capsys, "nobody reads")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe.csv").read_text()))
    reader.start()
    while main(["predict", "RUN", "a.jpg", "--csv", "pipe.csv"]):
        pass
    reader.join()
    assert got[0].startswith("path,prediction,") and got[0].count("\n") == 2


def test_answers_of_names_that_csv_readers_stumble_over(place, capsys):
    names = [
        "a\rb.jpg",
        "a\nb.jpg",
        'a"b,c.jpg',
        "=1+1.jpg",
        "-1.jpg",
        "@x.jpg",
        "+x.jpg",
        "\tx.jpg",
    ]
    for name in names:
        Path(name).write_bytes(Path("a.jpg").read_bytes())
    given = [name if name[0] != "-" else f"./{name}" for name in names]
    assert main(["predict", "RUN", "--csv", "answers.csv", *given]) == 0
    with open("answers.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"].removeprefix("'") for row in rows] == given
    assert all(row["path"][0] not in "=+-@\t\r" for row in rows)
    assert list(pd.read_csv("answers.csv")["path"]) == [row["path"] for row in rows]


def test_a_name_that_is_no_utf_8_is_left_out_with_a_line(place, capsys):
    name = os.fsdecode(b"\xff.jpg")
    Path(name).write_bytes(Path("a.jpg").read_bytes())
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own is
    assert main(["predict", "RUN", "a.jpg", name, "--csv", "answers.csv"]) == 2
    assert "not UTF-8: rename it" in capsys.readouterr().err
    assert len(pd.read_csv("answers.csv")) == 1


@pytest.mark.parametrize(
    ("label", "names"), [("a, b", ["a\rb", " a "]), ('say "x", y', ["a\nb", "=1+1"])]
)
def test_odd_names_train_and_are_scored(label, names, leaves, place, capsys):
    folder = place / "data"
    for inside in ("healthy", label):
        (folder / inside).mkdir(parents=True)
        for number, photo in enumerate(sorted((leaves / "blast").iterdir())):
            name = names[number] if number < len(names) else str(number)
            (folder / inside / f"{name}.jpg").write_bytes(photo.read_bytes())
    little = [*FAST, "--model-name", "EfficientNet_Lite0", "--backbone", "test_efficientnet"]
    little += ["--data-dir", folder, "--output-dir", "out", "--cache", "none", "--no-pretrained"]
    assert main(list(map(str, ["train", *little]))) == 0
    (run,) = Path("out").iterdir()
    table = pd.read_csv(run / "data.csv", dtype=str, keep_default_na=False)
    assert set(table["path"]) == {
        str(path.relative_to(folder)) for path in folder.rglob("*.jpg")
    } and set(table["label"]) == {"healthy", label}
    assert main(["train", "--resume", str(run)]) == 0
    assert main(["evaluate", str(run), *WORK]) == 0


def test_scores_stand_beside_files_that_are_not_ours(own_run, leaves, place, capsys):
    evaluate = ["evaluate", "RUN", *WORK, "--data-dir", str(leaves), "--output-dir", "scores"]
    Path("scores").mkdir()
    name = f"{leaves.name}_test"
    Path(f"scores/scores_{name}.json").write_text("{ my own, not even JSON")
    Image.new("RGB", (9, 9)).save(f"scores/confusion_{name}_2.png")
    Path(f"scores/reliability_{name}_3.png").mkdir()
    before = content(place / "scores")
    for _ in range(2):  # the second time over our own
        assert main(evaluate) == 0
        after = content(place / "scores")
        assert all(after[path] == old for path, old in before.items())
        assert len(after) == len(before) + 3 and f"scores_{name}_4.json" in str(after)


def test_long_names_of_data(own_run, leaves, place, capsys):
    """255 bytes are the most, and Vietnamese letters take two or three."""
    data = place / ("bệnh đạo ôn " * 14)[:120]
    data.symlink_to(leaves)
    long = place / ("ả" * 80)
    long.mkdir()
    (long / "blast").symlink_to(leaves / "blast")
    (long / "healthy").symlink_to(leaves / "healthy")
    arguments = ["--split", "all", *WORK, "--data-dir", str(long), "--output-dir", "scores"]
    assert main(["evaluate", "RUN", *arguments]) == 0
    assert all(len(os.fsencode(path.name)) <= 255 for path in Path("scores").iterdir())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("leaderboard.csv", "team,points\n"),
        ("leaderboard.png", "x"),
        ("seeds.csv", "seed\n1\n"),
        ("03_train_basic.ipynb", '{"cells": [], "metadata": {}}'),
    ],
)
def test_a_batch_leaves_files_of_others_alone(name, text, leaves, place, capsys, monkeypatch):
    monkeypatch.setattr("lite0ca.headless.batch.one_by_one", None)
    Path("out").mkdir()
    Path("out", name).write_text(text)
    command = ["batch", "basic", "--data-dir", leaves, "--output-dir", "out", "--notebook"]
    refused([*command, REPO / "notebooks/03_train.ipynb"], capsys, name, "did not make it")
    assert Path("out", name).read_text() == text


def test_a_benchmark_stands_beside_files_of_others(place):
    from lite0ca.commands.bench import files_beside_others

    assert files_beside_others(place, "x")[0] == "x.csv"
    (place / "x.csv").write_text("system,setup,params\n")
    (place / "x_2-pareto.png").write_text("x")
    assert files_beside_others(place, "x")[0] == "x.csv"
    (place / "x.csv").write_text("system;mine\n")
    assert files_beside_others(place, "x")[0] == "x_3.csv"


@pytest.mark.parametrize("name", ["{stem}.onnx", "export_report.json", "{stem}_int8.onnx", "link"])
def test_an_export_leaves_files_of_others_alone(name, own_run, place, capsys):
    pytest.importorskip("onnx")
    stem = json.loads((own_run / "config.json").read_text())["model_name"] + "_x"
    from lite0ca.errors import InputError
    from lite0ca.export.export import file_names, refuse_other_files
    from lite0ca.formats.seal import EMPTY, sealed

    names = file_names(stem, ["onnx", "openvino"], True, True, True)
    assert len(names) == 8
    refuse_other_files(place, names)
    name = name.format(stem=stem)
    if name == "link":
        Path(f"{stem}.onnx").symlink_to("notes")
    else:
        Path(name).write_text('{"mine": 1}')
    with pytest.raises(InputError, match="did not make it"):
        refuse_other_files(place, names)
    if name == f"{stem}.onnx":
        Path(name).write_bytes(sealed(b"model " + EMPTY.encode() + b" end"))
        refuse_other_files(place, names)  # left by a kill before its report was written


@pytest.mark.parametrize("inside", ["mine.txt", ".hidden", "folder", "000.tar"])
@pytest.mark.parametrize("command", ["shard", "sample"])
def test_shards_and_drawings_go_into_folders_of_their_own(command, inside, leaves, place, capsys):
    Path("full").mkdir()
    Path("full", inside).mkdir() if inside == "folder" else Path("full", inside).touch()
    more = ["--data-dir", leaves] if command == "shard" else []
    refused([command, "full", *more], capsys, "holds data already", inside)
    assert os.listdir("full") == [inside]
    refused([command, "notes", *more], capsys, "is a file")


def test_shards_into_a_folder_that_is_there_and_empty(leaves, place, capsys):
    Path("empty").mkdir()
    for folder in ("empty", "new/er"):
        assert main(["shard", folder, "--data-dir", str(leaves)]) == 0
        made = sorted(os.listdir(folder))
        assert made[-2:] == ["label2id.json", "metadata.csv"] and "000.tar" in made


def test_caches_are_removed_by_their_exact_names(tmp_path):
    from lite0ca.images.cache import make_room

    own = tmp_path / ("photos-" + "0a" * 10)
    own.write_bytes(b"x" * 5000)
    (tmp_path / "photos-2024.zip").write_text("x")
    (tmp_path / f"{own.name}.zip").write_text("x")
    (tmp_path / "photos-old").mkdir()
    (tmp_path / ("photos-" + "1b" * 10)).symlink_to("photos-2024.zip")
    kept = sorted(os.listdir(tmp_path))
    kept.remove(own.name)
    make_room(tmp_path, "photos-new", 1.0, 0.5)
    assert sorted(os.listdir(tmp_path)) == kept


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_run_folder_appears_whole_or_not_at_all(leaves, place, monkeypatch, capsys):
    """A disk that is full, or a kill, before the first last.pt."""
    from lite0ca.training import run_folder

    little = [*FAST, "--no-pretrained", "--data-dir", str(leaves), "--output-dir", "out/er"]
    before = content(place)

    def full(path, _):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "save_checkpoint", full)
        refused(["train", *little, "--cache", "none"], capsys, "No space left")
        assert content(place) == before

        def interrupted(*_):
            raise KeyboardInterrupt

        patched.setattr(run_folder, "save_checkpoint", interrupted)
        assert main(["train", *little, "--cache", "none"]) == 130
        assert content(place) == before
    assert "run: " not in capsys.readouterr().out
    with monkeypatch.context() as patched:
        killed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        patched.setattr(run_folder, "save_checkpoint", killed)
        forked(["train", *little, "--cache", "none"], None)
    for _ in range(100):  # the guardian needs a moment
        if content(place) == before:
            break
        time.sleep(0.05)
    assert content(place) == before


COMMANDS = {
    "predict": ["predict", "RUN", "LEAVES", "--csv", "new/deep/answers.csv"],
    "evaluate": ["evaluate", "RUN", "--data-dir", "LEAVES", *WORK, "--output-dir", "new/scores"],
    "adapt": ["adapt", "RUN", "LEAVES", "LEAVES", *WORK, "--output-dir", "new/run"],
    "label": ["label", "RUN", "LEAVES", "--count", "3", *WORK, "--output-dir", "new/deep/labels"],
    "export": ["export", "RUN", "--data-dir", "LEAVES", *WORK, "--output-dir", "new/files"],
    "shard": ["shard", "new/shards", "--data-dir", "LEAVES", "--shard-mb", "0.01"],
    "sample": ["sample", "new/data"],
    "bench": [
        "bench",
        "MobileNetV3_Small",
        "--rounds=1",
        "--seconds=0.01",
        "--output-dir",
        "new/x",
    ],
    "train": ["train", *FAST, "--data-dir", "LEAVES", "--output-dir", "new", "--cache", "none"],
}


def forked(arguments: list[str], moment: float | None, number=signal.SIGKILL) -> float:
    """The seconds of a command in a fork of this process, killed at a moment: no imports again."""
    began = time.monotonic()
    if not (child := os.fork()):
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os._exit(main(arguments))
    while not os.waitpid(child, os.WNOHANG)[0]:
        if moment is not None and time.monotonic() - began > moment:
            try:
                os.killpg(child, number)
            except ProcessLookupError:  # it does not lead its group yet
                os.kill(child, number)
            os.waitpid(child, 0)
            break
        time.sleep(0.002)
    return time.monotonic() - began


@SLOW
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_at_any_moment_leaves_all_or_nothing(name, own_run, leaves, place, monkeypatch):
    """Files, TMPDIR and /dev/shm, whatever the signal."""
    if name == "export":
        pytest.importorskip("onnx")
    monkeypatch.setattr(drawing, "LEAVES", 3)
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    (place / "tmp").mkdir()
    arguments = [{"LEAVES": str(leaves)}.get(word, str(word)) for word in COMMANDS[name]]
    listed = lambda: sorted(map(str, [*place.rglob("*"), *Path("/dev/shm").glob("*")]))  # noqa: E731
    before, drawn = listed(), random.Random(0)
    took_s = forked(arguments, None)
    whole = listed()
    assert len(whole) > len(before)
    for _ in range(TRIES):
        subprocess.run(["rm", "-rf", "new"], check=True)
        number = drawn.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
        forked(arguments, drawn.uniform(0, took_s), number)
        until = time.monotonic() + 3
        while listed() not in (before, whole) and time.monotonic() < until:
            time.sleep(0.02)
        left = sorted(set(listed()) - set(before))
        if name == "train":  # the folder of a run that has begun, with all that --resume needs
            assert not left or any(path.endswith("last.pt") for path in left), left
        else:
            assert listed() in (before, whole), left
