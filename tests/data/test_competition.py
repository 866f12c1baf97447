"""A competition's folder: what is trained on, what is answered, what is filled in."""

import pandas as pd
import pytest

from lite0ca.__main__ import main
from lite0ca.data import dataset
from lite0ca.data.competition import competition_of
from lite0ca.data.photo_ids import Places
from lite0ca.data.sample import write_competition
from lite0ca.errors import InputError
from lite0ca.settings.config import Config


def test_the_sample_as_a_competition(sample, tmp_path, capsys):
    folder = write_competition(tmp_path / "paddy", drawn=sample)
    drawn, train = pd.read_csv(sample), pd.read_csv(folder / "train.csv")
    asked = pd.read_csv(folder / "sample_submission.csv")
    test = sorted(path.name for path in (folder / "test_images").iterdir())
    assert test == asked["image_id"].tolist() and asked["label"].isna().all()
    assert len(test) == (drawn["split"] == "test").sum()
    for row in train.itertuples():
        assert (folder / "train_images" / row.label / row.image_id).is_file()
    # The test photos are those of the sample, and their order tells no class.
    known = {path.read_bytes(): path.parent.name for path in sample.parent.rglob("*.jpg")}
    labels = [known[(folder / "test_images" / name).read_bytes()] for name in test]
    assert len(set(labels[:8])) > 1
    data = dataset.load(Config(data_dir=str(folder)))
    assert data.is_sample and len(data.rows) == len(train) and "split" not in data.rows
    found = competition_of(Config(data_dir=str(folder.parent)))
    assert found.source == folder / "train.csv" and found.test.name == "test_images"
    assert found.sample.name == "sample_submission.csv"
    assert competition_of(Config(metadata=str(found.source))) == found
    with pytest.raises(InputError, match="holds data already"):
        write_competition(folder)
    assert main(["sample", str(folder), "--competition"]) == 2


def test_test_photos_where_no_name_says_so(photos):
    """Beside the others, as in Plant Pathology, or in a folder that is called anything."""
    folder = photos({"images": 6})
    photos({"to_answer": 2}, suffix=".png")
    rows = "".join(f"photo {number}.jpg,{'ab'[number % 2]}\n" for number in range(4))
    (folder / "train.csv").write_text(f"Id,Disease\n{rows}")
    sample, config = folder / "sample_submission.csv", Config(data_dir=str(folder))
    asked = {"images": "photo 4.jpg,\nphoto 5.jpg,\n", "to_answer": "photo 0.png,\nphoto 1.png,\n"}
    for name, ids in asked.items():
        sample.write_text(f"Id,Disease\n{ids}")
        assert competition_of(config).test == folder / name
    sample.write_text("Id,Disease\nphoto 3.jpg,\n")
    with pytest.raises(InputError, match="has no folder of test photos"):  # it is trained on
        competition_of(config)


def test_a_column_that_names_photos():
    places = Places([f"a/{n:03}.jpg" for n in range(6)])
    rows = {"Id": ["0", "1", "2"], "Picture": ["002.jpg", "000.jpg", "001.jpg"]}
    assert places.column_of_ids(rows) == "Picture", "7 may be 007.jpg, but not if another says it"
    assert places.column_of_ids({**rows, "Picture": ["x", "y", "002.jpg"]}) == "Id"
    assert places.column_of_ids({"name": ["healthy", "blast"]}) is None
    assert places.of("0.JPG") == ["a/000.jpg"] and places.of("b/000") == []


def test_labels_of_the_test_photos(photos):
    """They are no training data, but what a model can be scored on once they are known."""
    folder = photos({"train_images": 4, "test_images": 2})
    for name, count in (("train", 4), ("test_labels", 2)):
        rows = ["Id,Disease", *(f"photo {n},{'ab'[n % 2]}" for n in range(count))]
        (folder / f"{name}.csv").write_text("\n".join(rows))
    data = dataset.load(Config(metadata=str(folder / "test_labels.csv")))
    assert [path.rpartition("/")[0] for path in data.rows["path"]] == ["test_images"] * 2
    assert len(dataset.load(Config(data_dir=str(folder))).rows) == 4


def test_what_is_missing_or_there_twice(photos, tmp_path):
    folder = photos({"train_images": 4})
    rows = ["Id,Disease", *(f"photo {n},{'ab'[n % 2]}" for n in range(4))]
    (folder / "train.csv").write_text("\n".join(rows))
    config = Config(data_dir=str(folder))
    with pytest.raises(InputError, match=r"has no sample submission .*train\.csv"):
        competition_of(config)
    (folder / "sample.csv.zip").touch()
    with pytest.raises(InputError, match=r"sample submission .*; unpack sample\.csv\.zip there"):
        competition_of(config)
    (folder / "SampleSubmission.csv").write_text("Id,Disease\nphoto 7,\n")
    with pytest.raises(InputError, match="has no folder of test photos"):
        competition_of(config)
    photos({"Test Set": 1})
    with pytest.raises(InputError, match=r"1 of its 1 'Id' have no photo in .*Test Set: 'photo 7'"):
        competition_of(config)
    (folder / "SampleSubmission.csv").write_text("Id,Disease\nphoto 0,\n")
    found = competition_of(config)
    assert (found.sample.name, found.test.name) == ("SampleSubmission.csv", "Test Set")
    (folder / "my_submission.csv").touch()
    assert competition_of(config) == found
    (folder / "example_submission.csv").touch()
    with pytest.raises(InputError, match="more than one sample submission"):
        competition_of(config)
