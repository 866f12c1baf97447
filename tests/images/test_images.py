"""One photo file -> RGB, whatever wrote it."""

import errno
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO
from PIL import Image

from lite0ca.errors import InputError
from lite0ca.images.reading import problem_of, read_image, why_no_photo

GREEN = (40, 160, 60)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "tif", "tiff"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"lá lúa 1.{suffix}"
    Image.new("RGB", (30, 20), GREEN).save(path)
    assert why_no_photo(path) is None
    photo = read_image(path)
    assert photo.shape == (20, 30, 3) and photo.dtype == np.uint8 and photo.flags.writeable
    assert np.abs(photo.astype(int) - GREEN).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """A phone's turned photo is read upright: the eight ways that EXIF names."""
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = GREEN  # top left
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert np.array_equal(read_image(path), upright)


def test_modes(tmp_path):
    def read(image, name="x.png", **options):
        image.save(tmp_path / name, **options)
        return read_image(tmp_path / name)[0, 0].tolist()

    assert read(Image.new("L", (4, 4), 77)) == [77, 77, 77]
    assert read(Image.new("1", (4, 4), 1)) == [255, 255, 255]
    assert read(Image.new("LA", (4, 4), (77, 255))) == [77, 77, 77]
    palette = Image.new("RGB", (4, 4), GREEN).quantize(8)
    assert read(palette) == list(GREEN)
    assert read(Image.new("RGBA", (4, 4), (*GREEN, 255))) == list(GREEN)
    # What cannot be seen is white paper, not the colour that happens to lie under it.
    assert read(Image.new("RGBA", (4, 4), (10, 20, 30, 0))) == [255, 255, 255]
    transparent = Image.new("P", (4, 4), 0)
    transparent.putpalette([10, 20, 30])
    assert read(transparent, transparency=0) == [255, 255, 255]
    cmyk = read(Image.new("RGB", (8, 8), GREEN).convert("CMYK"), "x.jpg")
    assert np.abs(np.array(cmyk) - GREEN).max() <= 6


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    deep = np.full((4, 4), 40000, np.uint16)
    for name in ("x.png", "x.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        assert read_image(tmp_path / name)[0, 0].tolist() == [156] * 3
    big_endian = Image.frombytes("I;16B", (4, 4), deep.astype(">u2").tobytes())
    big_endian.save(tmp_path / "b.tif")
    assert read_image(tmp_path / "b.tif")[0, 0].tolist() == [156] * 3
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "f.tif")
    assert read_image(tmp_path / "f.tif")[0, 0].tolist() == [128] * 3


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_grey_of_32_bits_is_scaled_by_nearly_all_of_it(white, tmp_path):
    """Single pixels far above or below do not make the rest dark."""
    grey = np.linspace(0, white, 2000, dtype=np.float32).reshape(40, 50)
    wanted = (grey.astype(np.float64) / white * 255).round()
    odd = grey.copy()
    odd[20, :3] = (1.2 * white, 1000 * white, -white)
    for values in (grey, odd):
        for kind in (np.float32, np.int32) if white > 1 else (np.float32,):
            Image.fromarray(values.astype(kind)).save(tmp_path / "grey.tif")
            read = read_image(tmp_path / "grey.tif")[..., 0].astype(int)
            close = np.abs(read - wanted) <= 1
            close[20, :3] |= values is odd and read[20, :3].tolist() == [255, 255, 0]
            assert close.all(), kind


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 3), (40, 50)])
@pytest.mark.parametrize("value, shown", [(0, 0), (0.5, 128), (1, 255), (100, 100), (65535, 255)])
def test_grey_of_one_value(shape, value, shown, tmp_path):
    Image.fromarray(np.full(shape, value, np.float32)).save(tmp_path / "grey.tif")
    assert set(read_image(tmp_path / "grey.tif").ravel()) == {shown}
    odd = np.full(shape, value, np.float32)
    odd[0, 0] = np.nan
    Image.fromarray(odd).save(tmp_path / "grey.tif")
    assert "no numbers" in problem_of(tmp_path / "grey.tif")


def test_grey_beyond_16_bits_is_named(tmp_path):
    Image.fromarray(np.full((4, 4), 1e6, np.float32)).save(tmp_path / "grey.tif")
    assert "beyond 16 bits" in problem_of(tmp_path / "grey.tif")


def test_what_is_no_fault_of_the_file_does_not_leave_it_out(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    def refuse(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InputError, match="ulimit -n"):
        problem_of(tmp_path / "a.png")


def test_odd_tags_are_not_spoken_of(tmp_path, capfd):
    """Neither by Pillow, in threads as well, nor by the libtiff below it."""
    Image.effect_noise((64, 48), 50).save(tmp_path / "a.tif", compression="tiff_lzw")
    exif = Image.Exif()
    exif[0x010E] = "x" * 50
    Image.effect_noise((64, 48), 50).save(tmp_path / "a.jpg", exif=exif)
    rng, paths = np.random.default_rng(0), []
    for name in ("a.tif", "a.jpg"):
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for number in range(60):
            paths.append(tmp_path / f"{number}{name}")
            damaged = whole.copy()
            places = rng.integers(20, 120, 3) if name == "a.jpg" else rng.integers(-170, -1, 3)
            damaged[places] = rng.integers(0, 256, 3)
            paths[-1].write_bytes(damaged.tobytes())
    code = "import sys\nfrom lite0ca.images.reading import problem_of\n"
    code += "from lite0ca.images.threads import in_threads\n"
    code += "in_threads(problem_of, sys.argv[1:]); [problem_of(path) for path in sys.argv[1:]]"
    subprocess.run([sys.executable, "-W", "always", "-c", code, *paths], cwd=REPO, check=True)
    assert capfd.readouterr().err == ""


def test_problems_are_told_in_a_few_words(tmp_path):
    good = tmp_path / "good.jpg"
    Image.effect_noise((200, 200), 50).save(good)
    whole = good.read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    assert problem_of(good) is None
    assert problem_of(tmp_path / "none.jpg") == "missing"
    assert "truncated" in problem_of(tmp_path / "cut.jpg")
    assert "cannot identify" in problem_of(tmp_path / "empty.png")
    assert "cannot identify" in problem_of(tmp_path / "text.jpg")


def test_a_decompression_bomb_is_refused(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    assert "20000 x 20000 pixels are too many" in problem_of(tmp_path / "bomb.png")


def test_names():
    assert all(map(why_no_photo, (".hidden.jpg", "notes.txt", "jpg")))
