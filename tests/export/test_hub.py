"""`lite0ca push-to-hub`: what would go is listed first, and nothing goes unasked."""

import shutil
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest

from lite0ca.__main__ import main


@pytest.fixture
def run(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "export").mkdir()
    (run / "export/model.onnx").write_bytes(b"onnx")
    return run


@pytest.fixture
def uploaded(monkeypatch):
    """What a stand-in for Hugging Face's client was given."""
    given = []

    def create_repo(repo_id, private, exist_ok):
        given.append((repo_id, private, exist_ok))

    def upload_folder(repo_id, folder_path):
        files = {file.relative_to(folder_path).as_posix() for file in folder_path.rglob("*.*")}
        given.append((repo_id, files))
        return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    return given


def test_it_lists_and_only_then_uploads(run, uploaded, capsys):
    files = {"README.md", "best_model.pt", "config.json", "export/model.onnx"}
    assert main(["push-to-hub", str(run), "ann/leaves"]) == 0
    said = capsys.readouterr().out
    assert all(f"MB  {name}\n" in said for name in files) and "nothing was uploaded" in said
    assert uploaded == []
    assert main(["push-to-hub", str(run), "ann/leaves", "--yes"]) == 0
    assert uploaded == [("ann/leaves", True, True), ("ann/leaves", files)]
    assert capsys.readouterr().out.endswith("https://hub/ann/leaves\n")


def test_kaggle_gets_the_same_folder(run, uploaded, monkeypatch, capsys):
    command = ["push-to-hub", str(run), "--kaggle", "ann/leaves/pyTorch/robust", "--yes"]
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert main(command) == 2
    assert "not installed; pip install 'lite0ca[kaggle]'" in capsys.readouterr().err
    given = []
    upload = lambda handle, folder: given.append(handle)  # noqa: E731
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(model_upload=upload))
    assert main(command) == 0 and given == ["ann/leaves/pyTorch/robust"] and uploaded == []


def test_what_stops_it_is_one_line(run, uploaded, monkeypatch, capsys):
    def refused(*_, **__):
        raise OSError("403 Forbidden\nfor url")

    monkeypatch.setattr(huggingface_hub, "create_repo", refused)
    for typed, said in (
        ([str(run), "a/b", "--yes"], "a/b was not uploaded (403 Forbidden). Tokens: `hf auth"),
        ([str(run)], "name a REPO_ID of Hugging Face"),
        ([str(run / "none"), "a/b"], "there is no such run folder"),
    ):
        assert main(["push-to-hub", *typed]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
