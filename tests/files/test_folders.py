"""Folders appear whole or not at all, and nothing stays of what never became whole."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ON_LINUX, REPO, TRIES, listed

from lite0ca.errors import InputError
from lite0ca.files.destination import check_writable
from lite0ca.files.folders import make_folder
from lite0ca.files.locks import lock_of, locked
from lite0ca.files.scraps import SCRAP, remove_scraps
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder


def test_scraps_are_those_of_this_project_that_nobody_writes(tmp_path):
    (tmp_path / f".folder{SCRAP}").mkdir()
    (tmp_path / f".link{SCRAP}").symlink_to("kept")
    os.mkfifo(tmp_path / f".pipe{SCRAP}")
    for name in (f".best_model.pt.1{SCRAP}", ".users.tmp", "kept", f".mine{SCRAP}"):
        (tmp_path / name).write_text("")
    with locked(tmp_path / f".mine{SCRAP}"):
        remove_scraps(tmp_path)
    assert listed(tmp_path) == [f".link{SCRAP}", f".mine{SCRAP}", ".users.tmp", "kept"]


def test_a_scratch_folder_that_is_taken_for_a_scrap_before_it_is_locked(tmp_path, monkeypatch):
    """Another process looks for scraps in the moment between the folder and its lock."""
    others, made = [], []

    def mkdir(path, mode, mkdir=os.mkdir):
        mkdir(path, mode)
        made.append(path)
        if len(made) == 1:
            lock = lock_of(path)
            others.append(threading.Timer(0.1, lambda: (os.rmdir(path), os.close(lock))))
            others[0].start()

    monkeypatch.setattr(os, "mkdir", mkdir)
    with scratch_folder(tmp_path) as scratch:
        others[0].join()
        assert scratch.is_dir() and len(made) == 2
        remove_scraps(tmp_path)
        assert scratch.is_dir()


def test_a_folder_appears_whole(tmp_path):
    new = tmp_path / "a/b/new"
    with whole_folder(new) as scratch:
        (scratch / "file").write_text("x")
        assert not new.exists() and scratch.stat().st_mode & 0o777 == 0o777 & ~umask()
    assert listed(tmp_path) == ["a", "a/b", "a/b/new", "a/b/new/file"]
    with whole_folder(new, last="file") as scratch:
        (scratch / "file").write_text("y")
        (scratch / "more").write_text("y")
        assert (new / "file").read_text() == "x"
    assert (new / "file").read_text() == "y" and listed(new) == ["file", "more"]
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "c/d") as scratch:
        (scratch / "file").write_text("x")
        raise RuntimeError
    assert not (tmp_path / "c").exists()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_another_made_meanwhile(tmp_path):
    for shared in (True, False):
        expected = (
            contextlib.nullcontext() if shared else pytest.raises(InputError, match="made it")
        )
        folder = tmp_path / str(shared)
        with expected, whole_folder(folder, shared=shared) as scratch:
            (scratch / "ours").write_text("x")
            folder.mkdir()
            (folder / "theirs").write_text("x")
        assert listed(folder) == (["ours", "theirs"] if shared else ["theirs"])


def test_a_folder_in_the_way_of_a_file_is_met_before_any_is_moved(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "b").mkdir()

    def write():
        with whole_folder(tmp_path) as made:
            for name in "ab":
                (made / name).write_text("new")

    with pytest.raises(InputError, match="is a folder, where a file is to be"):
        write()
    assert (tmp_path / "a").read_text() == "old"
    (tmp_path / "b").rmdir()
    write()
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "a").stat().st_mode % 512 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_errors_do_not_tell_names_that_nobody_knows(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, scratch_folder(tmp_path) as scratch:
        (scratch / "none/x").touch()
    assert caught.value.filename == f"{tmp_path}/none/x"


KILLED = """
import os, sys, time
from lite0ca.files.whole_file import whole
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.whole_folder import whole_folder
os.chdir(sys.argv[1])
with (
    whole("old.txt") as old, whole("new.txt") as new, whole("p/q/new.txt") as far,
    whole_folder("folder/whole") as folder, scratch_folder() as temporary,
    scratch_folder(".") as in_it,
):
    for number, place in enumerate((folder, temporary, in_it)):
        os.mkdir(place / "sub")
        with open(place / "sub/file", "w") as file:
            file.write("x" * 100_000)
    for file in (old, new, far):
        file.write("x" * 100_000)
        file.flush()
    print("there", flush=True)
    time.sleep(60)
"""


@ON_LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_however_a_process_ends(number, tmp_path):
    """Also when the signal goes to its whole group, at any moment."""
    drawn = random.Random(0)
    for moment in [None, *(drawn.uniform(0, 0.3) for _ in range(TRIES - 1))]:
        place = tmp_path / str(moment)
        (place / "tmp").mkdir(parents=True)
        (place / "old.txt").write_text("old")
        environment = os.environ | {"PYTHONPATH": str(REPO), "TMPDIR": str(place / "tmp")}
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, place],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        process.stdout.readline() if moment is None else time.sleep(moment)
        if moment is None:
            assert len(listed(place)) > 10  # what would be left
        os.killpg(process.pid, number)
        process.communicate()
        until = time.monotonic() + 5
        while (left := listed(place)) != ["old.txt", "tmp"] and time.monotonic() < until:
            time.sleep(0.01)
        assert left == ["old.txt", "tmp"] and (place / "old.txt").read_text() == "old"


def test_without_a_guardian_the_next_writer_cleans_up(tmp_path):
    code = """
import os, sys
from lite0ca.files import guardian, scratch
guardian.GUARDIAN = "exit"
with scratch.scratch_folder(sys.argv[1]):
    os.kill(os.getpid(), 9)
"""
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    subprocess.run([sys.executable, "-c", code, tmp_path], env=environment)
    assert len(listed(tmp_path)) == 1
    with whole(tmp_path / "a"):
        pass
    assert listed(tmp_path) == ["a"]


def test_many_levels(tmp_path, monkeypatch):
    """Python's own mkdir(parents=True) ends in a RecursionError, os.mkdir at 4,096 bytes."""
    monkeypatch.chdir(tmp_path)
    deep = "/".join("a" * 1100)
    check_writable(deep)
    assert len(make_folder(deep)) == 1100
    with whole(f"{deep}/b/c") as file:
        file.write("x")
    assert make_folder(deep) == []
    subprocess.run(["rm", "-r", "a"], check=True)  # nor does Python's rmtree come so far
    for name in ("/".join("a" * 2500), "a" * 256, "ả" * 100, "a/" + "b" * 300 + "/c"):
        with pytest.raises(InputError, match="too long a name"):
            check_writable(name)


def test_places_that_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    for name, said in (("file", "is a file"), ("file/a/b", "is a file"), ("link", "leads nowhere")):
        with pytest.raises(InputError, match=said):
            check_writable(tmp_path / name)
    with pytest.raises(InputError, match="null byte"):
        check_writable("a\0b")
