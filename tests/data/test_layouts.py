"""Where photos lie, in the ways that people keep them: read right, and said before training."""

import os
import shutil
import unicodedata
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.data import dataset, split
from lite0ca.errors import InputError
from lite0ca.images import folder_walk
from lite0ca.machine import environment
from lite0ca.settings.config import Config


@pytest.fixture
def lay(tmp_path):
    """`lay("train/blast/a.jpg", "x.csv=a,b")`: photos, each of another colour, and text files."""

    def write(*files: str, below: Path = tmp_path / "data") -> Path:
        for file in files:
            name, is_text, text = file.partition("=")
            place = below / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if is_text:
                place.write_text(text.replace(";", "\n") + "\n", encoding="utf-8")
            else:
                color = tuple(
                    (zlib.crc32(name.encode(errors="surrogateescape")) >> shift) % 256
                    for shift in (0, 8, 16)
                )
                Image.new("RGB", (24, 20), color).save(place, "JPEG")
        return below

    return write


@pytest.fixture
def load(capsys):
    """(classes with their counts, splits with theirs, what was said) of a folder or table."""

    def read(where, flag="data_dir"):
        capsys.readouterr()
        rows = dataset.load(Config.of(**{flag: str(where)})).rows
        assert rows["absolute_path"].map(os.path.isfile).all()
        splits = rows["split"].value_counts().to_dict() if "split" in rows else {}
        return rows["label"].value_counts().to_dict(), splits, capsys.readouterr().out

    return read


def each(folder: str, count: int = 2) -> list[str]:
    return [f"{folder}/{folder.replace('/', '_')}_{number}.jpg" for number in range(count)]


# --- competitions ----------------------------------------------------------------------------

TEST = [*each("test_images"), "sample_submission.csv=image_id,label;test_images_0.jpg,0"]
COMPETITIONS = {
    "Cassava": [
        *each("train_images", 4),
        *TEST,
        "train.csv=image_id,label;"
        + ";".join(f"train_images_{n}.jpg,{'ab'[n % 2]}" for n in range(4)),
    ],
    "APTOS, ids without an ending": [
        *each("train_images", 4),
        *TEST,
        "test.csv=id_code;test_images_0",
        "train.csv=id_code,diagnosis;"
        + ";".join(f"train_images_{n},{'ab'[n % 2]}" for n in range(4)),
    ],
    "Paddy Doctor, photos in folders of classes": [
        *each("train_images/a"),
        *each("train_images/b"),
        *TEST,
        "train.csv=image_id,label,variety,age;"
        + ";".join(f"train_images_{c}_{n}.jpg,{c},ADT45,50" for c in "ab" for n in range(2)),
    ],
    "paths for ids, columns by other names": [
        *each("train", 4),
        *each("test"),
        "labels.csv=File Name,Breed;"
        + ";".join(f"train/train_{n}.jpg,{'ab'[n % 2]}" for n in range(4)),
    ],
    "columns by names of nobody, and rows that are numbered": [
        *each("train_images", 4),
        *each("test_images"),
        "SampleSubmission.csv=Leaf Ref,Verdict;test_images_0,",
        "train.csv=Id,Leaf Ref,Age,Verdict;"
        + ";".join(f"{3 - n},TRAIN_IMAGES_{n}.JPG,5,{'ab'[n % 2]}".lower() for n in range(4)),
    ],
    "ids in a column that is called path": [
        *each("train_images", 4),
        *TEST,
        "train.csv=Path,label;" + ";".join(f"train_images_{n},{'ab'[n % 2]}" for n in range(4)),
    ],
    "a column of 0 and 1 for each class": [
        *each("images", 6),
        "train.csv=image_id,a,b;" + ";".join(f"images_{n},{n % 2},{1 - n % 2}" for n in range(4)),
    ],
    "all of it one folder further down": [
        *each("c/train_images", 4),
        *each("c/test_images"),
        "c/train.csv=id,label;" + ";".join(f"c_train_images_{n},{'ab'[n % 2]}" for n in range(4)),
    ],
}


@pytest.mark.parametrize("name", COMPETITIONS)
@pytest.mark.parametrize("how", ["--data-dir", "--metadata", "$LITE0CA_DATA", "attached on Kaggle"])
def test_competitions(name, how, lay, capsys, tmp_path, monkeypatch):
    folder = lay(*COMPETITIONS[name], below=tmp_path / "kaggle/competitions/it")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path / "kaggle")
    monkeypatch.delenv("LITE0CA_DATA", raising=False)
    config = Config.of()
    if how == "--data-dir":
        config = Config.of(data_dir=str(folder))
    elif how == "--metadata":
        names = ("train.csv", "labels.csv", "c/train.csv")
        table = next(path for name in names if (path := folder / name).is_file())
        config = Config.of(metadata=str(table))
    elif how == "$LITE0CA_DATA":
        monkeypatch.setenv("LITE0CA_DATA", str(folder))
    found = dataset.load(config)
    said = capsys.readouterr().out
    assert sorted(found.rows["label"].value_counts()) == [2, 2] and found.classes == ["a", "b"]
    assert not found.rows["path"].str.contains("test").any()
    assert found.rows["absolute_path"].map(os.path.isfile).all()
    assert how in said and "labels by the column" in said and "photos not in" in said


def test_a_competition_without_its_table_is_no_pair_of_classes(lay, load):
    with pytest.raises(InputError, match="expected a sub-folder with images for each class"):
        load(lay(*each("train_images"), *each("test_images")))
    table = "train.csv=image_id,day,place;train_images_0.jpg,3,x;train_images_1.jpg,4,y"
    with pytest.raises(InputError, match=r"train.csv is not read: has no column 'label'"):
        load(lay(table))


def test_tables_that_disagree_are_said(lay, load):
    rows = "a/a_0.jpg,b;a/a_1.jpg,a;b/b_0.jpg,b;b/b_1.jpg,b"
    tables = f"train.csv=id,label;{rows}", f"labels.csv=id,label;{rows.replace('b;', 'c;')}"
    said = load(lay(*each("a"), *each("b"), *tables))[2]
    assert "labels.csv labels photos too and is not read, train.csv is" in said
    assert "warning: 1 photos lie in the folder of another class" in said
    assert "a/a_0.jpg is 'b'" in said


def test_columns_that_are_not_read_are_said(lay, load):
    rows = ";".join(f"{c}_{n},{c},{n},x" for c in "ab" for n in range(2))
    said = load(lay(*each("a"), *each("b"), f"train.csv=id,label,age,set;{rows}"))[2]
    assert "columns that are not read: age, set" in said and "warning" not in said


def test_a_table_that_only_describes_photos_gives_no_labels(lay, load):
    rows = ";".join(f"{c}_{n}.jpg,{n}" for c in "ab" for n in range(2))
    found, _, said = load(lay(*each("a"), *each("b"), f"sizes.csv=picture,bytes;{rows}"))
    assert found == {"a": 2, "b": 2} and "sizes.csv is not read: is no table of labels" in said


def test_ids_of_a_competition_that_name_nothing_or_two_photos(lay, load):
    rows = ";".join(f"train_images_{n}.jpg,{'ab'[n % 2]}" for n in range(4))
    folder = lay(*each("train_images", 3), f"train.csv=image_id,label;{rows}")
    found = dataset.load(Config.of(data_dir=str(folder)))
    with pytest.raises(InputError, match=r"1 of 4 images.*train_images_3.jpg .missing"):
        dataset.without_bad_images(found, skip=False)
    (folder / "again").mkdir()
    shutil.copy(folder / "train_images/train_images_0.jpg", folder / "again")
    with pytest.raises(InputError, match=r"may be again/.* or train_images/.*give its path"):
        load(folder)


# --- splits ----------------------------------------------------------------------------------

NAMES_OF_SPLITS = [
    ("train", "val_set", "test"),
    ("Train", "dev", "holdout"),
    ("training", "eval", "hold-out"),
    ("train_images", "valid-images", "Test Data"),
    ("trainset", "valset", "testset"),
    ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
    ("train/images", "valid/images", "test/images"),
]


@pytest.mark.parametrize("names", NAMES_OF_SPLITS, ids=" ".join)
def test_folders_of_splits(names, lay, load):
    classes, splits, _ = load(
        lay(*(f for name in names for c in "ab" for f in each(f"{name}/{c}")))
    )
    assert classes == {"a": 6, "b": 6} and splits == {"train": 4, "valid": 4, "test": 4}


def test_splits_of_a_table_have_the_same_names(lay, load):
    rows = [
        f"a/a_{n}.jpg,a,{s};b/b_{n}.jpg,b,{s}" for n, s in enumerate(("Train", "dev", "hold-out"))
    ]
    folder = lay(*each("a", 3), *each("b", 3), "x.csv=path,label,split;" + ";".join(rows))
    assert load(folder / "x.csv", "metadata")[1] == {"train": 2, "valid": 2, "test": 2}


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (each("extra/a"), r"what is no split by its name: extra \(2 photos\)"),
        (each("unlabelled"), r"unlabelled \(2 photos\)"),
        (each("dev/a") + each("val/a"), "dev, val all mean valid"),
        (each("Train/a"), "Train, train all mean train"),
    ],
)
def test_no_folder_beside_splits_is_dropped(beside, message, lay, load):
    with pytest.raises(InputError, match=message):
        load(lay(*each("train/a"), *each("train/b"), *each("test/a"), *beside))


def test_a_split_beside_classes_is_no_class(lay, load):
    with pytest.raises(InputError, match=r"beside test lies what is no split.*blast.*healthy"):
        load(lay(*each("blast"), *each("healthy"), *each("test")))


@pytest.mark.parametrize("name", ["test/unknown", "test/test", "test/none"])
def test_classes_are_those_of_train(name, lay, load):
    parts = ("train", "valid", "test")[: 2 + ("unknown" in name)]
    folder = lay(*(f for p in parts for c in "ab" for f in each(f"{p}/{c}")), *each(name, 3))
    classes, splits, said = load(folder)
    assert set(classes) == {"a", "b"} and splits["train"] == 4
    label = name.split("/")[1]
    assert f"left out: test photos of classes that are not in train: {label} 3" in said


def test_test_photos_without_a_class_are_named(lay, load):
    classes, splits, said = load(lay(*each("train/a"), *each("train/b"), *each("test", 5)))
    assert classes == {"a": 2, "b": 2} and not splits
    assert "only those of train have a class, so a split of them is made" in said
    assert "photos in no folder of a class: 5 (test)" in said


def test_groups_in_several_splits_are_said(lay, load):
    rows = [f"{c}/{c}_{n}.jpg,{c},{s},{c}{n // 2}" for c in "ab" for n, s in
            enumerate(("train", "valid", "test", "test"))]  # fmt: skip
    table = "x.csv=path,label,split,group;" + ";".join(rows)
    folder = lay(*each("a", 4), *each("b", 4), table)
    said = load(folder / "x.csv", "metadata")[2]
    assert "warning: 2 of 4 groups (4 photos) have photos in several splits" in said
    lay(table.replace("valid", "train"))
    assert "warning" not in load(folder / "x.csv", "metadata")[2]


# --- classes ---------------------------------------------------------------------------------


def test_folders_below_a_class_are_of_that_class(lay, load):
    classes, splits, said = load(
        lay(
            *(f for c in "ab" for place in ("field1", "field2/day 3") for f in each(f"{c}/{place}"))
        )
    )
    assert classes == {"a": 4, "b": 4} and not splits
    assert "the first folder is the class; those below it are of that class: field1, field2" in said
    said = load(lay("a/\x1b[31mred/x.jpg"))[2]
    assert "\x1b" not in said and r"that class: \x1b[31mred, field1, field2" in said


def test_splits_below_each_class(lay, load):
    names = ("train", "val", "test")
    folder = lay(*(f for c in "ab" for name in names for f in each(f"{c}/{name}")))
    classes, splits, said = load(folder)
    assert classes == {"a": 6, "b": 6} and splits == {"train": 4, "valid": 4, "test": 4}
    assert "splits lie below the classes" in said
    with pytest.raises(InputError, match=r"which are splits, and a/other\.jpg, which is in none"):
        load(lay("a/other.jpg"))


@pytest.mark.parametrize(
    "tops",
    [("color", "grayscale", "segmented"), ("Original", "Augmented")],
    ids=" ".join,
)
def test_data_sets_beside_each_other_are_no_classes(tops, lay, load):
    with pytest.raises(InputError, match=r"looks like a data set of its own.*--data-dir"):
        load(lay(*(f for top in tops for c in ("blast", "spot") for f in each(f"{top}/{c}"))))


@pytest.mark.parametrize("tops", [("images", "masks"), ("figures", "dataset/a"), ("img", "data")])
def test_folders_that_name_no_class(tops, lay, load):
    with pytest.raises(InputError, match="is the name of no class"):
        load(lay(*(file for top in tops for file in each(top))))


def test_classes_that_are_numbers(lay, load):
    folder = lay(*(f for s in ("train", "test") for c in "01" for f in each(f"{s}/{c}/field")))
    assert load(folder)[0] == {"0": 4, "1": 4}
    assert load(folder / "train")[0] == {"0": 2, "1": 2}


def test_whole_data_sets_with_a_healthy_class_or_splits(lay, load, tmp_path):
    for number, inner in enumerate((("blast", "Healthy leaf"), ("train/a", "test/a"))):
        folder = lay(*(f for top in ("x", "y") for c in inner for f in each(f"{top}/{c}")),
                     below=tmp_path / str(number))  # fmt: skip
        with pytest.raises(InputError, match=r"x holds .*looks like a data set of its own"):
            load(folder)


def test_the_only_folder_in_a_folder(lay, load):
    classes, _, said = load(lay(*each("Rice Leaf/data/blast"), *each("Rice Leaf/data/ok"), "x.jpg"))
    assert classes == {"blast": 2, "ok": 2} and "Rice Leaf/data" in said
    assert "photos in no folder of a class: 1" in said


def test_the_classes_and_their_counts_are_said(lay, load):
    assert "classes: blast (2), ok (3)\n" in load(lay(*each("blast"), *each("ok", 3)))[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("01", "1"),
        ("healthy", "healthy\u200b"),
        ("leaf_blast", "Leaf Blast"),
        ("leaf-blast", "leafblast"),
        ("blast", "bl\u0430st"),  # a Cyrillic а
        ("đạo ôn", "dao on"),
        ("Ａ１", "a1"),
        ("a-b", "a\u2013b"),  # an en dash
        ("ok", "ok\u2800"),  # Braille's blank
    ],
)
def test_one_label_in_two_ways_is_refused(one, other, lay, load):
    rows = f"a/a_0.jpg,{one};a/a_1.jpg,{other};b/b_0.jpg,rust"
    folder = lay(*each("a"), *each("b"), f"x.csv=path,label;{rows}")
    with pytest.raises(InputError, match="look like one: write them alike"):
        load(folder / "x.csv", "metadata")


@pytest.mark.parametrize(("one", "other"), [("type 1.5", "type 15"), ("HLB+", "HLB-"), ("1", "-1")])
def test_labels_that_only_look_alike_to_a_machine(one, other, lay, load):
    rows = f"a/a_0.jpg,{one};a/a_1.jpg,{other};b/b_0.jpg,rust"
    folder = lay(*each("a"), *each("b"), f"x.csv=path,label;{rows}")
    assert load(folder / "x.csv", "metadata")[0] == {one: 1, other: 1, "rust": 1}


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", os.fsdecode(b"\xff\xfe")])
def test_names_of_classes_that_no_file_can_hold(name, lay, load):
    with pytest.raises(InputError, match="rename it"):
        load(lay(*each("c"), *(f"{name}/{number}.jpg" for number in range(2))))


# --- NFC and NFD -----------------------------------------------------------------------------

VIETNAMESE = [f"{c}/ảnh {n}.jpg" for c in ("đạo ôn", "khỏe") for n in range(2)]


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_either_form_of_vietnamese_names(typed, on_disk, lay, load, capsys):
    folder = lay(*(unicodedata.normalize(on_disk, name) for name in VIETNAMESE))
    rows = ";".join(f"{name},{name.split('/')[0]}" for name in VIETNAMESE)
    lay(unicodedata.normalize(typed, f"x.csv=path,label;{rows}"))
    lay(unicodedata.normalize(typed, 'label2id.json={"đạo ôn": 1, "khỏe": 0}'))
    classes, _, _ = load(folder / "x.csv", "metadata")
    assert classes == {"đạo ôn": 2, "khỏe": 2}
    os.remove(folder / "x.csv")
    assert load(folder)[0] == classes
    known = {unicodedata.normalize(typed, name): i for i, name in enumerate(("đạo ôn", "khỏe"))}
    found = dataset.load(Config.of(data_dir=str(folder)), known)
    assert found.label2id == known and set(found.rows["label"]) == set(known)


def test_a_folder_whose_parts_are_in_different_forms(lay, load):
    mixed = unicodedata.normalize("NFD", "đạo ôn") + "/" + "ảnh 0.jpg"
    folder = lay(mixed, *each("b"))
    lay(f"x.csv=path,label;{unicodedata.normalize('NFC', mixed)},o;b/b_0.jpg,b")
    assert load(folder / "x.csv", "metadata")[0] == {"o": 1, "b": 1}


def test_a_split_is_found_again_after_the_data_went_through_a_mac(lay, tmp_path, capsys):
    composed, decomposed = lay(*VIETNAMESE), tmp_path / "mac"
    for name in VIETNAMESE:
        place = decomposed / unicodedata.normalize("NFD", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(composed / name, place)
    one, other = (dataset.load(Config.of(data_dir=str(f))) for f in (composed, decomposed))
    assert list(one.rows["path"]) == list(other.rows["path"])
    made = one.rows.assign(split="train", bytes="1")
    made["bytes"] = one.rows["absolute_path"].map(os.path.getsize).astype(str)
    assert len(split.with_split_of(other, made).rows) == 4
    assert len(split.with_split_of(other, made[:3]).rows) == 3
    said = "left out: images that the run did not use, or that have changed since: 1\n"
    assert capsys.readouterr().out.endswith(said)


# --- links, sidecars, endings ----------------------------------------------------------------


def test_linked_folders_and_photos_are_used_once(lay, load, tmp_path):
    lay(*each("elsewhere", 3), below=tmp_path)
    folder = lay(*each("blast"), *each("ok"))
    (folder / "rust").symlink_to(tmp_path / "elsewhere")
    (folder / "archive").symlink_to(folder / "blast")  # before `blast` in the alphabet
    (folder / "ok/loop").symlink_to(folder)
    (folder / "ok/one.jpg").symlink_to(folder / "ok/ok_0.jpg")
    os.link(folder / "ok/ok_1.jpg", folder / "ok/two.jpg")
    (folder / "gone").symlink_to("/nowhere/at/all")
    classes, _, said = load(folder)
    assert classes == {"blast": 2, "ok": 2, "rust": 3}
    assert "links to folders read already: 2" in said and "links that lead nowhere: 1" in said
    assert "links to photos used already: 2 (ok)" in said


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_table_that_lists_a_photo_and_its_link(link, lay, load):
    folder = lay(*each("a"), *each("b"))
    link(folder / "a/a_0.jpg", folder / "again.jpg")
    rows = ";".join(f"{c}/{c}_{n}.jpg,{c}" for c in "ab" for n in range(2))
    lay(f"x.csv=path,label;{rows};again.jpg,a", f"y.csv=path,label;{rows};again.jpg,b")
    classes, _, said = load(folder / "x.csv", "metadata")
    assert classes == {"a": 2, "b": 2} and "lines that repeat a path are left out" in said
    with pytest.raises(InputError, match=r"a/a_0\.jpg = again\.jpg is listed with two labels"):
        load(folder / "y.csv", "metadata")


def test_a_folder_of_a_system_may_be_a_link_to_everything(lay, load):
    folder = lay(*each("blast"), *each("ok"), "@eaDir/x.jpg")
    (folder / ".everything").symlink_to("/")
    said = load(folder)[2]
    assert "links to folders of systems: 1 (.everything)" in said
    assert "in folders of systems and thumbnails: 1 (@eaDir)" in said


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_photo_linked_into_a_second_class_is_refused(link, lay, load):
    folder = lay(*each("blast"), *each("ok"))
    link(folder / "blast/blast_0.jpg", folder / "ok/x.jpg")
    with pytest.raises(InputError, match="are one file, by a link, in two classes"):
        load(folder)


def test_what_systems_and_cameras_leave_is_named(lay, load):
    folder = lay(*each("blast"), *each("ok"))
    left = ["blast/@eaDir/x.jpg/THUMB_M.jpg", "__MACOSX/blast/._x.jpg", "ok/.thumbnails/x.jpg"]
    left += ["#recycle/blast/y.jpg", "blast/.ipynb_checkpoints/x.jpg", "ok/Thumbs/x.jpg"]
    lay(
        *left,
        "blast/._x.jpg",
        "blast/x.THM",
        "ok/x.dng",
        "ok/x.xmp=x",
        "Thumbs.db=x",
        "notes/a.txt=x",
    )
    classes, _, said = load(folder)
    assert classes == {"blast": 2, "ok": 2}
    for told in ("in folders of systems and thumbnails: 6", "1 @eaDir", "hidden: 1", "1 .xmp",
                 "thumbnails of a camera: 1", "raw photos, to be converted to JPEG: 1 (.dng)",
                 "no photos: 3", "no photo in notes"):  # fmt: skip
        assert told in said, said


def test_photos_by_their_first_bytes(lay, load):
    folder = lay(
        *each("ok"), *(f"blast/{name}" for name in ("a.jfif", "b.jpe", "c", "d.txt", "e.JPG.1"))
    )
    for suffix in ("gif", "avif", "jp2", "heic"):
        with Image.open(folder / "blast/c") as photo:
            if suffix != "heic":
                photo.save(folder / f"blast/x.{suffix}")
    heic = Path(__file__).parents[1] / "images/leaf.heic"
    for name in ("IMG_1.HEIC", "IMG_2.heif", "IMG_3.jpg", "IMG_4"):
        shutil.copy(heic, folder / "blast" / name)
    lay("blast/film.mov=ftypqt", "blast/BM.txt=BMI of leaves and more words than a header has")
    classes, _, said = load(folder)
    assert classes == {"blast": 12, "ok": 2} and "no photos: 2 (1 .mov, 1 .txt)" in said
    data = dataset.load(Config.of(data_dir=str(folder)))
    assert len(dataset.without_bad_images(data, skip=False).rows) == 14


def test_a_class_of_iphone_photos_is_a_class(lay, load):
    folder = lay(*each("a"), *each("b"))
    (folder / "c").mkdir()
    shutil.copy(Path(__file__).parents[1] / "images/leaf.heic", folder / "c/IMG_0001.HEIC")
    assert load(folder)[0] == {"a": 2, "b": 2, "c": 1}


@pytest.mark.parametrize("where", ["blast", "blast/deeper", ""])
def test_a_folder_that_cannot_be_read_is_an_error(where, lay, load, monkeypatch, tiny_run, capsys):
    """As root every folder can be read, so the system's answer is played."""
    folder = lay(*each("blast"), *each("blast/deeper"), *each("ok"))
    listing = os.scandir

    def scandir(path):
        if isinstance(path, (str, Path)) and Path(path) == folder / where:
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(folder_walk.os, "scandir", scandir)
    with pytest.raises(InputError, match=r"cannot be read .Permission denied.*permissions"):
        load(folder)
    assert main(["predict", str(tiny_run), str(folder)]) == 2
    assert "cannot be read (Permission denied)" in capsys.readouterr().err


def test_predict_names_what_it_leaves_out(lay, tiny_run, capsys):
    folder = lay("a.jpg", "b", "c.txt=x", "d.xml=y", ".e.jpg", "@eaDir/f.jpg")
    (folder / "again.jpg").symlink_to(folder / "a.jpg")
    assert main(["predict", str(tiny_run), str(folder)]) == 0
    shown = capsys.readouterr()
    assert "2 photos: " in shown.out
    assert "no photos: 2 (1 .txt, 1 .xml)" in shown.err and "hidden: 1" in shown.err
    assert "links to photos used already: 1" in shown.err
