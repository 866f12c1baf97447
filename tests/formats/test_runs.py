"""Run folders and checkpoints."""

import json
import pickle
import re

import pytest
import torch

from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import load_best
from lite0ca.training.run_folder import placed


def test_folders_of_one_minute_do_not_meet(tmp_path):
    names = []
    for number in range(3):
        (made := tmp_path / str(number)).mkdir()
        (made / "file").write_text(str(number))
        names.append(placed(made, tmp_path, "EfficientNet_Lite0_CA").name)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert re.fullmatch(r"EfficientNet_Lite0_CA_\d\d_\d\d_\d{4}_\d{4}", names[0])


def test_a_run_says_what_it_was(tiny_run):
    config = json.loads((tiny_run / "config.json").read_text())
    assert (config["preset"], config["epochs"], config["image_size"]) == ("basic", 2, 64)
    environment = json.loads((tiny_run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert len(environment["data_fingerprint"]) == 64 and environment["threads"] >= 1
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert metrics["num_params"] == 3_686_132 and metrics["fps_batch_size"] == 16
    assert metrics["size_mb"] == pytest.approx(15.0, abs=0.2) and metrics["fps"] > 1
    assert (tiny_run / "data.csv").read_text().startswith("path,label,split,group,bytes\n")


def test_checkpoints_are_plain(tiny_run):
    best = torch.load(tiny_run / "best_model.pt", weights_only=True)
    assert best["label2id"] == dict(
        zip(("bacterial_leaf_blight", "brown_spot", "healthy", "leaf_blast"), range(4))
    )
    assert all(isinstance(value, torch.Tensor) for value in best["model"].values())


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the file ran code')",)


def test_strangers_files(tmp_path, tiny_run):
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Evil()))
    torch.save({"model": {}}, tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    whole = (tiny_run / "best_model.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("evil.pt", "pickle.pt", "other.pt", "list.pt", "cut.pt", "empty.pt"):
        with pytest.raises(InputError) as error:
            load_best(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
