"""`lite0ca adapt RUN --data-dir`: a few labelled photos of a place, and what they were worth."""

import contextlib
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from lite0ca.__main__ import main
from lite0ca.adaptation import tuning
from lite0ca.adaptation.judgement import folds_of, judged, verdict
from lite0ca.adaptation.maps import Maps
from lite0ca.adaptation.tuning import balanced, tuned
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.machine.device import CPU
from lite0ca.model.distance import strided
from lite0ca.model.late_stages import early_stages, late_stages
from lite0ca.model.network import build_model
from lite0ca.settings.systems import SYSTEMS

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Enough for what is asked here, which is not how well it learns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "STEPS", 6)
        yield


@pytest.fixture(scope="module")
def field(sample, tmp_path_factory):
    """Four drawings each of two classes, one spelled another way, and of a class that is new."""
    folder = tmp_path_factory.mktemp("place") / "field"
    table = pd.read_csv(sample)
    names = {"leaf_blast": "Leaf Blast", "healthy": "healthy", "brown_spot": "tungro"}
    for label, name in names.items():
        (folder / name).mkdir(parents=True)
        drawn = table[(table["label"] == label) & (table["split"] == "test")]
        for path in drawn["path"].head(4):
            shutil.copy(sample.parent / path, folder / name)
    return folder


@pytest.fixture(scope="module")
def adapted(tiny_run, field, tmp_path_factory):
    """(the folder, what was said)."""
    folder = tmp_path_factory.mktemp("adapted") / "run"
    command = ["adapt", str(tiny_run), "--data-dir", str(field), "--num-workers", "0"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main([*command, "--device", "cpu", "--output-dir", str(folder)]) == 0
    return folder, said.getvalue()


def test_it_is_a_run_with_a_new_class(adapted, tiny_run, field, capsys):
    folder, said = adapted
    before, after = load_best(tiny_run), load_best(folder)
    assert list(after["label2id"])[-1] == "tungro"
    assert len(after["label2id"]) == len(before["label2id"]) + 1
    assert "Leaf Blast is taken for the model's class leaf_blast" in said
    assert "no photos of bacterial_leaf_blight, brown_spot: what it learned" in said
    assert "new: tungro" in said and "of 10 such photos" in said
    assert main(["predict", str(folder), str(field / "tungro"), "--num-workers", "0"]) == 0
    assert "4 photos" in capsys.readouterr().out
    assert main(["evaluate", str(folder), "--num-workers", "0"]) == 0  # where it was trained
    said = capsys.readouterr().out
    assert "60 images" in said and "learned from" not in said
    table = pd.read_csv(folder / "adaptation.csv").query("label != 'leaf_blast'")
    table[["path", "label"]].to_csv(field.parent / "again.csv", index=False)
    command = ["evaluate", str(folder), "--metadata", str(field.parent / "again.csv")]
    assert main([*command, "--output-dir", str(field.parent / "scores")]) == 0
    assert "8 of 8 photos were learned from by adapt" in capsys.readouterr().out
    report = json.loads((folder / "adaptation.json").read_text())
    assert report["from_run"] == tiny_run.name and report["training_photos"] > 40
    assert report["photos"] == {"leaf_blast": 4, "healthy": 4, "tungro": 4}


def test_only_the_last_stages_have_moved(adapted, tiny_run):
    before, after = (load_best(run)["model"] for run in (tiny_run, adapted[0]))
    for name, value in before.items():
        same = value.shape == after[name].shape and torch.equal(value, after[name])
        early = name.startswith(tuple(f"backbone.blocks.{stage}." for stage in range(5)))
        early |= name.startswith(("backbone.conv_stem", "backbone.bn1"))
        if early or name.endswith(BUFFERS):
            assert same, name
        else:
            assert not same, name


def test_the_place_is_no_longer_unlike(adapted, tiny_run):
    """The measure knows the place's photos then; its maps are those of the run."""
    kept = [load_best(run)["distance"] for run in (tiny_run, adapted[0])]
    assert not torch.equal(kept[0]["mean"], kept[1]["mean"])


def test_without_the_training_photos(tiny_run, field, tmp_path, capsys):
    """It says what that costs, and writes a run all the same; and two runs of one seed are one."""
    run = shutil.copytree(tiny_run, tmp_path / "moved")
    checkpoint = load_best(run)
    checkpoint["config"] |= {"metadata": None, "data_dir": str(tmp_path / "gone")}
    torch.save(checkpoint, run / "best_model.pt")
    command = ["adapt", str(run), "--data-dir", str(field), "--num-workers", "0"]
    for name in ("one", "two"):
        assert main([*command, "--device", "cpu", "--output-dir", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert "the training photos are not at hand" in said and "it forgets them in part" in said
    files = [(tmp_path / name / "best_model.pt").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_mistakes(tiny_run, field, sample, tmp_path, capsys):
    few = shutil.copytree(field, tmp_path / "few")
    for photo in list((few / "tungro").iterdir())[:2]:
        photo.unlink()
    out = tmp_path / "out"
    for given, message in (
        (["--data-dir", str(few)], "2 photos of 'tungro'"),
        (["--metadata", str(sample)], "the run was trained on these photos"),
        ([str(field), "--data-dir", str(field)], "not both"),
        ([], "name a folder of labelled photos"),
        (["--data-dir", str(field), "--output-dir", str(few)], "is there already"),
    ):
        rest = [] if "--output-dir" in given else ["--output-dir", str(out)]
        assert main(["adapt", str(tiny_run), *given, *rest]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
        assert not out.exists() and list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_network_in_two_parts_is_the_network(name):
    model = build_model(SYSTEMS[name], 3, 64).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        given, maps = early_stages(model)(images)
        assert torch.equal(late_stages(model)(given), model(images))
        features, intermediates = model.forward_intermediates(images)
    assert torch.equal(features, model.forward_features(images))
    assert len(maps) == len(strided(model.backbone)) == 3
    assert all(torch.equal(*pair) for pair in zip(intermediates, maps))


def test_what_tells_the_photos_apart_is_learned(tiny_run):
    """Maps of two kinds, one bright in a channel: tuned, the model names both rightly."""
    model = model_of(load_best(tiny_run))
    rng = np.random.default_rng(0)
    numbers = np.array([0, 1] * 6)
    features = rng.normal(size=(12, 112, 4, 4)).astype(np.float32)
    features[numbers == 1, :8] += 4
    maps = Maps(torch.from_numpy(features), np.zeros((12, 176), np.float32), numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "STEPS", 30)
        trained = tuned(model, maps, None, CPU, seed=0)
    with torch.inference_mode():
        answers = late_stages(trained)(maps.features).argmax(1).numpy()
    assert (answers == numbers).all()


def test_each_class_is_met_as_often():
    chosen = balanced(np.array([0] * 20 + [3]), 10, np.random.default_rng(0))
    assert (chosen == 20).sum() == 5


def test_folds_keep_leaves_together_and_ask_of_no_class_that_was_not_learned():
    numbers = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    groups = np.array([0, 0, 1, 2, 3, 4, 5, 6, 6, 6])  # the third class has one leaf
    fold = folds_of(numbers, groups, seed=0)
    assert (fold[numbers == 2] == -1).all() and (fold[numbers < 2] >= 0).all()
    for leaf in np.unique(groups):
        assert len(np.unique(fold[groups == leaf])) == 1
    for number in range(3):
        assert set(numbers[fold == number]) <= set(numbers[(fold != number) & (fold >= 0)])
    assert (folds_of(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0) == -1).all()


def test_the_judgement_by_hand():
    truth = np.array([0, 0, 1, 1, 1, 1])
    before, after = np.array([0, 0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 1, 1])
    found = judged(truth, before, after, np.arange(6), ["a", "b"])
    assert found["accuracy_before"] == 0.5 and found["accuracy_after"] == 1
    assert found["classes"]["b"] == {"images": 4, "right_before": 1, "right_after": 4}
    assert verdict(found | {"gain_interval_95": [0.1, 0.9]}) == "use the adapted model here"
    assert "label more" in verdict(found | {"gain_interval_95": [-0.1, 0.9]})
    assert "do not use" in verdict(found | {"gain_interval_95": [-0.4, -0.1]})
