"""What is written as JSON and CSV is read as it was, and says whose it is."""

import csv
import io
import json
import os

import pandas as pd
import pytest

from lite0ca.files.json_files import read_json, write_json
from lite0ca.files.names import cut
from lite0ca.files.ownership import is_table
from lite0ca.files.tables import csv_line, write_table


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_json_holds_any_file_name(tmp_path):
    name = os.fsdecode(b"\xff\xfe \xc3\xa9\n.jpg")
    write_json(tmp_path / "a.json", {"name": name})
    assert read_json(tmp_path / "a.json") == {"name": name}


NAMES = ["a,b", 'say "x"', "a\rb", "\r\n", "a\nb", " a ", "", "NA", "lá", "=1+1", "'", "1.50"]


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = pd.DataFrame({"path": NAMES, "bytes": range(len(NAMES)), "share": 0.1})
    table.loc[0, "share"] = None
    write_table(tmp_path / "a.csv", table)
    assert list(pd.read_csv(tmp_path / "a.csv", keep_default_na=False)["path"]) == NAMES
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "bytes", "share"] and [row[0] for row in rows] == NAMES
    assert rows[0][2] == "" and rows[1][1:] == ["1", "0.1"]


@pytest.mark.parametrize("sign", "=+-@\t\r")
def test_a_spreadsheet_gets_no_formula(sign):
    line = csv_line([f"{sign}cmd|' /C calc'!A0", -1.5, "fine"], for_people=True)
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row == [f"'{sign}cmd|' /C calc'!A0", "-1.5", "fine"]


def test_what_is_ours_says_so(tmp_path):
    path = tmp_path / "a"
    assert not is_table(path, "path,label")
    for content, ours in ((b"", True), (b"path,label,x\n", True), (b"\xff\xd8", False)):
        path.write_bytes(content)
        assert is_table(path, "system,x", "path,label") is ours


def test_names_are_cut_between_letters():
    assert cut("a" * 80) == "a" * 80
    assert cut("ả" * 80) == "ả" * 26 and len(("ả" * 26).encode()) == 78
    assert cut("\udcff" * 90) == ""
