"""Files appear whole or not at all."""

import json

import pytest

from lite0ca.files import SCRAP, remove_scraps, whole, write_json


def test_a_failure_leaves_the_old_file_and_no_scraps(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_scraps_are_those_of_this_project(tmp_path):
    for name in (f".best_model.pt.1{SCRAP}", ".users.tmp", "kept"):
        (tmp_path / name).write_text("")
    remove_scraps(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".users.tmp", "kept"]


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"é": 1})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()
