"""Files appear whole or not at all; what is no file is written to as it is."""

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from conftest import ON_LINUX, REPO, listed

from lite0ca.errors import InputError
from lite0ca.files.whole_file import whole


def test_a_failure_leaves_the_old_file_and_no_scraps(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as file:
        file.write("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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
