"""One photo file -> one RGB array, whatever wrote it; and the check that a file can be read."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import io
import math
import os
import stat
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from lite0ca.errors import InputError
from lite0ca.images.tar_shards import is_intact, place_of, read_ahead

UNREADABLE = "unreadable image"
# Names that promise a photo. What has another name, or none, is judged by its first bytes.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp"}
IMAGE_SUFFIXES |= {".bmp", ".dib", ".tif", ".tiff", ".gif", ".jp2", ".j2k", ".jpx"}
IMAGE_SUFFIXES |= {".avif", ".heic", ".heif", ".hif"}
# Their first bytes are those of a TIFF or JPEG, but what Pillow finds in them is a thumbnail.
RAW_SUFFIXES = {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf"}
RAW_SUFFIXES |= {".rw2", ".raf", ".pef", ".srw", ".raw", ".3fr", ".iiq", ".kdc", ".mrw", ".x3f"}
THUMBNAIL_SUFFIXES = {".thm", ".lrv", ".ithmb"}
# Pillow knows many more formats, among them some that run other programs; leaves come in these.
PLUGINS = ("Avif", "Bmp", "Gif", "Jpeg", "Jpeg2K", "Png", "Ppm", "Tiff", "WebP")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "JPEG2000", "PPM", "AVIF", "HEIF")
HIDDEN = "hidden"  # why a file is no photo, unless it is named itself
HEADER_BYTES = 64  # enough to tell a format
# A phone's largest photo has 108 megapixels. Beyond the limit a file is refused as unreadable
# rather than decoded, so that a small file cannot take all the memory. Pillow's own check warns
# from half its limit on, and warnings cannot be caught thread by thread.
MAX_PIXELS = 120_000_000
# Of 32-bit grey: the values of white that files use, and the share of pixels, black ones not
# counted, that may lie above: single bright ones, what sharpening left at edges.
GREY_RANGES = (1, 255, 65535)
BRIGHTEST = 0.01
Image.MAX_IMAGE_PIXELS = None
# Cameras write odd EXIF and other tags; the photo is whole, and its user cannot mend it.
warnings.filterwarnings("ignore", module=r"PIL\.")
with contextlib.suppress(OSError, AttributeError):  # where Pillow has no libtiff to be asked
    # It writes to stderr itself what Pillow raises as an error all the same.
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
# A file cut short is an error, not a photo with a grey half.
ImageFile.LOAD_TRUNCATED_IMAGES = False

for plugin in PLUGINS:
    with contextlib.suppress(ImportError):  # Pillow reads AVIF from 11.3 on
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
try:
    import pi_heif

    pi_heif.register_heif_opener()
except ImportError:  # a Kaggle session without a network has none
    pi_heif = None
KNOWN = [name for name in FORMATS if name in Image.OPEN]


def why_no_photo(path: str | Path) -> tuple[str, str] | None:
    """(reason, kind) why a file is not to be read as a photo, by its name, or else its first bytes.

    None if it is.
    """
    name = os.path.basename(path)
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        return HIDDEN, suffix or name
    if suffix in RAW_SUFFIXES:
        return "raw photos, to be converted to JPEG", suffix
    if suffix in THUMBNAIL_SUFFIXES:
        return "thumbnails of a camera", suffix
    if suffix in IMAGE_SUFFIXES:
        return None
    try:
        return None if holds_image(path) else ("no photos", suffix or "without an ending")
    except FileNotFoundError:
        return "links that lead nowhere", name
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})", suffix or name


def holds_image(path: str | Path) -> bool:
    """Whether a file begins as a photo does, whatever its name. Raises `OSError`."""
    refuse_other_than_files(path)
    start = content_of(path, HEADER_BYTES)
    if not begins_as_image(start):
        return False
    try:  # two letters, as those of BMP, begin many a text
        with Image.open(path, formats=KNOWN):
            return True
    except Exception:  # Pillow's plugins raise SyntaxError, struct.error and more
        return False


def begins_as_image(start: bytes) -> bool:
    """By the first `HEADER_BYTES` of a file."""
    accepts = (Image.OPEN[name][1] for name in KNOWN)
    return len(start) > 12 and any(
        accept is not None and accept(start) is True for accept in accepts
    )


def read_image(path: str | Path, side: int | None = None) -> np.ndarray:
    """The photo upright in RGB: uint8, (height, width, 3).

    EXIF orientation is applied, transparency laid on white, 16 bits scaled to 8. With `side` a
    photo whose shorter side is longer comes at that size: a JPEG is decoded at 1/2, 1/4 or 1/8 of
    its scale, as far as that leaves more than `side`, which costs a third. Raises `OSError` if
    the file is missing, truncated, too large or no image; `InputError` where no file can be opened.
    """
    try:
        refuse_other_than_files(path)
        with Image.open(source_of(path), formats=KNOWN) as image:
            if image.width * image.height > MAX_PIXELS:
                raise OSError(f"{image.width} x {image.height} pixels are too many")
            if side:
                image.draft(None, (side, side))
            return shrunk(to_rgb(upright(image)), side)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's plugins raise SyntaxError, struct.error and more
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):  # no fault of the file
            raise InputError(f"{path}: too many open files: raise the limit (ulimit -n)") from None
        why = getattr(error, "strerror", None) or error  # strerror has no path in it
        why = str(why).replace(f" {str(path)!r}", "")
        if isinstance(error, UnidentifiedImageError):
            why = unidentified(path) or why
        raise OSError(f"{path}: {UNREADABLE} ({why})") from error


def unidentified(path: str | Path) -> str | None:
    """What to do about a format that is only unknown here; None for what is no photo at all."""
    start = content_of(path, HEADER_BYTES)
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis") and "AVIF" not in KNOWN:
        return "AVIF needs: pip install 'pillow>=11.3'"
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif") and pi_heif is None:
        return "HEIC, the photos of iPhones, needs: pip install pi-heif"
    return None


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
        content = file.read(min(most, length) if most and place else most or length)
    if not most and not is_intact(path, content):
        raise OSError("is not what was packed: its checksum is wrong")
    return content


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
    """32-bit grey -> uint8 by the range that nearly all of it fits: 0..1, 8 bits or 16 bits.

    Raises `OSError` where that is none.
    """
    if not np.isfinite(values).all():
        raise OSError("holds values that are no numbers")
    lit = values[values > 0]
    top = np.quantile(lit, 1 - BRIGHTEST, method="lower") if lit.size else 0
    white = next((white for white in GREY_RANGES if top <= white), None)
    if white is None:
        raise OSError("holds values beyond 16 bits")
    return (values * (255 / white)).clip(0, 255).round().astype(np.uint8)


def bytes_of(path: str | Path) -> int:
    """The size of a photo's file, in a tar or of its own; -1 if there is none."""
    if place := place_of(path):
        path, _, length = place
    try:
        size = os.stat(path).st_size
        return length if place else size
    except (OSError, ValueError):
        return -1


def identity_of(path: str | Path) -> str:
    """Equal for two names of one file, be they links; the name itself where there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a photo in a tar, too
        return str(path)
    return f"{status.st_dev} {status.st_ino}" if status.st_ino else str(path)


def stamp_of(path: str | Path) -> str:
    """What changes when the file does; empty if there is none.

    Size and time of writing can be kept by whoever exchanges a file (`rsync -t`, zips with fixed
    dates), its inode and the time of its last change cannot.
    """
    place = place_of(path)
    try:
        status = os.stat(place[0] if place else path)
    except (OSError, ValueError):  # a name with a NUL is a ValueError
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def size_of(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as stored; the pixels are not read."""
    refuse_other_than_files(path)
    with Image.open(source_of(path), formats=KNOWN) as image:
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
        start = content_of(path, HEADER_BYTES)
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError, OverflowError) as error:  # NUL in a name, an offset in a tar
        return getattr(error, "strerror", None) or str(error)
    return None if begins_as_image(start) else "no image by its first bytes"
