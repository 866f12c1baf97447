"""A competition's submission: `predict RUN TEST --submission SAMPLE`, and what a notebook calls."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO

import lite0ca
from lite0ca.__main__ import main
from lite0ca.errors import InputError
from lite0ca.prediction import Answer, Answered
from lite0ca.submission import check_submission, write_submission

CLASSES = ["bacterial_leaf_blight", "brown_spot", "healthy", "leaf_blast"]


class Stub:
    """A model of nobody: each photo gets the class that its number says; the tenth is broken."""

    classes = CLASSES

    def answers(self, paths):
        for path in paths:
            number = int("".join(filter(str.isdigit, Path(path).stem)) or 0) % 100
            if number % 10 == 9:
                yield Answered(path, None, f"{path}: unreadable image")
                continue
            likely = CLASSES[number % 4 if number % 3 else 2]
            by_label = {likely: 0.7, **{label: 0.1 for label in CLASSES if label != likely}}
            yield Answered(path, Answer(likely, "", 0.7, True, False, None, by_label, {}), None)


def label_of(number: int) -> str:
    if number % 10 == 9:
        return "healthy"  # the most frequent answer
    return CLASSES[number % 4 if number % 3 else 2]


def competition(folder: Path, names: list[str], text: str, within: str = "test") -> tuple:
    for name in names:
        file = folder / within / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not read by a stub")
    (folder / "sample.csv").write_text(text, encoding="utf-8")
    return folder / "sample.csv", folder / within


def rows_of(file: Path) -> list[list[str]]:
    return list(csv.reader(file.read_text(encoding="utf-8").splitlines()))


NUMBERS = [7, 3, 19, 12, 1, 0, 6]  # in an order of their own, one of them broken


@pytest.mark.parametrize(
    ("header", "id_of", "name_of"),
    [
        ("image_id,label", "2000{:02}.jpg", "2000{:02}.jpg"),
        ("Id,Disease Type", "2000{:02}", "2000{:02}.jpg"),
        ("ảnh,bệnh", "0000{:02}", "0000{:02}.JPG"),
        ("filename,class", "test/a/{:02}.png", "a/{:02}.png"),
        ("filename,class", "elsewhere/{:02}.png", "{:02}.png"),
        ("x,y", "{:02}.jpg", "deep/er/{:02}.jpg"),
        ("x,y", "deep\\{:02}", "deep/{:02}.jpg"),
        ("x,y", "{:02}.jpg", "{:02}.JPG"),
        ("x,y", "2{:02}", "002{:02}.jpg"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_labels_for_ids_of_all_kinds(header, id_of, name_of, turned, tmp_path, capsys):
    lines = [[id_of.format(number), "healthy"] for number in NUMBERS]
    header = header.split(",")
    table = [row[::-1] if turned else row for row in [header, *lines]]
    text = "\ufeff" + "".join(",".join(row) + "\r\n" for row in table)
    names = [name_of.format(number) for number in [*NUMBERS, 30, 31]]
    sample, photos = competition(tmp_path, names, text)
    out = write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    assert not out.read_bytes().startswith(b"\xef\xbb\xbf") and b"\r" not in out.read_bytes()
    expected = [header, *([row[0], label_of(n)] for row, n in zip(lines, NUMBERS))]
    assert rows_of(out) == [row[::-1] if turned else row for row in expected]
    said = capsys.readouterr()
    assert said.err.count("\n") == 2 and "1 of 7 photos cannot be read: their rows" in said.err
    assert "2 photos that the sample does not name" in said.out
    again = write_submission(Stub(), sample, [photos, photos], out)  # named twice, it is one folder
    assert again == out, "its own is written anew"


def test_a_column_a_class_in_the_samples_order_and_spelling(tmp_path):
    header = ["Leaf Blast", "ID", "healthy", "Brown-Spot", "bacterial_leaf_blight"]
    text = ",".join(header) + "\n" + "".join(f"0.25,{n},0.25,0.25,0.25\n" for n in NUMBERS)
    sample, photos = competition(tmp_path, [f"{n}.jpg" for n in NUMBERS], text)
    first, *rows = rows_of(write_submission(Stub(), sample, photos, tmp_path / "out.csv"))
    assert first == header
    order = ["leaf_blast", None, "healthy", "brown_spot", "bacterial_leaf_blight"]
    for number, row in zip(NUMBERS, rows):
        values = {label: float(cell) for label, cell in zip(order, row) if label}
        assert row[1] == str(number) and sum(values.values()) == pytest.approx(1)
        if number % 10 == 9:
            assert set(values.values()) == {0.25}
        else:
            assert max(values, key=values.get) == label_of(number)


def test_a_sample_of_one_photo_with_its_label_first(tmp_path):
    sample, photos = competition(tmp_path, ["3.jpg"], "label,id\nhealthy,3\n")
    out = write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    assert rows_of(out) == [["label", "id"], ["healthy", "3"]]


def test_the_label_among_other_columns(tmp_path, capsys):
    for header, label in ((",Id,Label,Age", "healthy"), ("Row,photo,Verdict,Age", "")):
        lines = [f"{row},{n:03}.jpg,{label},{n + 20}" for row, n in enumerate(NUMBERS)]
        sample, photos = competition(
            tmp_path, [f"{n:03}.jpg" for n in NUMBERS], "\n".join([header, *lines])
        )
        out = write_submission(Stub(), sample, photos, tmp_path / f"{len(label)}.csv")
        expected = [
            [str(row), f"{n:03}.jpg", label_of(n), str(n + 20)] for row, n in enumerate(NUMBERS)
        ]
        assert rows_of(out) == [header.split(","), *expected]
        assert "columns that stay as the sample has them" in capsys.readouterr().out


def test_empty_labels_and_placeholders(tmp_path, capsys):
    for cell, said in (("", ""), ("?", "no class of the model")):
        text = "id,label\n" + "".join(f"{n},{cell}\n" for n in NUMBERS)
        sample, photos = competition(tmp_path, [f"{n}.jpg" for n in NUMBERS], text)
        out = write_submission(Stub(), sample, photos, tmp_path / "out.csv")
        assert [row[1] for row in rows_of(out)[1:]] == [label_of(n) for n in NUMBERS]
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cells", "column", "expected"),
    [
        (["0.0"], "label", ["0.0", "1.0", "0.0"]),  # as pandas writes numbers
        (["1", "0"], "label", ["0", "1", "0"]),
        (["0.5"], "label", ["0.25", "0.75", "0.25"]),  # a probability, of 1
        (["0", "0.5"], "target", ["0.25", "0.75", "0.25"]),
        (["0.5"], "0", ["0.75", "0.25", "0.75"]),
    ],
)
def test_labels_0_and_1(cells, column, expected, tmp_path):
    class OfTwo:
        classes = ("0", "1")

        def answers(self, paths):
            for path in paths:
                likely = str(int(Path(path).stem) % 2)
                by_label = {likely: 0.75, str(1 - int(likely)): 0.25}
                answer = Answer(likely, "", 0.75, True, False, None, by_label, {})
                yield Answered(path, answer, None)

    lines = [f"{number},{cells[number % len(cells)]}" for number in range(3)]
    sample, photos = competition(
        tmp_path, [f"{n}.jpg" for n in range(3)], "\n".join([f"id,{column}", *lines])
    )
    rows = rows_of(write_submission(OfTwo(), sample, photos, tmp_path / "out.csv"))
    assert [row[1] for row in rows[1:]] == expected


MISTAKES = [
    ("id,label\n1,healthy\n2,healthy\n90,healthy\n91,healthy\n", "2 of its 4 'id' have no photo"),
    ("id,label\n1,healthy\n2,healthy\n1,healthy\n", "1 of its 'id' are there more than once: '1'"),
    ("id,label\n1,healthy\n,healthy\n", "row 2 has no 'id'"),
    ("id,label\n1,healthy\n2\n", "line 3 has 1 cells, its header has 2"),
    ("id,label\n", "lists no photo"),
    ("", "is empty"),
    ("id\n1\n2\n", "one column 'id'"),
    ("id;label\n1;healthy\n", "separated by commas"),
    ("id,id\n1,healthy\n", "two columns 'id'"),
    ("id,kind,age\n1,healthy,3\n2,healthy,4\n", "'kind', 'age' are none of the model's classes"),
    ("id,healthy,brown_spot\n1,0,0\n2,0,0\n", "no column for the model's classes"),
    ("id,healthy,Healthy,brown_spot,leaf_blast\n1,0,0,0,0\n", "none of|two columns for 'healthy'"),
    ("id,label\n1,healthy\n2,rust\n", "says 'rust', which the model does not know"),
    ("id,label\n1,h\x00y\n", "NUL|UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_mistakes_leave_nothing(text, said, tmp_path):
    sample, photos = competition(tmp_path, ["1.jpg", "2.jpg"], text)
    with pytest.raises(InputError, match=said) as error:
        write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    assert str(sample) in str(error.value) and not (tmp_path / "out.csv").exists()


def test_what_is_no_text_or_not_there(tmp_path):
    sample, photos = competition(tmp_path, ["1.jpg"], "")
    sample.write_bytes(b"id,label\n1,\xff\xfe\n")
    with pytest.raises(InputError, match="is not a CSV file in UTF-8"):
        write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    sample.write_bytes(b"PK\3\4 and so on")
    with pytest.raises(InputError, match="unpack it"):
        write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    with pytest.raises(InputError, match=r"none.csv: there is no such sample"):
        write_submission(Stub(), tmp_path / "none.csv", photos, tmp_path / "out.csv")
    sample.write_text("id,label\n1,healthy\n")
    with pytest.raises(InputError, match="there is no such file or folder"):
        write_submission(Stub(), sample, tmp_path / "nowhere", tmp_path / "out.csv")
    competition(tmp_path, ["b/1.png"], "id,label\n1,healthy\n")
    with pytest.raises(InputError, match=r"'1' may be .*1\.\w+ or .*1\.\w+"):
        write_submission(Stub(), sample, photos, tmp_path / "out.csv")


def test_nothing_of_others_is_written_over(tmp_path):
    text = "id,label\n1,healthy\n2,healthy\n"
    sample, photos = competition(tmp_path, ["1.jpg", "2.jpg"], text)
    (tmp_path / "train.csv").write_text("id,label\n5,healthy\n6,brown_spot\n")
    (tmp_path / "notes.csv").write_text("mine")
    link = tmp_path / "link.csv"
    link.symlink_to(sample)
    taken = ["train.csv", "notes.csv", "sample.csv", "link.csv", "test/1.jpg", "test"]
    before = {name: (tmp_path / name).read_bytes() for name in taken[:-1]}
    for name in taken:
        with pytest.raises(InputError, match=f"{name}: "):
            write_submission(Stub(), sample, photos, tmp_path / name)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_the_checker_finds_what_is_wrong(tmp_path):
    text = "id,label\n1,healthy\n2,healthy\n3,healthy\n"
    sample, _ = competition(tmp_path, [], text)
    other = tmp_path / "other.csv"
    for content, said in [
        ("id,labels\n1,healthy\n2,healthy\n3,healthy\n", "has the columns"),
        ("id,label\n1,healthy\n2,healthy\n", "has 2 rows"),
        ("id,label\n2,healthy\n1,healthy\n3,healthy\n", "another order"),
        ("id,label\n1,healthy\n2,\n3,healthy\n", "row 2 has no 'label'"),
        ("id,label\n1,healthy\n2,rust\n3,healthy\n", "no label of the model"),
    ]:
        other.write_text(content)
        with pytest.raises(InputError, match=said):
            check_submission(other, sample, CLASSES)
    check_submission(sample, sample, CLASSES)


def test_the_command(tiny_run, sample, tmp_path, monkeypatch, capsys):
    (tmp_path / "test").mkdir()
    ids = []
    for number, photo in enumerate(sorted((sample.parent / "brown_spot").iterdir())[:6]):
        (tmp_path / f"test/{number:05}.jpg").hardlink_to(photo)
        ids.append(f"{number:05}")
    (tmp_path / "test/00006.jpg").write_bytes(photo.read_bytes()[:300])
    (tmp_path / "test/00007").write_bytes(b"no photo, and no name of one")
    (tmp_path / "test/extra.jpg").hardlink_to(photo)
    ids = ["00006", *ids[::-1], "00007"]
    (tmp_path / "sample.csv").write_text("id,label\n" + "".join(f"{i},healthy\n" for i in ids))
    monkeypatch.chdir(tmp_path)
    command = ["predict", str(tiny_run), "test", "--submission", "sample.csv", "--device", "cpu"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.endswith("submission.csv\n") and "drawn sample" in said.out
    assert said.err.count("cannot be read") == 3 and "00006.jpg" in said.err
    model = lite0ca.load(tiny_run, device="cpu")
    answers = [model.predict(f"test/{i}.jpg").label for i in ids[1:-1]]
    most = max(model.classes, key=answers.count)
    expected = [["id", "label"], *map(list, zip(ids, [most, *answers, most]))]
    assert rows_of(tmp_path / "submission.csv") == expected
    assert main([*command, "--csv", "sample.csv"]) == 2
    (tmp_path / "test/00003.jpg").unlink()
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == "" and "1 of its 8 'id' have no photo in test: '00003'" in said.err
    assert rows_of(tmp_path / "submission.csv") == expected, "the earlier one stays"
    assert main([*command[:2], "test", "--submission", "sample.csv", "--looks", "17"]) == 2


def test_an_exported_file_writes_one_without_torch(tmp_path):
    former = REPO / "tests/formats/run_of_0.1.0"
    (exported,) = former.glob("run/export/*.onnx")
    rows = "".join(f"{number:02},\n" for number in range(12))
    (tmp_path / "sample.csv").write_text(f"id,label\n{rows}")
    code = "import sys; from lite0ca.__main__ import main; code = main(sys.argv[1:]); "
    code += "sys.exit(code or 'torch' in sys.modules)"
    command = ["predict", exported, former / "photos/healthy", "--submission", "sample.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(rows_of(tmp_path / "submission.csv")) == 13


def test_photos_without_an_answer_are_no_submission(tmp_path):
    text = "id,label\n9,healthy\n19,healthy\n"
    sample, photos = competition(tmp_path, ["9.jpg", "19.jpg"], text)
    with pytest.raises(InputError, match="none of its 2 photos can be read"):
        write_submission(Stub(), sample, photos, tmp_path / "out.csv")
    assert np.all([not file.name.startswith("out") for file in tmp_path.iterdir()])
