"""`python -m lite0ca adapt`: BatchNorm's statistics move halfway to other photos', no more."""

import pytest
import torch
from torch import nn

from lite0ca.__main__ import main
from lite0ca.adaptation.without_labels import adapt
from lite0ca.errors import InputError
from lite0ca.formats.checkpoint import load_best
from lite0ca.machine.device import Precision

CPU = Precision(torch.device("cpu"), amp=False)
STATISTICS = ("running_mean", "running_var")


class OneNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def normalize(self, photos):
        return photos.float()

    def forward(self, x):
        return self.norm(x)


def test_statistics_by_hand():
    """Two batches of other brightness: half of old 0 and 1, half of the batches' mean."""
    dark, light = (torch.randint(low, low + 50, (4, 5, 6, 3)).byte() for low in (0, 200))
    model = OneNorm().eval()
    adapt(model, [dark, light], CPU)
    for channel in range(3):
        mean = (dark[..., channel].float().mean() + light[..., channel].float().mean()) / 2
        spread = (dark[..., channel].float().var() + light[..., channel].float().var()) / 2
        assert model.norm.running_mean[channel] == pytest.approx(mean.item() / 2, rel=1e-4)
        assert model.norm.running_var[channel] == pytest.approx((1 + spread.item()) / 2, rel=1e-4)
    assert not model.norm.training


def test_the_folder_is_a_run_and_only_its_statistics_moved(tiny_run, sample, tmp_path, capsys):
    folder, other = tmp_path / "field", sample.parent / "leaf_blast"
    command = ["adapt", str(tiny_run), str(other), "--num-workers", "0"]
    assert main([*command, "--output-dir", str(folder)]) == 0
    said = capsys.readouterr().out
    assert str(folder) in said.splitlines() and "never sure" in said
    before, after = (load_best(run) for run in (tiny_run, folder))
    weights, moved_weights = before.pop("model"), after.pop("model")
    seen, seen_anew = before.pop("distance"), after.pop("distance")
    assert before.pop("sure_from") and after.pop("sure_from") is None
    assert before == after
    assert not torch.equal(seen["mean"], seen_anew["mean"])
    for name, value in weights.items():
        moved = not torch.equal(value, moved_weights[name])
        assert moved <= name.endswith(STATISTICS), name
        assert moved or not name.endswith("running_mean"), name
    assert main(["predict", str(folder), str(other), "--top", "1"]) == 0
    assert f"{len(list(other.iterdir()))} not sure\n" in capsys.readouterr().out
    assert main(["evaluate", str(folder), "--num-workers", "0"]) == 0
    assert "data_test_drawn_sample, 60 images" in capsys.readouterr().out
    # Again: nothing is overwritten. The same photos in another order of names: the same file.
    assert main([*command, "--output-dir", str(folder)]) == 2
    assert "is there already" in capsys.readouterr().err
    again = tmp_path / "again"
    assert main([*command, "--output-dir", str(again)]) == 0
    assert (again / "best_model.pt").read_bytes() == (folder / "best_model.pt").read_bytes()


def test_mistakes(tiny_run, photos, tmp_path, capsys):
    few, bad = photos({"a": 31}), photos({"a": 40}, tmp_path / "bad")
    (bad / "a/photo 7.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    for named, message in (
        ([str(few)], "31 photos say too little"),
        ([str(tmp_path / "none")], "there is no such file or folder"),
        ([str(bad)], "photo 7.jpg: unreadable image"),
    ):
        command = ["adapt", str(tiny_run), *named, "--num-workers", "0"]
        assert main([*command, "--output-dir", str(out)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
        assert not out.exists()
    command = ["adapt", str(tiny_run), str(bad), "--num-workers", "0", "--skip-bad-images"]
    assert main([*command, "--output-dir", str(out), "--batch-size", "2"]) == 0
    for file in (bad / "a").glob("photo 1*"):
        file.write_bytes(b"no photo either")
    assert main([*command, "--output-dir", str(tmp_path / "other")]) == 2
    assert "28 photos say too little" in capsys.readouterr().err
    assert list(tmp_path.glob(".*")) == []


def test_a_network_without_batch_norm():
    with pytest.raises(InputError, match="no BatchNorm"):
        adapt(nn.Linear(1, 1), [], CPU)
