"""benchmarks/peers_accuracy.py: one row a run, none twice, and no row of a try."""

import json
import sys
from pathlib import Path

import pandas as pd
import peers_accuracy
import pytest


@pytest.fixture
def study(sample, tmp_path, monkeypatch):
    """Run it with a stand-in for every peer, which finds healthy leaves alone."""
    jobs = []

    def ended(command, own, place):
        job = json.loads(Path(command[3]).read_text())
        hub = Path(own["HF_HUB_CACHE"])
        jobs.append((command[2], job["seed"], len(list(Path(job["folder"]).glob("train/*/*")))))
        assert [file.suffix for file in hub.glob("models--timm--*/snapshots/*/*")] == [
            ".safetensors"
        ]
        found = {name: ["healthy"] * len(files) for name, files in job["asked"].items()}
        content = {"answers": found, "seconds": [60.0, 60.0], "epochs": 3, "image_size": 224}
        Path(command[3]).with_suffix(".answers").write_text(json.dumps(content))
        return True

    def run(*typed):
        command = ["peers_accuracy.py", "--metadata", str(sample), "--limit", "4", *typed]
        monkeypatch.setattr(sys, "argv", command)
        return peers_accuracy.main()

    monkeypatch.setattr(peers_accuracy, "ended", ended)
    monkeypatch.setattr(peers_accuracy, "versions_in", lambda python, package: ["1.2", "2.14"])
    return run, jobs


def test_a_row_a_run_and_none_twice(study, sample, tmp_path, capsys):
    run, jobs = study
    file = tmp_path / "rows.csv"
    one = ["--csv", str(file), "--outside", str(sample), "--seeds"]
    assert run(*one, "2", "--only", "fastai") == 0
    assert run(*one, "1", "2", "--only", "fastai", "timm, mixup") == 0
    assert jobs == [
        ("fastai", 2, 16), ("fastai", 1, 16), ("timm_mixup", 1, 16), ("timm_mixup", 2, 16)
    ]  # fmt: skip
    rows = pd.read_csv(file)
    assert len(rows) == 4 and (rows["test_accuracy"] == 0.25).all()
    assert rows["test_f1"].round(6).eq(0.1).all() and (rows["outside_images"] == 16).all()
    assert "timm, mixup" in capsys.readouterr().out
    assert run(*one, "2", "--only", "fastai", "--minutes", "4") == 0  # other minutes, another run
    assert len(jobs) == 5 and sorted(pd.read_csv(file)["minutes"]) == [4, 18, 18, 18, 18]


def test_a_try_is_no_result(study):
    with pytest.raises(SystemExit, match="a run on fewer photos is no result"):
        study[0]("--only", "fastai")
