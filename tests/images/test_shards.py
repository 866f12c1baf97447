"""Photos in tars: written once, read in place, each one once an epoch, by any number of ranks."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import LITTLE, assert_equal

from lite0ca.__main__ import main
from lite0ca.data import dataset
from lite0ca.data.packing import pack
from lite0ca.errors import InputError
from lite0ca.images.batch_order import EvenBatches
from lite0ca.images.reading import content_of, read_image
from lite0ca.images.tar_shards import AT_ONCE, expanded, sweep
from lite0ca.machine import distributed
from lite0ca.settings.config import Config
from lite0ca.training.fit import fit

SMALL = {"epochs": 1, "image_size": 64, "batch_size": 16, "num_workers": 0, "save_history": True}
SMALL |= {"device": "cpu"} | LITTLE


@pytest.fixture(scope="module")
def packed(sample, tmp_path_factory):
    """The drawn sample in tars of 0.5 MB."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    assert main(["shard", str(folder), "--metadata", str(sample), "--shard-mb", "0.5"]) == 0
    return folder


def test_every_photo_lies_where_the_table_says(packed, sample):
    table = pd.read_csv(packed / "metadata.csv")
    before = pd.read_csv(sample).set_index("path")
    assert len(table) == len(before)
    for tar in sorted(packed.glob("*.tar")):
        mine = table[table["path"].str.startswith(tar.name)]
        assert mine["split"].nunique() == 1, "a tar holds one split"
        with tarfile.open(tar) as members:
            names = members.getnames()
            assert names[:3] == ["00000000.jpg", "00000000.cls", "00000000.json"]
            for number in (0, len(mine) - 1):
                facts = json.load(members.extractfile(f"{number:08}.json"))
                place = f"{packed}/{mine['path'].iloc[number]}"
                original = (sample.parent / facts["path"]).read_bytes()
                assert content_of(place) == original
                assert facts["label"] == before.loc[facts["path"], "label"]
                assert np.array_equal(read_image(place), read_image(sample.parent / facts["path"]))


def test_shards_train_as_their_table_does(packed, tmp_path, capsys):
    tars = sorted(packed.glob("*.tar"))
    pattern = f"{packed}/{{{tars[0].stem}..{tars[-1].stem}}}.tar"
    limits = {"train_limit": 32, "valid_limit": 8}
    by_name = fit(Config.of(data_dir=pattern, output_dir=str(tmp_path / "a"), **SMALL, **limits))
    by_table = fit(
        Config.of(
            metadata=f"{packed}/metadata.csv", output_dir=str(tmp_path / "b"), **SMALL, **limits
        )
    )
    assert_equal(by_name.run, by_table.run)
    evaluate = ["evaluate", str(by_name.run), "--data-dir", pattern, "--num-workers", "0"]
    assert main([*evaluate, "--output-dir", str(tmp_path)]) == 0
    assert "60 images" in capsys.readouterr().out


def test_some_of_the_tars(packed):
    some = dataset.load(Config.of(data_dir=f"{packed}/00[01].tar"))
    names = set(some.rows["path"].str[:7])
    assert names == {"000.tar", "001.tar"} and some.label2id["leaf_blast"] == 3


def test_an_epoch_is_every_photo_once_and_a_sweep(monkeypatch):
    tars = np.repeat(np.arange(20), 30)
    order, _ = sweep(tars, np.random.default_rng(0))
    assert sorted(order) == list(range(600))
    windows = [set(tars[part]) for part in np.split(order[:480], 2)]
    assert [len(window) for window in windows] == [AT_ONCE, AT_ONCE]
    assert not windows[0] & windows[1]
    monkeypatch.setattr(distributed, "count", lambda: 2)
    seen = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "number", lambda rank=rank: rank)
        batches = list(EvenBatches(600, 48, 0, [64], tars))
        seen += [index for batch in batches for index, _, _ in batch]
        read = {tars[index] for index, _, _ in batches[0]}
        assert len(read) <= AT_ONCE / 2 + 1, "a rank reads its share of the open tars"
    assert sorted(seen) == list(range(600))


def test_names(tmp_path):
    for name in ("a-08", "a-09", "a-10", "b-09"):
        (tmp_path / f"{name}.tar").touch()
    names = lambda pattern: [f.stem for f in expanded(f"{tmp_path}/{pattern}.tar")]  # noqa: E731
    assert names("a-{08..10}") == ["a-08", "a-09", "a-10"]
    assert names("?-09") == ["a-09", "b-09"] and names("a-08") == ["a-08"]
    with pytest.raises(InputError, match=r"there is no .*a-11\.tar"):
        names("a-{08..11}")
    with pytest.raises(InputError, match="names no file"):
        names("a-{10..08}")


def test_mistakes(packed, tmp_path, capsys):
    assert main(["shard", str(packed), "--data-dir", str(tmp_path)]) == 2
    assert "holds data already" in capsys.readouterr().err
    (tmp_path / "0.tar").touch()
    assert main(["train", "--data-dir", str(tmp_path / "0.tar")]) == 2
    assert "has tars but no metadata.csv" in capsys.readouterr().err
    tar = next(packed.glob("*.tar"))
    (tmp_path / "metadata.csv").write_text((packed / "metadata.csv").read_text())
    (tmp_path / tar.name).write_bytes(tar.read_bytes()[:5000])
    assert main(["train", "--data-dir", str(tmp_path / tar.name)]) == 2
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["metadata.csv", "label2id.json", "SHA256SUMS"])
def test_a_flipped_bit_in_a_table_of_shards_is_noticed(name, packed, tmp_path, capsys):
    folder = Path(shutil.copytree(packed, tmp_path / "shards"))
    whole = (folder / name).read_bytes()
    for bit in np.random.default_rng(0).integers(0, 8 * len(whole), 10):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(damaged)
        with pytest.raises(InputError, match=r"is damaged|there is no such"):
            dataset.load(Config.of(data_dir=f"{folder}/*.tar"))
    (folder / "SHA256SUMS").unlink()  # as version 0.2 packed them
    (folder / name).write_bytes(whole)
    dataset.load(Config.of(data_dir=f"{folder}/*.tar"))


def test_a_flipped_bit_in_a_tar_is_a_bad_photo(sample, tmp_path, capsys):
    table = pack(str(tmp_path / "shards"), 100, Config.of(metadata=str(sample)))
    tar = next(path for path in sorted(table.parent.glob("*.tar")))
    first = pd.read_csv(table)["path"].iloc[0]
    _, place, checksum = first.split("#")
    start, end = map(int, place.split("-"))
    content = bytearray(tar.read_bytes())
    content[(start + end) // 2] ^= 1
    tar.write_bytes(content)
    found = dataset.load(Config.of(data_dir=str(table.parent / "*.tar")))
    with pytest.raises(InputError, match=r"1 of \d+ images .*its checksum is wrong"):
        dataset.without_bad_images(found, skip=False)
    text = table.read_text().replace(f"#{checksum}", "")  # as version 0.2 packed them
    table.write_text(text)
    (table.parent / "SHA256SUMS").unlink()
    assert dataset.load(Config.of(metadata=str(table))).rows["path"].iloc[0] == first[:-9]
