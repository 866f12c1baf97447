"""Files and folders appear whole or not at all, and nothing stays of what never became whole."""

import contextlib
import csv
import io
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPO, TRIES

from lite0ca.errors import InputError
from lite0ca.files.destination import check_writable
from lite0ca.files.folders import make_folder
from lite0ca.files.json_files import read_json, write_json
from lite0ca.files.locks import locked
from lite0ca.files.names import cut
from lite0ca.files.ownership import is_table
from lite0ca.files.scraps import SCRAP, remove_scraps
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.tables import csv_line, write_table
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="names of descriptors, RLIMIT_FSIZE")


def listed(folder: Path) -> list[str]:
    walked = os.walk(folder)  # rglob fails where a folder goes meanwhile
    inside = [Path(above, name) for above, *both in walked for names in both for name in names]
    return sorted(str(path.relative_to(folder)) for path in inside)


def test_a_failure_leaves_the_old_file_and_no_scraps(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_scraps_are_those_of_this_project_that_nobody_writes(tmp_path):
    (tmp_path / f".folder{SCRAP}").mkdir()
    (tmp_path / f".link{SCRAP}").symlink_to("kept")
    os.mkfifo(tmp_path / f".pipe{SCRAP}")
    for name in (f".best_model.pt.1{SCRAP}", ".users.tmp", "kept", f".mine{SCRAP}"):
        (tmp_path / name).write_text("")
    with locked(tmp_path / f".mine{SCRAP}"):
        remove_scraps(tmp_path)
    assert listed(tmp_path) == [f".link{SCRAP}", f".mine{SCRAP}", ".users.tmp", "kept"]


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


@pytest.mark.parametrize("kind", ["unnamed", "named", "unnamed but not linked"])
def test_a_file_has_the_rights_that_open_gives_or_those_it_had(kind, tmp_path, monkeypatch):
    if kind == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if kind == "unnamed but not linked":
        monkeypatch.setattr(os, "link", lambda *_, **__: os.stat(""))
    path = tmp_path / ("ả" * 80 + "b" * 15)  # 255 bytes, the most that a name may have
    mask = os.umask(0o027)
    try:
        with whole(path, "wb") as file:
            file.write(b"one")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    with whole(path) as file:
        file.write("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o604
    assert listed(tmp_path) == [path.name]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").write_text("old")
    for link, target in (("link", "target"), ("dangling", "new"), ("second", "link")):
        (tmp_path / link).symlink_to(target)
        with whole(tmp_path / link) as file:
            file.write(link)
        assert (tmp_path / link).is_symlink() and (tmp_path / target).read_text() == link
    assert (tmp_path / "target").read_text() == "second"


def test_a_folder_is_none_and_missing_ones_are_made(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)), whole(tmp_path):
        pass
    with whole(tmp_path / "a/b/c.txt") as file:
        file.write("x")
    assert listed(tmp_path) == ["a", "a/b", "a/b/c.txt"]
    with pytest.raises(RuntimeError), whole(tmp_path / "a/x/y/z.txt"):
        raise RuntimeError
    assert listed(tmp_path) == ["a", "a/b", "a/b/c.txt"]


def test_a_pipe_gets_all_at_the_end(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="nobody reads"), whole(pipe):
        pass
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    while True:
        with contextlib.suppress(InputError), whole(pipe) as file:
            file.write("all of it")
            break
        time.sleep(0.01)
    reader.join()
    assert got == ["all of it"] and stat.S_ISFIFO(pipe.stat().st_mode)


@ON_LINUX
@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "link"])
def test_what_the_shell_has_opened_is_added_to(name, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "out.txt").write_text("kept\n")
    code = f"""
from lite0ca.files.whole_file import whole
print("before")
with whole({name!r}) as file:
    print("meanwhile")
    file.write("table\\n" * 5000)
print("after")
"""
    with open(tmp_path / "out.txt", "a") as out:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=out, env={"PYTHONPATH": str(REPO)}
        )
    assert done.returncode == 0
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines == ["kept", "before", "meanwhile", *["table"] * 5000, "after"]
    assert listed(tmp_path) == ["link", "out.txt"]


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="needs root to make a device")
def test_devices_are_written_to_and_disks_refused(tmp_path):
    """Made here: a mistake must not cost the machine its /dev/full."""
    full, disk = tmp_path / "full", tmp_path / "disk"
    os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    os.mknod(disk, 0o666 | stat.S_IFBLK, os.makedev(7, 250))
    with pytest.raises(OSError, match=f"No space left.*{full}"), whole(full) as file:
        file.write("x")
    with pytest.raises(InputError, match="is a disk"), whole(disk):
        pass
    assert stat.S_ISCHR(full.stat().st_mode) and listed(tmp_path) == ["disk", "full"]


def test_a_full_disk_costs_nothing_but_the_new_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match=f"File too large.*{path}"), whole(path) as file:
            file.write("x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old" and listed(tmp_path) == ["a.txt"]


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
