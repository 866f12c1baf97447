"""`lite0ca merge`: the mean of runs that began from one, and no run where the mean is worse."""

import json
import shutil

import pytest
import torch

from lite0ca.__main__ import main
from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import load_best, save_checkpoint
from lite0ca.training import merging

QUICK = ["--num-workers", "0", "--device", "cpu"]


def another(run, folder, change):
    """A copy of a run, of which `change` makes another checkpoint."""
    made = shutil.copytree(run, folder)
    checkpoint = load_best(made)
    change(checkpoint)
    save_checkpoint(made / "best_model.pt", checkpoint)
    return made


def moved(by: float, seed: int = 0):
    """Each weight moved by a share of itself, at random."""

    def change(checkpoint):
        noise = torch.Generator().manual_seed(seed)
        for name, value in checkpoint["model"].items():
            if value.is_floating_point() and not name.endswith("running_var"):
                value.mul_(1 + by * torch.randn(value.shape, generator=noise))

    return change


def test_the_mean_of_each_tensor():
    one, two = {"w": torch.tensor([1.0]), "n": torch.tensor(3)}, {}
    two = {"w": torch.tensor([4.0]), "n": torch.tensor(9)}
    mean = merging.mean_of([one, two, two])
    assert mean["w"].item() == 3 and mean["w"].dtype == torch.float32 and mean["n"] == 3


def test_the_mean_of_two_is_a_run(tiny_run, tmp_path, capsys):
    near = another(tiny_run, tmp_path / "near", moved(0.01))
    out = tmp_path / "merged"
    assert main(["merge", str(tiny_run), str(near), "--output-dir", str(out), *QUICK]) == 0
    said = capsys.readouterr().out
    assert "12 photos of the valid split" in said and f"\n{out}\nnext:\n" in said
    weights = [
        load_best(run)["model"]["backbone.conv_stem.weight"] for run in (tiny_run, near, out)
    ]
    assert torch.allclose((weights[0] + weights[1]) / 2, weights[2])
    report = json.loads((out / "merge.json").read_text())
    assert [one["run"] for one in report["members"]] == [tiny_run.name, "near"]
    assert report["merged"] == report["batch_norm"][report["batch_norm_kept"]]
    checkpoint = load_best(out)
    assert checkpoint["distance"] and checkpoint["temperature"] > 0
    assert not torch.equal(checkpoint["distance"]["mean"], load_best(tiny_run)["distance"]["mean"])
    assert f"the mean of 2 runs: `{tiny_run.name}`, `near`" in (out / "MODEL_CARD.md").read_text()
    assert main(["evaluate", str(out), *QUICK]) == 0
    assert "60 images" in capsys.readouterr().out
    assert "## Scores\n\n| photos of" in (out / "MODEL_CARD.md").read_text()


def test_a_mean_that_is_worse_is_not_written(tiny_run, tmp_path, capsys, monkeypatch):
    nothing = lambda states: {name: torch.zeros_like(value) for name, value in states[0].items()}  # noqa: E731
    monkeypatch.setattr(merging, "mean_of", nothing)
    near, out = another(tiny_run, tmp_path / "near", moved(0.01)), tmp_path / "out"
    assert main(["merge", str(tiny_run), str(near), "--output-dir", str(out), *QUICK]) == 1
    said = capsys.readouterr()
    assert "not written: the mean is worse" in said.err and said.out.count("merged, BatchNorm") == 2
    assert not out.exists() and [file.name for file in tmp_path.iterdir()] == ["near"]


def test_runs_that_have_no_mean(tiny_run, tmp_path, capsys):
    one = load_best(tiny_run)
    for changed, said in (
        ({"system": one["system"] | {"reduction": 8}}, "b: is of another system than a"),
        ({"label2id": {"x": 0, "y": 1}}, "of other classes"),
        ({"config": one["config"] | {"image_size": 96}}, "of another image size"),
        ({"fingerprint": "0"}, "another split of them"),
    ):
        with pytest.raises(InputError, match=said):
            merging.refuse_unlike(["a", "b"], [one, one | changed])
    all_train = one | {"config": one["config"] | {"all": True}}
    with pytest.raises(InputError, match=r"a: kept no valid photos back \(--all\)"):
        merging.refuse_unlike(["a", "b"], [all_train, all_train])
    out = tmp_path / "out"
    twice = [str(tiny_run), str(tiny_run / "best_model.pt")]
    assert main(["merge", *twice, "--output-dir", str(out), *QUICK]) == 2
    error = capsys.readouterr().err
    assert "is the same model as" in error and error.count("\n") == 1 and not out.exists()


def test_photos_that_are_gone_and_one_run_alone(tiny_run, tmp_path, capsys):
    near = another(tiny_run, tmp_path / "near", moved(0.01))
    for one in (near, tmp_path):  # a run, and a folder of one
        assert main(["merge", str(one)]) == 2
        assert "merge: name two runs or more" in capsys.readouterr().err
    (near / "data.csv").unlink()
    assert main(["merge", str(near), str(tiny_run), *QUICK]) == 2
    assert "data.csv: is not there" in capsys.readouterr().err
