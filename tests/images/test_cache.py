"""The cache of decoded photos: the same pictures, whatever happens to its file."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lite0ca.errors import InputError
from lite0ca.images import cache
from lite0ca.images.cache import open_reader
from lite0ca.images.loaders import train_loader
from lite0ca.images.reading import read_image, shrunk
from lite0ca.settings.config import Config


@pytest.fixture
def paths(tmp_path, photos):
    """Five small PNGs and JPEGs, a large JPEG, and a long one that fits no slot."""
    folder = photos({"a": 5})
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
    coarse.resize((1200, 900), Image.BICUBIC).save(folder / "a/large.jpg", quality=90)
    coarse.resize((900, 60)).save(folder / "a/long.png")
    return sorted(map(str, (folder / "a").iterdir()))


def settings(tmp_path, **changes):
    return Config.of(image_size=64, cache_dir=str(tmp_path / "kept"), **changes)


@pytest.mark.parametrize("kind", ["disk", "ram"])
def test_the_same_pictures_without_their_files(kind, paths, tmp_path):
    """What is kept is what the file gave, to the bit, and the file is not needed any more."""
    reader = open_reader(settings(tmp_path, cache=kind), paths)
    plain = open_reader(settings(tmp_path, cache="none"), paths)
    slots = reader.slots_of(paths)
    assert slots.tolist() == list(range(len(paths))) and set(plain.slots_of(paths)) == {-1}
    first = [reader.read(path, slot) for path, slot in zip(paths, slots)]
    for path, photo in zip(paths, first):
        assert np.array_equal(photo, plain(path)) and np.array_equal(photo, reader(path))
        os.rename(path, path + ".away")
    for path, slot, photo in zip(paths, slots, first):
        if path.endswith("long.png"):
            with pytest.raises(FileNotFoundError):
                reader.read(path, slot)
        else:
            assert np.array_equal(reader.read(path, slot), photo)


def test_ram_leaves_nothing_behind(paths, tmp_path):
    before = set(os.listdir("/dev/shm"))
    reader = open_reader(settings(tmp_path, cache="ram"), paths)
    reader(paths[0])
    assert set(os.listdir("/dev/shm")) <= before


def test_large_jpegs_are_close_to_their_full_decoding(paths):
    (path,) = (path for path in paths if path.endswith("large.jpg"))
    full, reduced = shrunk(read_image(path), 91), read_image(path, 91)
    assert full.shape == reduced.shape == (91, 121, 3)
    assert np.abs(full.astype(int) - reduced).mean() < 2.0


def test_loaders_give_equal_batches(sample, tmp_path):
    rows = pd.read_csv(sample).iloc[::20].copy()
    rows["absolute_path"] = [str(sample.parent / path) for path in rows["path"]]
    labels = {label: number for number, label in enumerate(sorted(set(rows["label"])))}
    batches = {}
    for kind in ("none", "disk", "ram"):
        config = settings(tmp_path, cache=kind, batch_size=8, num_workers=2)
        reader = open_reader(config, list(rows["absolute_path"]))
        stream = train_loader(rows, labels, config, reader)
        batches[kind] = [photos.clone() for e in (0, 1) for photos, _ in stream.of_epoch(e)]
        if reader.store:  # the loader processes have filled the file that this one sees
            assert all(reader.store.get(slot) is not None for slot in range(len(rows)))
    for kind in ("disk", "ram"):
        assert all(torch.equal(a, b) for a, b in zip(batches[kind], batches["none"]))


def test_a_damaged_slot_is_read_from_its_file(paths, tmp_path):
    reader = open_reader(settings(tmp_path, cache="disk"), paths)
    photo = reader(paths[0])
    with open(reader.store.file, "r+b") as file:
        file.seek(reader.store.first_slot + 7)
        file.write(b"damage")
    assert reader.store.get(0) is None
    assert np.array_equal(reader(paths[0]), photo) and reader.store.get(0) is not None
    with open(reader.store.file, "r+b") as file:
        file.write(b"\xff" * 12)  # an entry larger than its slot
    assert np.array_equal(reader(paths[0]), photo)
    os.truncate(reader.store.file, 100)  # cut short while nobody reads it
    assert np.array_equal(open_reader(settings(tmp_path, cache="disk"), paths)(paths[0]), photo)


@pytest.mark.parametrize("harm", ["cut", "emptied", "removed", "a folder", "read-only"])
def test_the_file_is_harmed_while_it_is_used(harm, paths, tmp_path):
    """Of a mapped file a cut would be the end of the process."""
    reader = open_reader(settings(tmp_path, cache="disk"), paths)
    photos = [reader(path) for path in paths]
    file = reader.store.file
    if harm in ("cut", "emptied"):
        os.truncate(file, reader.store.first_slot + 5000 if harm == "cut" else 0)
    elif harm == "read-only":
        file.chmod(0o400)
    else:
        file.unlink()
    if harm == "a folder":
        file.mkdir()
    for _ in range(2):  # the second time from what was kept anew
        assert all(np.array_equal(reader(path), photo) for path, photo in zip(paths, photos))


@pytest.mark.parametrize("planted", ["symlink", "lost symlink", "pipe", "folder", "second name"])
def test_what_is_no_cache_under_its_name(planted, paths, tmp_path, capsys):
    """Another user may have put it into a shared folder: it is not written to, nor waited for."""
    config = settings(tmp_path, cache="disk")
    file = open_reader(config, paths).store.file
    file.unlink()
    other = tmp_path / "other"
    if planted != "lost symlink":
        other.write_text("precious")
    if planted.endswith("symlink"):
        file.symlink_to(other)
    elif planted == "second name":
        file.hardlink_to(other)
    else:
        os.mkfifo(file) if planted == "pipe" else file.mkdir()
    with pytest.raises(InputError, match=f"--cache disk: {file}: "):
        open_reader(config, paths)
    reader = open_reader(settings(tmp_path), paths)
    assert "cache: none" in capsys.readouterr().out
    assert np.array_equal(reader(paths[0]), read_image(paths[0], 91))
    assert os.path.lexists(file)
    assert not other.exists() if planted == "lost symlink" else other.read_text() == "precious"


@pytest.mark.parametrize("way", ["in place", "renamed", "target of a link"])
def test_a_photo_exchanged_with_size_and_time_kept(way, tmp_path):
    """As `rsync -t` and zips with fixed dates do it."""
    named = path = tmp_path / "a.bmp"
    Image.new("RGB", (48, 40), "red").save(path)
    if way == "target of a link":
        named = tmp_path / "b.bmp"
        named.symlink_to(path)
    before = path.stat()
    config = settings(tmp_path, cache="disk")
    assert open_reader(config, [str(named)])(str(named))[0, 0].tolist() == [255, 0, 0]
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    new = path if way == "in place" else tmp_path / "new.bmp"
    Image.new("RGB", (48, 40), "blue").save(new)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)
    after = path.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert open_reader(config, [str(named)])(str(named))[0, 0].tolist() == [0, 0, 255]


def test_a_changed_photo_is_another_cache(paths, tmp_path):
    open_reader(settings(tmp_path, cache="disk"), paths)(paths[0])
    Image.new("RGB", (48, 40), "red").save(paths[0])
    again = open_reader(settings(tmp_path, cache="disk"), paths)
    assert again(paths[0])[0, 0].tolist()[0] > 250


def test_a_full_disk(paths, tmp_path, monkeypatch, capsys):
    reader = open_reader(settings(tmp_path, cache="disk"), paths)
    real, room = os.pwrite, 3000

    def nearly_full(descriptor, data, offset):
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = bytes(data[:room])
        room -= len(part)
        return real(descriptor, part, offset)

    monkeypatch.setattr(os, "pwrite", nearly_full)
    capsys.readouterr()
    for path in paths * 2:
        assert np.array_equal(reader(path), read_image(path, 91))
    assert capsys.readouterr().out.count("No space left on device") == 1


def test_limits(paths, tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match=r"--cache disk: about .* --cache-limit-gb allows 1e-05"):
        open_reader(settings(tmp_path, cache="disk", cache_limit_gb=1e-5), paths)
    with pytest.raises(InputError, match=r"--cache disk: .*File exists"):
        open_reader(Config.of(cache="disk", cache_dir=paths[0]), paths)
    monkeypatch.setattr(cache, "free_memory_gb", lambda: 0.5)
    assert open_reader(settings(tmp_path, cache_limit_gb=1e-5), paths).store is None
    assert "cache: none (about" in capsys.readouterr().out
    spare = r"--cache ram: about .* needed and 1 GB is left to others, 250 MB of memory can be had"
    with pytest.raises(InputError, match=spare):
        open_reader(settings(tmp_path, cache="ram"), paths)


def test_the_oldest_gives_way(paths, tmp_path):
    kept = tmp_path / "kept"
    for number in range(3):
        reader = open_reader(settings(tmp_path, cache="disk"), paths[number:])
        [reader(path) for path in paths[number:]]
        os.utime(reader.store.file, (number, number))
    taken = sum(cache.taken_gb(file) for file in kept.iterdir())
    newest = open_reader(settings(tmp_path, cache="disk", cache_limit_gb=taken), paths[3:])
    assert len(list(kept.iterdir())) == 3 and newest.store.file.exists()
    assert 0 not in {file.stat().st_mtime for file in kept.iterdir()}


FILL = """
import sys
from lite0ca.images.cache import open_reader
from lite0ca.settings.config import Config
folder, *paths = sys.argv[1:]
reader = open_reader(Config.of(image_size=64, cache="disk", cache_dir=folder), paths)
print("ready", flush=True)
for path in paths * 1000:
    reader.store.put(reader.store.slots[path], reader(path))
"""


def test_kill_9_while_it_is_filled(paths, tmp_path):
    """Whatever moment it is: a slot holds the right picture or none."""
    reader = open_reader(settings(tmp_path, cache="disk"), paths)
    command = [sys.executable, "-c", FILL, str(tmp_path / "kept"), *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as filler:
        for line in filler.stdout:  # which end where it fails
            if "ready" in line:
                break
        time.sleep(0.02)
        filler.send_signal(signal.SIGKILL)
    assert filler.returncode == -signal.SIGKILL
    found = [reader.store.get(slot) for slot in range(len(paths))]
    assert any(photo is not None for photo in found)
    for path, photo in zip(paths, found):
        assert photo is None or np.array_equal(photo, read_image(path, 91))
