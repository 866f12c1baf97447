"""Photos -> answers, from the command a user types."""

import csv
import os
import resource
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lite0ca
from lite0ca.__main__ import main
from lite0ca.evaluation.inference import Network
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.images.photo_batches import photo_batches
from lite0ca.images.reading import read_image, side_for
from lite0ca.images.resizing import squeezed
from lite0ca.machine.device import CPU
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of


def test_a_csv_that_cannot_be_written_is_said_before_any_work(tiny_run, tmp_path, capsys):
    for place, said in ((tmp_path, "is a folder"), ("/proc/none/a.csv", "/proc/none")):
        command = ["predict", str(tiny_run), str(tmp_path / "no photo"), "--csv", str(place)]
        assert main(command) == 2
        assert said in capsys.readouterr().err


def test_smaller_pictures_than_the_run_began_with():
    metadata = {"config": Config.of(start_size=128, image_size=160).as_dict()}
    assert settings_of(metadata, {"image_size": 96}).image_size == 96


def test_files_and_folders_with_odd_names(tiny_run, sample, tmp_path, capsys):
    folder = tmp_path / "ảnh lá"
    folder.mkdir()
    source = Image.open(sample.parent / "brown_spot/sample_001_0.jpg")
    source.save(folder / "một.png")
    source.convert("L").save(folder / "grey photo.tiff")
    source.convert("RGBA").save(folder / "alpha.webp")
    out = tmp_path / "answers.csv"
    assert main(["predict", str(tiny_run), str(folder), "--csv", str(out), "--top", "2"]) == 0
    said, *lines = capsys.readouterr().out.splitlines()
    assert said.startswith("this model was trained on the drawn sample")
    assert [line.split("  ")[0].strip() for line in lines[:3]] == [
        "alpha.webp", "grey photo.tiff", "một.png"
    ]  # fmt: skip
    assert all(line.count(" %") in (1, 2) for line in lines[:3])
    assert lines[3].startswith("3 photos: ") and lines[-1] == str(out)
    rows = list(csv.DictReader(out.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["path"] for row in rows] == [
        str(folder / name) for name in ("alpha.webp", "grey photo.tiff", "một.png")
    ]
    for row in rows:
        values = {name: float(row[name]) for name in list(row)[6:]}
        assert sum(values.values()) == pytest.approx(1, abs=1e-4)
        assert row["prediction"] == max(values, key=values.get)
        sure = max(values.values()) >= load_best(tiny_run)["sure_from"]
        sure &= row["unlike"] == "no"
        assert row["sure"] == ("yes" if sure else "no")


def test_logits_are_the_models(tiny_run, sample):
    """By hand: read, resize, normalise with 0.5, forward."""
    checkpoint = load_best(tiny_run)
    model = model_of(checkpoint)
    path = str(sample.parent / "healthy/sample_000_0.jpg")
    photo = torch.from_numpy(squeezed(read_image(path, side_for(64)), 64))
    with torch.inference_mode():
        by_hand = model((photo.permute(2, 0, 1)[None].float() / 127.5) - 1)[0]
    ((photos, files),) = photo_batches([[path]], 64, 0)
    answer = Network(model, CPU).answers(photos)[0][0]
    assert files == [(path, None)] and np.allclose(answer, by_hand, atol=1e-5)


def test_batches_and_threads_change_nothing(tiny_run, sample):
    paths = sorted(map(str, (sample.parent / "leaf_blast").iterdir()))[:21]
    one, two = (
        list(lite0ca.load(tiny_run, device="cpu", **options).answers(paths))
        for options in ({"batch_size": 4, "num_workers": 0}, {"batch_size": 8, "num_workers": 2})
    )
    assert [answered.path for answered in one] == [answered.path for answered in two] == paths
    for (_, a, _), (_, b, _) in zip(one, two):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)


def test_unreadable_photos_are_named_and_the_others_answered(tiny_run, photos, capsys):
    folder = photos({"x": 3})
    (folder / "x/photo 1.jpg").write_bytes(b"broken")
    assert main(["predict", str(tiny_run), str(folder)]) == 2
    output = capsys.readouterr()
    assert output.out.count(".jpg  ") == 2
    assert output.err.count("\n") == 1 and "photo 1.jpg" in output.err
    assert main(["predict", str(tiny_run), str(folder), "--skip-bad-images"]) == 0


@pytest.mark.parametrize(
    ("photo", "message"),
    [("none.jpg", "no such file"), ("notes.txt", "is not an image"), ("empty", "no image in")],
)
def test_mistakes(photo, message, tiny_run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    assert main(["predict", str(tiny_run), str(tmp_path / photo)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="loader processes are forked on Linux")
def test_one_batch_of_many_photos_takes_few_descriptors(tiny_run, photos, tmp_path, capsys):
    """1,542 photos in batches of 800 with `ulimit -n 1024` took one each, and hung."""
    folder, before = photos({"x": 1}), resource.getrlimit(resource.RLIMIT_NOFILE)
    for number in range(220):
        (folder / f"{number}.jpg").hardlink_to(folder / "x/photo 0.jpg")
    free = os.dup(0)  # the lowest number
    os.close(free)
    answers = []
    for limit in (free + 40, before[0]):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            command = ["predict", str(tiny_run), str(folder), "--num-workers", "1"]
            assert main([*command, "--batch-size", "150"]) == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] and answers[0].count("\n") >= 221


def test_memory_does_not_grow_with_the_folder(tiny_run, tmp_path):
    """2,000 photos of 1 MB decoded would be 2 GB; peak memory may grow by a fraction of that."""
    Image.fromarray(np.zeros((600, 600, 3), np.uint8)).save(tmp_path / "x.jpg")
    for number in range(1000):
        (tmp_path / f"{number}.jpg").hardlink_to(tmp_path / "x.jpg")
    paths = [str(tmp_path / f"{number}.jpg") for number in range(1000)]
    answers = lite0ca.load(tiny_run, device="cpu").answers(paths)
    for _ in range(200):
        next(answers)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in answers) == 800
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 100
