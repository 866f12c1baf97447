"""The drawn sample: seeded, whole, and never in the way of real data."""

import json

import pandas as pd
import pytest

from lite0ca.__main__ import main
from lite0ca.data.sample import CLASSES, write_photos, write_sample
from lite0ca.errors import InputError
from lite0ca.images.reading import read_image


def test_the_table(sample):
    rows = pd.read_csv(sample)
    assert 380 <= len(rows) <= 420 and set(rows["label"]) == set(CLASSES)
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    assert (pd.crosstab(rows["label"], rows["split"]) >= 10).all(axis=None)
    assert all(read_image(sample.parent / path).shape == (224, 224, 3) for path in rows["path"][:9])


def test_equal_seeds_draw_equal_photos(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_photos([tmp_path / name], "leaf_blast", (seed, 3, 5))
    read = lambda name: (tmp_path / name).read_bytes()  # noqa: E731
    assert read("a") == read("b") != read("c")


def test_lesions_are_on_the_leaf_and_only_there(tmp_path):
    """The four drawings of one leaf differ, and their grounds do not tell the class."""
    write_photos([tmp_path / "healthy"], "healthy", (0, 9, 9))
    healthy = read_image(tmp_path / "healthy").astype(int)
    for label in ("brown_spot", "leaf_blast", "bacterial_leaf_blight"):
        write_photos([tmp_path / label], label, (0, 9, 9))
        changed = abs(read_image(tmp_path / label).astype(int) - healthy).max(axis=2) > 60
        assert 0.002 < changed.mean() < 0.5, label


def test_existing_data_is_not_touched(sample, photos):
    before = sample.read_bytes()
    with pytest.raises(InputError, match="holds data already"):
        write_sample(sample.parent)
    assert sample.read_bytes() == before
    own = photos({"healthy": 1})
    with pytest.raises(InputError, match=r"holds data already .*photo 0\.jpg"):
        write_sample(own)
    assert len(list(own.rglob("*.jpg"))) == 1


def test_its_figures_say_sample(tiny_run, capsys):
    assert json.loads((tiny_run / "metrics.json").read_text())["data"] == "drawn sample"
    assert main(["evaluate", str(tiny_run), "--split", "valid"]) == 0
    assert "404 drawings (the sample)" in capsys.readouterr().out
    assert (tiny_run / "scores_data_valid_drawn_sample.json").exists()
