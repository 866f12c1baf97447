"""Data as users bring it: each oddity works right, or ends in one line that names file and remedy.

A refusal is exit code 2, one line on stderr, and nothing written: no run folder, no new file
among the data.
"""

import json
import os
import re
import shutil
import struct
import tempfile
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lite0ca.__main__ import main
from lite0ca.data import dataset, split
from lite0ca.errors import InputError
from lite0ca.settings.config import Config


@pytest.fixture
def data(leaves, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(leaves, tmp_path / "data"))


@pytest.fixture
def train(tmp_path, capsys, monkeypatch):
    """Train one tiny epoch: (exit code, stdout, stderr). A refusal is checked to leave nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def run(*arguments):
        before = files_below(tmp_path)
        code = main(["train", *FAST, "--output-dir", "out", *map(str, arguments)])
        shown = capsys.readouterr()
        if code:
            assert files_below(tmp_path) == before, "a refusal left something behind"
            assert shown.err.startswith("error: ") and shown.err.count("\n") == 1, shown.err
        return code, shown.out, shown.err

    return run


def files_below(folder: Path) -> set[str]:
    return {os.path.join(above, name) for above, _, names in os.walk(folder) for name in names}


def lines_of(folder: Path) -> list[str]:
    return [f"{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(folder.glob("*/*.jpg"))]


def csv_of(folder: Path, header="path,label", change=lambda lines: lines, encoding="utf-8") -> Path:
    file = folder / "metadata.csv"
    file.write_bytes("\n".join([header, *change(lines_of(folder))]).encode(encoding))
    return file


def each(change):
    return lambda lines: [change(number, line) for number, line in enumerate(lines)]


def first(text):
    return lambda lines: [text, *lines[1:]]


def split_of(number: int) -> str:
    return ("train", "train", "valid", "test")[number % 4]


def assert_all_are_taken(**where) -> None:
    """What training does before its first step; the 24 photos must all be there, in two classes."""
    config = Config.of(**{name: str(place) for name, place in where.items()})
    data = split.for_training(dataset.load(config), config)
    assert len(data.rows) == 24 and set(data.rows["split"]) == {"train", "valid", "test"}
    assert data.rows["label"].value_counts().tolist() == [12, 12]


# --- CSV -------------------------------------------------------------------------------------

WORKING_CSV = {
    "BOM": {"encoding": "utf-8-sig"},
    "Windows line ends": {"change": each(lambda n, line: line + "\r"), "header": "path,label\r"},
    "spaces around values": {"change": each(lambda n, line: f" {line.replace(',', ' , ')} ")},
    "quoted": {"change": each(lambda n, line: '"' + line.replace(",", '","') + '"')},
    "further columns, empty cells": {
        "header": "path,label,note,area",
        "change": each(lambda n, line: line + ",,"),
    },
    "a column called split.1": {
        "header": "path,label,split,split.1",
        "change": each(lambda n, line: f"{line},{split_of(n)},x"),
    },
    "split names in capitals": {
        "header": "path,label,split",
        "change": each(lambda n, line: f"{line},{split_of(n).upper()}"),
    },
    "val and validation": {
        "header": "path,label,split",
        "change": each(lambda n, line: f"{line},{split_of(n).replace('valid', 'validation')}"),
    },
    "the same line twice": {"change": lambda lines: lines + lines[:3]},
    "a blank line above": {"header": " \npath,label"},
    "spaces in the last line": {"change": lambda lines: [*lines, "   "]},
    "a column Group of something else": {
        "header": "path,label,Group,Split",
        "change": each(lambda n, line: f"{line},{'xy'[n % 2]},{'AB'[n % 2]}"),
    },
    "blank lines": {"change": lambda lines: ["", *lines[:5], "", *lines[5:], ""]},
    "spaces in the header": {"header": " path , label "},
    "header in capitals": {"header": "Path,Label"},
    "quoted label with a comma": {
        "change": each(lambda n, line: line.replace(",healthy", ',"healthy, green"'))
    },
    "labels that are numbers": {
        "change": each(lambda n, line: line.split(",")[0] + f",{int('healthy' in line)}")
    },
    "labels called NA and null": {
        "change": each(
            lambda n, line: line.split(",")[0] + (",NA" if "healthy" in line else ",null")
        )
    },
    "dots in paths": {"change": each(lambda n, line: "./" + line)},
    "up and down again": {"change": each(lambda n, line: "blast/../" + line)},
    "a label that is a path": {
        "change": each(lambda n, line: line.replace(",healthy", ",../../etc/passwd"))
    },
    "a label with a tag and a formula": {
        "change": each(lambda n, line: line.replace(",healthy", ",=<script>alert(1)</script>"))
    },
    "backslashes": {"change": each(lambda n, line: line.replace("/", "\\"))},
}


@pytest.mark.parametrize("name", WORKING_CSV)
def test_csv_files_that_work(name, data):
    assert_all_are_taken(metadata=csv_of(data, **WORKING_CSV[name]))


REFUSED_CSV = {
    "empty": ({"header": "", "change": lambda lines: []}, "is not a CSV file"),
    "header only": ({"change": lambda lines: []}, "lists no image"),
    "no header": ({"header": "blast/00.jpg,blast"}, "has no column 'path'"),
    "semicolons": (
        {"header": "path;label", "change": each(lambda n, line: line.replace(",", ";"))},
        "has no column 'path'.*commas",
    ),
    "tabs": (
        {"header": "path\tlabel", "change": each(lambda n, line: line.replace(",", "\t"))},
        "has no column 'path'.*commas",
    ),
    "UTF-16": ({"encoding": "utf-16"}, "UTF-8"),
    "latin-1": (
        {"encoding": "latin-1", "change": each(lambda n, line: line.replace("healthy", "h\xe9"))},
        "UTF-8",
    ),
    "NUL bytes": ({"change": first("blast/00.jpg\0,blast")}, "blast/00.jpg"),
    "no label": ({"change": first("blast/00.jpg,")}, "line 2 has no label"),
    "no path": ({"change": first(",blast")}, "line 2 has no path"),
    "spaces for a label": ({"change": first("blast/00.jpg,   ")}, "line 2 has no label"),
    "no split": (
        {"header": "path,label,split", "change": each(lambda n, line: line + ",")},
        "line 2 has no split",
    ),
    "an unknown split": (
        {"header": "path,label,split", "change": each(lambda n, line: line + ",fold 3")},
        "split 'fold 3' is unknown",
    ),
    "only train and test, one class in train": (
        {
            "header": "path,label,split",
            "change": each(lambda n, line: line + (",train" if "blast" in line else ",test")),
        },
        "blast|classes",
    ),
    "only test": (
        {"header": "path,label,split", "change": each(lambda n, line: line + ",test")},
        "neither train nor valid",
    ),
    "a line too long": ({"change": lambda lines: [*lines[:2], "a,b,c,d", *lines[2:]]}, "line 4"),
    "a line too short": ({"change": first("blast/00.jpg")}, "line 2 has no label"),
    "an open quote": ({"change": lambda lines: [*lines, '"blast/00.jpg,blast']}, "CSV"),
    "one class": (
        {"change": lambda lines: [line for line in lines if "blast" in line]},
        "2 or more classes",
    ),
    "two labels for a path": (
        {"change": lambda lines: [*lines, "blast/00.jpg,healthy"]},
        "blast/00.jpg is listed with two labels",
    ),
    "two labels for a path, written differently": (
        {"change": lambda lines: [*lines, "./blast/00.jpg,healthy"]},
        "blast/00.jpg is listed with two labels",
    ),
    "one image in two splits": (
        {
            "header": "path,label,split",
            "change": lambda lines: [f"{line},train" for line in lines] + [f"{lines[0]},test"],
        },
        "listed with two splits",
    ),
    "one image in two splits, written differently": (
        {
            "header": "path,label,split",
            "change": lambda lines: (
                [f"{x},{split_of(n)}" for n, x in enumerate(lines)] + [f"blast/../{lines[0]},valid"]
            ),
        },
        "listed with two splits",
    ),
    "paths of another machine": (
        {"change": each(lambda n, line: "/Users/an/photos/" + line)},
        "/Users/an/photos/blast/00.jpg .missing.",
    ),
    "paths of a Windows machine": (
        {"change": each(lambda n, line: "C:\\photos\\" + line.replace("/", "\\"))},
        r"00.jpg .missing",
    ),
    "out of the folder and nothing there": (
        {"change": each(lambda n, line: "../../../../" + line)},
        "missing",
    ),
    "a folder for a photo": ({"change": first("blast,blast")}, "blast .*folder"),
    "an address": (
        {"change": first("https://example.org/leaf.jpg,blast")},
        "leaf.jpg .missing",
    ),
    "a very long path": ({"change": first("a" * 5000 + ".jpg,blast")}, "name too long"),
}


@pytest.mark.parametrize("name", REFUSED_CSV)
def test_csv_files_that_are_refused(name, data, train):
    how, message = REFUSED_CSV[name]
    code, out, err = train("--metadata", csv_of(data, **how))
    assert code == 2, out
    assert_says(err, message)


def assert_says(err: str, message: str) -> None:
    assert re.search(message, err), err
    assert len(err) < 3000, "one line that can be read"


LABEL_MAPS = {
    "a class too few": ({"blast": 0}, "label 'healthy' is unknown"),
    "a gap": ({"blast": 0, "healthy": 2}, "number the classes 0 to 1"),
    "one number twice": ({"blast": 1, "healthy": 1}, "number the classes 0 to 1"),
    "from 1": ({"blast": 1, "healthy": 2}, "number the classes 0 to 1"),
    "negative": ({"blast": -1, "healthy": 0}, "number the classes 0 to 1"),
    "true and false": ({"blast": False, "healthy": True}, "must be JSON like|number"),
    "floats": ({"blast": 0.0, "healthy": 1.0}, "must be JSON like|number"),
    "numbers as text": ({"blast": "0", "healthy": "1"}, "must be JSON like|number"),
    "a list": (["blast", "healthy"], "must be JSON like"),
    "null": (None, "must be JSON like"),
    "a list of pairs": ([["blast", 0], ["healthy", 1]], "must be JSON like"),
    "a number too long": ({"blast": 0, "healthy": 10**400}, "number the classes"),
    "the other way round": ({"0": "blast", "1": "healthy"}, "must be JSON like|number|unknown"),
    "nested": ({"blast": [0], "healthy": [1]}, "must be JSON like|number"),
    "empty": ({}, "unknown|must"),
    "in other letters": ({"Blast": 0, "healthy": 1}, "label 'blast' is unknown.*'Blast'"),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_label_maps_that_are_refused(name, data, train):
    content, message = LABEL_MAPS[name]
    file = data.parent / "label2id.json"
    file.write_text(json.dumps(content))
    code, out, err = train("--metadata", csv_of(data), "--label2id", file)
    assert code == 2, out
    assert "label2id.json" in err or "label" in err
    assert_says(err, message)


@pytest.mark.parametrize(
    "text", ["", "{", '{"blast": 0, "blast": 1, "healthy": 1}', "\0", "[" * 100_000]
)
def test_label_maps_that_are_no_json(text, data, train):
    file = data / "label2id.json"
    file.write_text(text)
    code, out, err = train("--data-dir", data)
    assert code == 2, out
    assert_says(err, "label2id.json")


# --- folders ---------------------------------------------------------------------------------


def add(folder: Path, name: str, source: str = "blast/00.jpg") -> Path:
    there = folder / name
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / source, there)
    return there


def hidden(folder):
    add(folder, ".ipynb_checkpoints/00.jpg")
    add(folder, "blast/.hidden.jpg")
    add(folder, "blast/.ipynb_checkpoints/00-checkpoint.jpg")
    add(folder, "__MACOSX/blast/._00.jpg")
    add(folder, "blast/._01.jpg")
    (folder / "blast/.DS_Store").write_bytes(b"\0")
    (folder / "blast/Thumbs.db").write_bytes(b"\0")


def unicode_names(folder):
    (folder / "blast").rename(folder / unicodedata.normalize("NFD", "đạo ôn"))


def link_to_itself(folder):
    (folder / "blast/loop").symlink_to(folder / "blast")
    (folder / "again").symlink_to(folder)


def image_folder(folder):
    (folder / "blast/x.jpg").mkdir()


def linked_photos(folder):
    photo = folder / "healthy/00.jpg"
    photo.rename(folder.parent / "elsewhere.jpg")
    photo.symlink_to(folder.parent / "elsewhere.jpg")


def strange_names(folder):
    for number, name in enumerate(
        ["a,b.jpg", 'a"b.jpg', "a\nb.jpg", "<b>.jpg", "'; x.jpg", "%s.jpg"]
    ):
        (folder / f"blast/{number:02}.jpg").rename(folder / "blast" / name)


def capitals(folder):
    (folder / "blast/00.jpg").rename(folder / "blast/00.JPG")
    (folder / "blast/01.jpg").rename(folder / "blast/01.JPEG")


def nothing(folder):
    pass


def empty_class(folder):
    (folder / "empty").mkdir()


def nested(folder):
    (folder / "blast").rename(folder / "x")
    (folder / "blast/field one/day 2").mkdir(parents=True)
    for photo in (folder / "x").iterdir():
        photo.rename(folder / "blast/field one/day 2" / photo.name)
    (folder / "x").rmdir()


def readme_and_csv_inside(folder):
    (folder / "README.md").write_text("photos")
    (folder / "blast/notes.txt").write_text("x")


def two_unicode_forms_of_a_class(folder):
    photos = sorted((folder / "blast").iterdir())
    for number, form in enumerate(("NFC", "NFD")):
        place = folder / unicodedata.normalize(form, "bệnh")
        place.mkdir()
        for photo in photos[number::2]:
            photo.rename(place / photo.name)


WORKING_FOLDERS = [nothing, hidden, unicode_names, link_to_itself, image_folder, linked_photos]
WORKING_FOLDERS += [strange_names, capitals, empty_class, nested]
WORKING_FOLDERS += [readme_and_csv_inside, two_unicode_forms_of_a_class]


@pytest.mark.parametrize("spoil", WORKING_FOLDERS, ids=lambda spoil: spoil.__name__)
def test_folders_that_work(spoil, data):
    spoil(data)
    assert_all_are_taken(data_dir=data)


def only_one_class(folder):
    shutil.rmtree(folder / "healthy")


def no_class(folder):
    for photo in folder.glob("*/*.jpg"):
        photo.rename(folder / f"{photo.parent.name}_{photo.name}")
    for inner in ("blast", "healthy"):
        (folder / inner).rmdir()


def one_image_a_class(folder):
    for photo in folder.glob("*/*.jpg"):
        if photo.name != "00.jpg":
            photo.unlink()


def only_text(folder):
    for photo in folder.glob("*/*.jpg"):
        photo.with_suffix(".txt").write_text("no photo")
        photo.unlink()


def loop_of_links(folder):
    (folder / "blast/00.jpg").unlink()
    (folder / "blast/00.jpg").symlink_to(folder / "blast/00.jpg")


def names_that_differ_by_case(folder):
    shutil.copytree(folder / "blast", folder / "Blast")


def a_class_without_valid(folder):
    for part in ("train", "valid"):
        for label in ("blast", "healthy"):
            shutil.copytree(folder / label, folder / part / label)
    for label in ("blast", "healthy"):
        shutil.rmtree(folder / label)
    shutil.copytree(folder / "valid/blast", folder / "valid/rust")


REFUSED_FOLDERS = [
    (only_one_class, "2 or more classes"),
    (no_class, "a sub-folder with images for each class"),
    (one_image_a_class, "independent photos.*Add photos"),
    (only_text, "a sub-folder with images for each class"),
    (loop_of_links, "blast/00.jpg"),
    (names_that_differ_by_case, "'Blast' and 'blast'"),
    (a_class_without_valid, "'rust' is in the valid split but not in the train"),
]


@pytest.mark.parametrize(
    ("spoil", "message"), REFUSED_FOLDERS, ids=[spoil.__name__ for spoil, _ in REFUSED_FOLDERS]
)
def test_folders_that_are_refused(spoil, message, data, train):
    spoil(data)
    code, out, err = train("--data-dir", data)
    assert code == 2, out
    assert_says(err, message)


def test_no_such_place_and_no_folder(data, train):
    for where in ("nowhere", data / "blast/00.jpg", "/dev/null", "\0", "a" * 5000):
        code, _, err = train("--data-dir", where)
        assert code == 2 and "--data-dir" in err and len(err) < 400
        code, _, err = train("--metadata", where)
        assert code == 2 and len(err) < 400


# --- images ----------------------------------------------------------------------------------


def as_jpeg(mode="RGB", size=(48, 40), **how):
    def write(path):
        rng = np.random.default_rng(1)
        image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8))
        image.convert(mode).save(path, "JPEG", **how)

    return write


def as_png(array, **how):
    return lambda path: Image.fromarray(array).save(path, "PNG", **how)


def frames(format):
    def write(path):
        pictures = [Image.new("RGB", (48, 40), (n * 60, 90, 30)) for n in range(4)]
        pictures[0].save(path, format, save_all=True, append_images=pictures[1:])

    return write


def turned_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GREY = np.arange(48 * 40, dtype=np.uint16).reshape(40, 48)
GOOD_IMAGES = {
    "CMYK.jpg": as_jpeg("CMYK"),
    "grey.jpg": as_jpeg("L"),
    "progressive.jpg": as_jpeg(progressive=True),
    "EXIF turned.jpg": as_jpeg(exif=turned_by_exif()),
    "broken EXIF.jpg": as_jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
    "broken ICC.jpg": as_jpeg(icc_profile=b"no profile at all"),
    "1x1.jpg": as_jpeg(size=(1, 1)),
    "very wide.jpg": as_jpeg(size=(20_000, 10)),
    "one line.jpg": as_jpeg(size=(1, 5000)),
    "16 bits.png": as_png(GREY * 30),
    "32 bits.tif": lambda path: Image.fromarray(GREY.astype(np.float32)).save(path, "TIFF"),
    "alpha.png": as_png(np.full((40, 48, 4), 90, np.uint8)),
    "palette.png": lambda path: Image.new("P", (48, 40), 7).save(path, "PNG"),
    "black and white.png": lambda path: Image.new("1", (48, 40), 1).save(path, "PNG"),
    "a PNG called jpg.jpg": as_png(np.full((40, 48, 3), 90, np.uint8)),
    "animated.webp": frames("WEBP"),
    "animated.png": frames("PNG"),
    "pages.tif": frames("TIFF"),
    "a GIF called jpg.jpg": frames("GIF"),
    "bytes after the end.jpg": lambda path: (
        as_jpeg()(path),
        path.write_bytes(path.read_bytes() + b"x" * 999),
    ),
    "lossless.webp": lambda path: Image.new("RGB", (48, 40), "green").save(path, lossless=True),
    "old.bmp": lambda path: Image.new("RGB", (48, 40), "green").save(path),
}


def test_images_of_every_kind_work(data, train):
    for name, write in GOOD_IMAGES.items():
        write(data / "blast" / name)
    code, out, err = train("--data-dir", data, "--skip-bad-images")
    assert code == 0, err
    assert f"{24 + len(GOOD_IMAGES)} images" in out and "left out" not in out


def cut(share):
    def write(path):
        as_jpeg(size=(640, 480))(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return write


def bomb(path):
    """A PNG of a few kilobytes whose header promises 900 million pixels."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(2_000_000), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def text_bomb(path):
    """A PNG whose text chunk unfolds to 100 megabytes."""
    Image.new("RGB", (48, 40)).save(path, "PNG")
    packer = zlib.compressobj(9)
    body = b"Comment\0\0" + b"".join(packer.compress(bytes(1_000_000)) for _ in range(100))
    body += packer.flush()
    whole = path.read_bytes()
    chunk = b"zTXt" + body
    text = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(whole[:33] + text + whole[33:])


BAD_IMAGES = {
    "0 bytes.jpg": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("not a photo"),
    "a page.jpg": lambda path: path.write_text("<!doctype html><title>404</title>"),
    "cut early.jpg": cut(0.02),
    "cut in the middle.jpg": cut(0.5),
    "cut late.jpg": cut(0.95),
    "all zeros.png": lambda path: path.write_bytes(bytes(4096)),
    "only a header.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "bomb.png": bomb,
    "unfolding text.png": text_bomb,
    "a pickle.jpg": lambda path: path.write_bytes(b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a\x94."),
    "a script.jpg": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n(a) run\n"),
    "not a number.tif": lambda path: Image.fromarray(np.full((40, 48), np.nan, np.float32)).save(
        path
    ),
}


@pytest.fixture
def with_bad_images(data):
    for name, write in BAD_IMAGES.items():
        write(data / "blast" / name)
    (data / "blast/gone.jpg").symlink_to(data / "nowhere.jpg")
    os.rename(data / "blast/00.jpg", os.fsencode(data / "blast") + b"/\xff\xfe.jpg")
    os.mkfifo(data / "blast/pipe.jpg")
    return data, [*BAD_IMAGES, "gone.jpg", r"\udcff\udcfe.jpg", "pipe.jpg"]


def test_bad_images_are_named(with_bad_images, train):
    data, names = with_bad_images
    code, out, err = train("--data-dir", data)
    assert code == 2, out
    assert f"{len(names)} of {23 + len(names)} images" in err and "--skip-bad-images" in err
    assert [name for name in names if f"blast/{name} (" not in err] == []


def test_bad_images_are_left_out(with_bad_images, train):
    data, names = with_bad_images
    code, out, err = train("--data-dir", data, "--skip-bad-images")
    assert code == 0, err
    assert f"bad images left out, {len(names)} of {23 + len(names)}: " in out
    assert [name for name in names if name not in out] == []


def test_every_photo_of_a_class_is_bad(data, train):
    for photo in (data / "blast").iterdir():
        photo.write_bytes(b"")
    code, _, err = train("--data-dir", data, "--skip-bad-images")
    assert code == 2
    assert_says(err, "classes")


# --- names -----------------------------------------------------------------------------------


def test_names_that_mean_something_elsewhere(leaves, tmp_path, capsys, monkeypatch):
    """To matplotlib, a browser, a spreadsheet, a format string, a shell: here they are names."""
    monkeypatch.chdir(tmp_path)
    names = {"blast": "a$\\frac{$; rm -rf x `x`", "healthy": "=<script>alert(1) %s {}"}
    for label, name in names.items():
        shutil.copytree(leaves / label, tmp_path / "$(touch x)$" / name)
    where = ["--data-dir", "$(touch x)$"]
    assert main(["train", *FAST, *where, "--output-dir", "out", "--save-history"]) == 0
    run = str(next((tmp_path / "out").iterdir()))
    assert main(["evaluate", run, "--split", "all", "--num-workers", "0"]) == 0
    assert main(["predict", run, "$(touch x)$", "--csv", "answers.csv"]) == 0
    assert set(pd.read_csv("answers.csv")["prediction"]) <= set(names.values())
    assert len(list(Path(run).glob("*.png"))) == 5 and not Path("x").exists()
    assert "<script" not in Path(run, "report.html").read_text(encoding="utf-8")
    assert capsys.readouterr().err == ""


# --- anything ---------------------------------------------------------------------------------

CELL = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["path", "label", "split", "group", "a.jpg", "b/../a.jpg", "train", "valid", "test", "a", "b"]
)
TABLE = st.lists(st.lists(CELL, max_size=6), max_size=8)


@settings(deadline=None, database=None, max_examples=int(os.environ.get("EXAMPLES", "100")))
@given(
    header=st.permutations(["path", "label", "split", "group"]) | st.lists(CELL, max_size=5),
    rows=TABLE,
    separator=st.sampled_from([",", ",", ",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    raw=st.none() | st.binary(max_size=200),
)
def test_any_csv_is_read_or_refused_in_one_line(header, rows, separator, end, raw):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "metadata.csv")
        lines = [separator.join(cells) for cells in [header, *rows]]
        file.write_bytes(raw if raw is not None else end.join(lines).encode())
        try:
            found = dataset.load(Config.of(metadata=str(file)))
            dataset.without_bad_images(found, skip=False)
        except InputError as error:
            assert str(error).strip() and "Traceback" not in str(error)
            return
        raise AssertionError("none of these files exists")
