"""Several runs as one, and several looks at a photo: recomputed by hand from single answers."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO

import lite0ca
from lite0ca.__main__ import main
from lite0ca.errors import InputError
from lite0ca.evaluation.inference import Network
from lite0ca.evaluation.predictions import answers_of
from lite0ca.evaluation.scoring import is_scores_of
from lite0ca.evaluation.together_on_data import answered_together
from lite0ca.formats.checkpoint import load_best, load_checkpoint, model_of, save_checkpoint
from lite0ca.formats.named_runs import runs_named
from lite0ca.formats.run_files import sha256
from lite0ca.images.looks import LOOKS, seen
from lite0ca.images.reading import read_image, side_for
from lite0ca.images.resizing import squeezed
from lite0ca.machine.device import CPU
from lite0ca.model.network import build_model
from lite0ca.settings.config import Config
from lite0ca.settings.systems import System

FORMER = REPO / "tests/formats/run_of_0.1.0"
PHOTOS = FORMER / "photos"
DEVICE = {"device": "cpu"}


def random_run(folder, label2id: dict, size: int, **said):
    """A run of a little network that nobody trained."""
    system = System("Little", "test_efficientnet")
    torch.manual_seed(len(str(folder)))
    network = build_model(system, len(label2id), size)
    config = Config(image_size=size, data_dir=str(PHOTOS), device="cpu", num_workers=0)
    content = {"model": network.state_dict(), "config": config.as_dict(), "epoch": 1, **said}
    folder.mkdir(parents=True)
    save_checkpoint(
        folder / "best_model.pt",
        content | {"system": dataclasses.asdict(system), "label2id": label2id},
    )
    return folder


@pytest.fixture
def runs(tmp_path):
    """Two runs whose classes have other numbers, sizes, temperatures and limits."""
    one = random_run(
        tmp_path / "one", {"healthy": 0, "leaf_blast": 1}, 64, temperature=0.3, sure_from=0.6
    )
    two = random_run(
        tmp_path / "two", {"leaf_blast": 0, "healthy": 1}, 32, temperature=2.5, sure_from=0.8
    )
    return one, two


def asked(run, **options):
    return lite0ca.load(run, **DEVICE, **options)


def probabilities_of(model) -> np.ndarray:
    """(photos, classes), the classes by name."""
    table = model.predict(PHOTOS)
    return table[[name for name in sorted(table) if name.startswith("p(")]].to_numpy(np.float64)


def test_the_mean_of_checkpoints_and_exported_files_by_label(runs, tmp_path):
    (exported,) = FORMER.glob("run/export/*.onnx")
    with pytest.raises(InputError, match=r"run: is the same model as .*\.onnx; keep to one"):
        asked([exported, FORMER / "run"])
    exported = shutil.copy(exported, tmp_path / "former.onnx")  # away from the report that says so
    members = [*runs, exported, FORMER / "run/best_model.pt"]
    alone, together = [asked(run) for run in members], asked(members)
    single = [probabilities_of(model) for model in alone]
    assert np.abs(single[0] - single[1]).max() > 0.01
    found, table = probabilities_of(together), together.predict(PHOTOS)
    assert np.allclose(found, np.mean(single, axis=0), rtol=0, atol=1e-12) and len(found) == 24
    labels = np.array(["healthy", "leaf_blast"])[found.argmax(axis=1)]
    assert table["label"].tolist() == labels.tolist()
    former = load_best(members[3])["system"]["name"]
    assert together.metadata["system"]["name"] == f"Little x 2 + {former} x 2"
    assert together.classes == ["healthy", "leaf_blast"]
    assert [one["image_size"] for one in together.metadata["members"]][:2] == [64, 32]
    pixels = read_image(table["path"][0], None)
    each = [model.predict(pixels).probabilities["healthy"] for model in alone]
    assert together.predict(pixels).probabilities["healthy"] == pytest.approx(np.mean(each))


def test_sure_as_the_strictest(runs, tmp_path):
    model = asked(list(runs))
    assert model.sure_from == 0.8 and not model.knows_training_photos
    third = random_run(tmp_path / "third", {"healthy": 0, "leaf_blast": 1}, 32)
    model = asked([runs[0], third])
    assert model.sure_from == 1.0 and model.metadata["sure_from"] is None
    assert not model.predict(PHOTOS)["sure"].any()


def test_the_distance_is_the_mean_of_those_that_know_it(tiny_run, sample, runs, tmp_path):
    path = sample.parent / "healthy/sample_000_0.jpg"
    one = asked(tiny_run)
    content = load_best(tiny_run)
    other = tmp_path / "other"
    other.mkdir()
    label2id = dict(zip(content["label2id"], reversed(content["label2id"].values())))
    kept = content["distance"] | {"mean": content["distance"]["mean"] + 1}
    save_checkpoint(other / "best_model.pt", content | {"distance": kept, "label2id": label2id})
    old = random_run(tmp_path / "old", content["label2id"], 32)
    far = [one.predict(path).distance, asked(other).predict(path).distance]
    assert far[0] != far[1]
    both = asked([tiny_run, old, other], looks=3)
    assert both.predict(path).distance == pytest.approx(np.mean(far)) and both.knows_training_photos
    with pytest.raises(InputError, match=r"tiny|Lite0.* and .*one cannot answer together") as error:
        lite0ca.load([tiny_run, runs[0]], **DEVICE)
    assert str(tiny_run) in str(error.value) and "'brown_spot'" in str(error.value)


def test_several_are_asked_about_changed_photos_as_one_is(tiny_run):
    """The way of `evaluate` for one run, by loaders and torch alone, against that for several."""
    typed = {"device": "cpu", "num_workers": 0}
    alone = answers_of(str(tiny_run), "test", "recoloured", **typed)
    together = answered_together([str(tiny_run)], "test", typed, "recoloured")
    assert together.rows["path"].tolist() == alone["path"].tolist() and together.own
    for name in ("probabilities", "distance", "confidence"):
        found, expected = (np.stack(rows[name].tolist()) for rows in (together.rows, alone))
        assert np.allclose(found, expected, atol=1e-5), name


def old_answer(run, path, changes) -> np.ndarray:
    """As version 0.5 answered, of the mean over photos that were changed by hand."""
    checkpoint = load_best(run)
    size = checkpoint["config"]["image_size"]
    photo = read_image(path, side_for(size))
    batch = np.stack([squeezed(np.ascontiguousarray(change(photo)), size) for change in changes])
    network = Network(model_of(checkpoint), CPU)
    logits = np.concatenate([network.answers(one[None])[0] for one in batch])
    logits = logits.astype(np.float64) / checkpoint.get("temperature", 1.0)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)


def middle(photo: np.ndarray, side: float) -> np.ndarray:
    height, width = photo.shape[:2]
    tall, wide = round(height * side), round(width * side)
    top, left = round((height - tall) / 2), round((width - wide) / 2)
    return photo[top : top + tall, left : left + wide]


def test_one_look_is_todays_answer_and_more_are_means(runs):
    path = PHOTOS / "healthy/00.jpg"
    changes = [lambda photo: photo, lambda photo: middle(photo, 0.7)]
    changes += [lambda photo: photo[:, ::-1], lambda photo: middle(photo, 0.7)[:, ::-1]]
    changes += [lambda photo: middle(photo, 0.85)]
    for run, some in zip(runs, ((1, 2), (1, 5))):
        for looks in some:
            model = asked(run, looks=looks)
            answer = model.predict(path).probabilities
            found = np.array([answer[label] for label in model.classes])
            expected = old_answer(run, path, changes[:looks])
            assert (found == expected).all() if looks == 1 else np.allclose(found, expected)


def test_all_looks_differ_and_are_where_they_say():
    photo = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    looks = [cv2.resize(seen(photo, look), (80, 60)) for look in LOOKS]
    assert len(LOOKS) == 16 and len({look.tobytes() for look in looks}) == 16
    assert (seen(photo, LOOKS[12]) == photo[:51, :68]).all()
    assert (seen(photo, LOOKS[15]) == photo[-51:, -68:]).all()
    assert (seen(photo, LOOKS[6]) == photo[::-1, ::-1]).all()
    assert seen(photo[:1, :1], LOOKS[1]).shape == (1, 1, 3)


@pytest.mark.parametrize("looks", [0, 17, -1, 1.5, True])
def test_looks_that_are_none(runs, looks):
    with pytest.raises(InputError, match="--looks must be a whole number from 1 to 16"):
        lite0ca.load(runs[0], looks=looks)


def test_looks_of_an_exported_file():
    (exported,) = FORMER.glob("run/export/*.onnx")
    found, torch_says = (
        probabilities_of(asked(run, looks=4)) for run in (exported, FORMER / "run/best_model.pt")
    )
    assert np.allclose(found, torch_says, atol=1e-4)
    assert not np.allclose(found, probabilities_of(asked(exported)), atol=1e-4)


def test_the_command_tells_runs_from_photos(runs, tmp_path, capsys):
    one, two = map(str, runs)
    photo, out = str(PHOTOS / "healthy/00.jpg"), tmp_path / "answers.csv"
    both = ["predict", one, f"{two}/best_model.pt", photo, str(PHOTOS / "leaf_blast")]
    assert main([*both, "--csv", str(out), "--looks", "2", "--device", "cpu"]) == 0
    header, first, *others = out.read_text().splitlines()
    assert header.endswith("distance,healthy,leaf_blast") and len(others) == 12
    expected = asked(runs, looks=2).predict(photo).probabilities["healthy"]
    assert float(first.split(",")[-2]) == pytest.approx(expected, abs=1e-6)
    unfinished = tmp_path / "begun"
    unfinished.mkdir()
    for name in ("config.json", "last.pt"):
        (unfinished / name).write_text("{}")
    mixed = shutil.copytree(two, tmp_path / "mixed")
    shutil.copy(photo, mixed)
    for command, said in [
        ([one, two], "two: is a trained model, and no photo comes after it"),
        ([one, photo, two], "two: is a trained model, and runs come before photos"),
        ([one, str(unfinished), photo], "begun: has no best_model.pt"),
        ([one, str(mixed), photo], "mixed: holds a run and photos"),
        ([one, two, f"{one}/best_model.pt", photo], "best_model.pt: is the same model as"),
        ([one, two, str(tmp_path / "nothing")], "nothing: there is no such file or folder"),
        ([one, str(tmp_path / "none.pt"), photo], "none.pt: there is no such run"),
    ]:
        capsys.readouterr()
        assert main(["predict", *command, "--device", "cpu"]) == 2, said
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert main(["predict", one, str(mixed), "--device", "cpu"]) == 0, "photos, as before"


def test_a_folder_of_runs_is_those_that_are_finished(runs, tmp_path, capsys):
    folder = tmp_path / "folds"
    for number, run in enumerate(runs):
        shutil.copytree(run, folder / f"fold_{number}")
    former = shutil.copytree(FORMER / "run", folder / "fold_2")
    shutil.rmtree(former / "export")
    (folder / "fold_3").mkdir()
    (folder / "fold_3/last.pt").write_bytes(b"")
    stopped = shutil.copytree(former, folder / "fold_4")
    last = load_checkpoint(stopped / "last.pt", ())
    settings = json.loads((former / "config.json").read_text()) | {"epochs": last["epoch"]}
    (former / "config.json").write_text(json.dumps(settings))
    save_checkpoint(stopped / "last.pt", last | {"epoch": 1, "best_epoch": 1})
    settings = json.loads((stopped / "config.json").read_text()) | {"epochs": 5, "patience": 3}
    (stopped / "config.json").write_text(json.dumps(settings))
    save_checkpoint(stopped / "best_model.pt", load_best(stopped) | {"epoch": 1})  # no mere copy
    (folder / "notes").mkdir()
    model = asked(folder)
    said = capsys.readouterr().out
    assert "folds: 3 runs (fold_0, fold_1, fold_2)" in said
    assert "left out, since they are not finished: 2 runs (fold_3, fold_4)" in said
    assert model.sources == [str(folder / name) for name in ("fold_0", "fold_1", "fold_2")]
    save_checkpoint(stopped / "last.pt", last | {"epoch": 4, "best_epoch": 1})
    assert len(runs_named(folder)) == 4, "patience was at its end"
    for name in ("fold_0", "fold_1", "fold_2"):
        shutil.rmtree(folder / name)
    save_checkpoint(stopped / "last.pt", last | {"epoch": 1, "best_epoch": 1})
    with pytest.raises(InputError, match="folds: none of its runs is finished"):
        runs_named(folder)
    with pytest.raises(InputError, match="name one or more"):
        lite0ca.load([])


def test_evaluate_scores_the_mean(runs, tmp_path, capsys):
    one, two = map(str, runs)
    out = tmp_path / "out"
    options = ["--data-dir", str(PHOTOS), "--device", "cpu", "--num-workers", "0"]
    assert main(["evaluate", one, two, *options]) == 2
    assert "--output-dir: several runs" in capsys.readouterr().err
    assert main(["evaluate", one, two, *options, "--output-dir", str(out), "--looks", "2"]) == 0
    shown = capsys.readouterr().out
    assert (
        "2_runs_photos_all_2_looks, 24 images" in shown and "all: the run was trained on" in shown
    )
    scores_file = out / "scores_2_runs_photos_all_2_looks.json"
    scores = json.loads(scores_file.read_text())
    found = probabilities_of(asked([one, two], looks=2))
    truth = np.repeat([0, 1], 12)  # by folder
    assert scores["accuracy"] == pytest.approx((found.argmax(axis=1) == truth).mean())
    assert scores["run"] == [one, two] and scores["looks"] == 2 and scores["image_size"] == 64
    assert scores["system"]["name"] == "Little x 2" and scores["sure_from"] == 0.8
    assert [member["temperature"] for member in scores["members"]] == [0.3, 2.5]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(scores | {"run": [two, one]}))
    assert is_scores_of(scores_file, scores) and not is_scores_of(other, scores), "which stay"


def test_a_photo_that_another_fold_learned_from_is_no_judge(runs, tmp_path, capsys):
    splits = [["train", "valid", "test"], ["valid", "train", "test"]]
    files = sorted(PHOTOS.glob("*/*.jpg"))
    for run, names in zip(runs, splits):
        lines = ["path,label,split,bytes"]
        for number, file in enumerate(files):
            name = f"{file.parent.name}/{file.name}"
            lines.append(f"{name},{file.parent.name},{names[number % 3]},{file.stat().st_size}")
        (run / "data.csv").write_text("\n".join(lines) + "\n")
        content = load_best(run) | {"sha256": {"data.csv": sha256(run / "data.csv")}}
        save_checkpoint(run / "best_model.pt", content)
    command = ["evaluate", *map(str, runs), "--output-dir", str(tmp_path / "out")]
    command += ["--device", "cpu", "--num-workers", "0"]
    assert main([*command, "--split", "valid"]) == 2
    error = capsys.readouterr().err
    assert "two has 8 in train" in error and "Score each run on its own valid" in error
    test = answered_together([str(run) for run in runs], None, {"device": "cpu", "num_workers": 0})
    assert test.part == "test" and len(test.rows) == 8 and test.own
    content = load_best(runs[1])
    content["config"] = content["config"] | {"data_dir": str(tmp_path)}
    save_checkpoint(runs[1] / "best_model.pt", content)
    assert main(command) == 2
    assert "name the data to score with --metadata or --data-dir" in capsys.readouterr().err


def test_a_folds_run_without_its_table_is_no_judge(runs, tmp_path, capsys):
    content = load_best(runs[1])
    content["config"] = content["config"] | {"fold": "2/2"}
    save_checkpoint(runs[1] / "best_model.pt", content)
    (runs[1] / "data.csv").unlink(missing_ok=True)
    for both in (runs, runs[::-1]):
        command = ["evaluate", *map(str, both), "--output-dir", str(tmp_path / "out")]
        assert main([*command, "--device", "cpu", "--num-workers", "0"]) == 2
        error = capsys.readouterr().err
        assert "data.csv: is missing, and with it which of these photos" in error
