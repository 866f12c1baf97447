"""One photo file -> one RGB array, whatever wrote it; and the check that a file can be read."""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps
from threadpoolctl import threadpool_limits

from lite0ca.images.tar_shards import place_of, read_ahead

UNREADABLE = "unreadable image"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
# JPEG, PNG, BMP, TIFF in either byte order; WebP has its name further on.
STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# A phone's largest photo has 108 megapixels. Beyond the limit a file is refused as unreadable
# rather than decoded, so that a small file cannot take all the memory. Pillow's own check warns
# from half its limit on, and warnings cannot be caught thread by thread.
MAX_PIXELS = 120_000_000
Image.MAX_IMAGE_PIXELS = None
# Cameras write odd EXIF; the photo is whole, and its user cannot mend it.
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)
# A file cut short is an error, not a photo with a grey half.
ImageFile.LOAD_TRUNCATED_IMAGES = False


def is_image(path: str | Path) -> bool:
    """By its name; hidden files are not images."""
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def read_image(path: str | Path, side: int | None = None) -> np.ndarray:
    """The photo upright in RGB: uint8, (height, width, 3).

    EXIF orientation is applied, transparency laid on white, 16 bits scaled to 8. With `side` a
    photo whose shorter side is longer comes at that size: a JPEG is decoded at 1/2, 1/4 or 1/8 of
    its scale, as far as that leaves more than `side`, which costs a third. Raises `OSError` if
    the file is missing, truncated, too large or no image.
    """
    try:
        refuse_other_than_files(path)
        with Image.open(source_of(path)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise OSError(f"{image.width} x {image.height} pixels are too many")
            if side:
                image.draft(None, (side, side))
            return shrunk(to_rgb(upright(image)), side)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's plugins raise SyntaxError, struct.error and more
        why = getattr(error, "strerror", None) or error  # strerror has no path in it
        why = str(why).replace(f" {str(path)!r}", "")
        raise OSError(f"{path}: {UNREADABLE} ({why})") from error


def refuse_other_than_files(path: str | Path) -> None:
    """Raise `OSError` for a folder, a pipe (it would be waited for), or a name no CSV can hold."""
    if place := place_of(path):
        path = place[0]
    try:
        str(path).encode()
    except UnicodeError:
        raise OSError("its name is not UTF-8: rename it") from None
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("is a folder or a device, no file")


def upright(image: Image.Image) -> Image.Image:
    """As EXIF says; as it is where EXIF is broken."""
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, struct.error, TypeError, KeyError, ZeroDivisionError):
        return image


def source_of(path: str | Path):
    """What Pillow opens: the file itself, or the bytes of a photo inside a tar."""
    return path if place_of(path) is None else io.BytesIO(content_of(path))


def content_of(path: str | Path, most: int | None = None) -> bytes:
    """The bytes of a photo's file, which may lie in a tar, or the first of them.

    Raises `OSError`.
    """
    place = place_of(path)
    file_name, offset, length = place or (path, 0, -1)
    with open(file_name, "rb", buffering=0 if most else -1) as file:
        if place and not most:
            read_ahead(file)
        file.seek(offset)
        if place:  # no more than there is: a number in a table may be any
            length = min(length, max(0, os.fstat(file.fileno()).st_size - offset))
        return file.read(min(most, length) if most and place else most or length)


def side_for(image_size: int) -> int:
    """Pixels of the shorter side that a photo is read at to train at an image size.

    The smallest square part that standard augmentation takes (half of the area) still has
    `image_size`; strong augmentation takes smaller ones, which are enlarged.
    """
    return math.ceil(image_size * math.sqrt(2))


def shrunk(photo: np.ndarray, side: int | None) -> np.ndarray:
    """(H, W, 3) with the shorter side at most `side`; never enlarged."""
    height, width = photo.shape[:2]
    if not side or min(height, width) <= side:
        return photo
    scale = side / min(height, width)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Any Pillow mode -> uint8, (height, width, 3)."""
    if image.mode.startswith("I;16"):
        # Pillow would clip at 255, not scale.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        return np.repeat(stretch(np.asarray(image, np.float64))[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return np.array(image.convert("RGB"))


def stretch(values: np.ndarray) -> np.ndarray:
    """32-bit grey -> uint8 by the range it holds: 0..1, 8 bits or 16 bits."""
    if not np.isfinite(values).all():
        raise OSError("holds values that are no numbers")
    top = values.max(initial=0)
    scale = 255 if top <= 1 else 1 if top <= 255 else 1 / 257
    return (values * scale).clip(0, 255).round().astype(np.uint8)


def bytes_of(path: str | Path) -> int:
    """The size of a photo's file, in a tar or of its own; -1 if there is none."""
    if place := place_of(path):
        path, _, length = place
    try:
        size = os.stat(path).st_size
        return length if place else size
    except (OSError, ValueError):
        return -1


def stamp_of(path: str | Path) -> str:
    """What changes when the file does: its size and time; empty if there is none."""
    place = place_of(path)
    try:
        status = os.stat(place[0] if place else path)
    except (OSError, ValueError):  # a name with a NUL is a ValueError
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def size_of(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as stored; the pixels are not read."""
    refuse_other_than_files(path)
    with Image.open(source_of(path)) as image:
        return image.size


def problem_of(path: str | Path, read: Callable = read_image) -> str | None:
    """Why the file cannot be used, in a few words, or None if it reads."""
    try:
        read(path)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        _, _, why = str(error).partition(f"{UNREADABLE} (")
        return why[:-1] or str(error)
    return None


def problem_at_a_glance(path: str | Path) -> str | None:
    """As `problem_of`, by the first bytes alone: a hundred times as fast, blind to later damage."""
    try:
        refuse_other_than_files(path)
        start = content_of(path, 12)
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError, OverflowError) as error:  # NUL in a name, an offset in a tar
        return getattr(error, "strerror", None) or str(error)
    webp = start.startswith(b"RIFF") and start.endswith(b"WEBP")
    return None if webp or start.startswith(STARTS) else "no image by its first bytes"


def in_threads(work: Callable, items: Sequence, bar: Callable = iter) -> list:
    """`[work(item) for item in items]` on all cores; decoding and OpenCV release Python's lock."""
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(bar(pool.map(work, items)))


def images_in(folder: Path):
    """Image files in and below a folder, in a fixed order; hidden folders are passed over."""
    for above, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(above, name) for name in sorted(files) if is_image(name))
