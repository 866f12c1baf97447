"""Drawn leaves: a small stand-in data set, so that everything runs with no download; and the same
laid out as a competition.

Four classes by their lesions, on blades, grounds and in light that do not depend on the class.
Every figure from it is a figure of drawings: it says whether the code works, nothing about rice.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lite0ca.data.dataset import DRAWN
from lite0ca.errors import InputError
from lite0ca.files.destination import refuse_full
from lite0ca.files.json_files import write_json
from lite0ca.files.scratch import scratch_folder
from lite0ca.files.tables import write_table
from lite0ca.files.whole_file import whole
from lite0ca.files.whole_folder import whole_folder
from lite0ca.images.threads import in_threads
from lite0ca.machine.memory import keep_freed_memory

CLASSES = ("bacterial_leaf_blight", "brown_spot", "healthy", "leaf_blast")
LEAVES = 67  # a class; every second leaf is photographed twice, so 100 photos
SIDE, CANVAS = 224, 448  # pixels of a photo; drawn at twice its size, then reduced
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


def write_sample(folder: str | Path, seed: int = 0) -> Path:
    """About 400 JPEGs, metadata.csv and label2id.json in `folder`; returns the CSV's path.

    Raises `InputError` rather than mix drawings into a folder that holds anything.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed must be at least 0 and below {2**32}, not {seed}")
    folder = Path(folder)
    refuse_full(folder, "give the sample another folder")
    jobs, rows = [], []
    keep_freed_memory()
    with whole_folder(folder, last="metadata.csv", shared=False) as made:
        for number, label in enumerate(CLASSES):
            (made / label).mkdir()
            for leaf in range(LEAVES):
                split, shots = split_of(leaf / LEAVES), 1 + (leaf % 2 == 0)
                paths = [f"{label}/sample_{leaf:03d}_{shot}.jpg" for shot in range(shots)]
                jobs.append(([made / path for path in paths], label, (seed, number, leaf)))
                rows += [(path, label, split, f"{label}_{leaf:03d}", DRAWN) for path in paths]
        in_threads(lambda job: write_photos(*job), jobs)
        columns = ["path", "label", "split", "group", "source"]
        write_table(made / "metadata.csv", pd.DataFrame(rows, columns=columns))
        write_json(made / "label2id.json", {label: i for i, label in enumerate(CLASSES)})
    return folder / "metadata.csv"


def write_competition(folder: str | Path, seed: int = 0, drawn: Path | None = None) -> Path:
    """The sample as a competition: train.csv, train_images/CLASS, test_images and
    sample_submission.csv, whose labels are to be filled in; returns the folder.

    `drawn` is the CSV of a sample that is there; without one it is drawn. Groups stand in the
    table, as they rarely do in a competition's, so that nobody waits for a search. Raises
    `InputError` rather than mix drawings into a folder that holds anything.
    """
    folder = Path(folder)
    refuse_full(folder, "give the sample another folder")
    with (
        scratch_folder() as scratch,
        whole_folder(folder, last="train.csv", shared=False) as made,
    ):
        source = drawn or write_sample(scratch / "drawn", seed)
        # Shuffled, so that neither a name nor the order tells a class.
        rows = pd.read_csv(source).sample(frac=1, random_state=seed)
        is_test = rows["split"] == "test"
        names = {}
        for first, part in ((100_001, rows[~is_test]), (200_001, rows[is_test])):
            names |= {path: f"{first + n}.jpg" for n, path in enumerate(part["path"])}
        rows["image_id"] = rows["path"].map(names)
        (made / "test_images").mkdir()
        named = zip(rows["path"], rows["label"], rows["split"], rows["image_id"])
        for path, label, part, image_id in named:
            test = made / "test_images"
            target = test if part == "test" else made / "train_images" / str(label)
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.parent / str(path), target / str(image_id))
        columns = ["image_id", "label", "group", "source"]
        write_table(made / "train.csv", rows[~is_test][columns])
        asked = rows[is_test][["image_id"]].assign(label="")
        write_table(made / "sample_submission.csv", asked)
    return folder


def split_of(position: float) -> str:
    """The split of a leaf by its position 0..1 in its class."""
    if position < SHARES["train"]:
        return "train"
    return "valid" if position < SHARES["train"] + SHARES["valid"] else "test"


def write_photos(paths: list[Path], label: str, leaf_seed: tuple) -> None:
    """All photos of one leaf; they differ in pose, ground and light."""
    blade, mask = draw_leaf(label, np.random.default_rng(leaf_seed))
    for shot, path in enumerate(paths):
        _, jpeg = cv2.imencode(".jpg", photo_of(blade, mask, [*leaf_seed, 1000 + shot]))
        with whole(path, "wb") as file:
            file.write(jpeg.tobytes())


def photo_of(blade: np.ndarray, mask: np.ndarray, seed: list[int]) -> np.ndarray:
    """The leaf somewhere, (SIDE, SIDE, 3) bytes, BGR."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-35, 35) + 90 * rng.integers(2)
    pose = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), turn, rng.uniform(0.9, 1.25))
    pose[:, 2] += rng.uniform(-25, 25, 2)
    blade, mask = (
        # Repeating the border lets the blade run on to the edge of the photo.
        cv2.warpAffine(layer, pose, (CANVAS, CANVAS), borderMode=cv2.BORDER_REPLICATE)
        for layer in (blade, mask)
    )
    mask = in_colors(cv2.GaussianBlur(mask, (0, 0), 1.5))
    photo = ground(rng)
    photo *= 1 - mask  # in place, since fresh memory costs more than the arithmetic
    photo += mask * blade
    photo *= rng.uniform(0.8, 1.15)
    photo += rng.uniform(-12, 12, 3)
    photo = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    photo += rng.normal(0, 4, photo.shape)
    return photo[..., ::-1].clip(0, 255).astype(np.uint8)


def in_colors(layer: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3): numpy is several times slower where it repeats values over so few."""
    return cv2.merge([layer] * 3)


def noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth random field, (CANVAS, CANVAS), mean 0, deviation about 1."""
    coarse = rng.normal(size=(cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)


def ground(rng: np.random.Generator) -> np.ndarray:
    """Soil, water, cloth or paper, (CANVAS, CANVAS, 3)."""
    colors = [(120, 95, 70), (95, 115, 120), (150, 140, 150), (205, 205, 200), (85, 110, 70)]
    color = np.array(colors[rng.integers(len(colors))], np.float32)
    texture = 10 * noise(rng, 8) + 8 * noise(rng, 64)
    return cv2.merge([value + texture for value in color + rng.uniform(-15, 15, 3)])


def draw_leaf(label: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(leaf (CANVAS, CANVAS, 3) RGB float, mask 0..1): a blade along x, then its lesions."""
    axes = np.ogrid[:CANVAS, :CANVAS]
    y, x = (axis.astype(np.float32) for axis in axes)  # CANVAS 1, 1 CANVAS
    middle = CANVAS / 2 + rng.uniform(5, 25) * np.sin(x / rng.uniform(90, 160) + rng.uniform(0, 6))
    half = rng.uniform(55, 85) * (1 - np.clip((x - 300) / 330, 0, 1) ** 2)
    across = (y - middle) / half  # -1 and 1 at the margins
    mask = (np.abs(across) < 1).astype(np.float32)
    green = np.array([rng.uniform(70, 120), rng.uniform(135, 175), rng.uniform(45, 80)], np.float32)
    veins = 7 * np.cos(across * rng.uniform(35, 50)) - 25 * np.exp(-((across / 0.05) ** 2))
    blade = green + (veins + 6 * noise(rng, 24) - 18 * across**2)[..., None]
    blade = blade.astype(np.float32)
    if label == "bacterial_leaf_blight":
        blight(blade, x, across, rng)
    elif label != "healthy":
        lesion, count = {"brown_spot": (spot, (10, 26)), "leaf_blast": (diamond, (3, 8))}[label]
        for _ in range(rng.integers(*count)):
            cx = rng.uniform(40, 410)
            cy = middle[0, int(cx)] + rng.uniform(-0.8, 0.8) * half[0, int(cx)]
            # Only a window around the lesion is painted, or 26 lesions take a second a photo.
            top, left = max(0, int(cy) - 80), max(0, int(cx) - 90)
            rows, columns = slice(top, top + 160), slice(left, left + 180)
            lesion(blade[rows, columns], x[:, columns] - cx, y[rows] - cy, rng)
    return blade, mask


def lay(blade: np.ndarray, color, cover: np.ndarray) -> None:
    """Colour laid over the blade, in place, where `cover` (0..1) says."""
    blade += (np.array(color, np.float32) - blade) * in_colors(cover.clip(0, 1))


def edge(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 inside (distance below 1), 0 outside, soft between."""
    return 1 / (1 + np.exp(((distance - 1) / softness).clip(-30, 30)))


def spot(blade, dx, dy, rng) -> None:
    """Brown spot: a round to oval brown dot with a yellow halo."""
    distance = np.hypot(dx / rng.uniform(1, 1.6), dy) / rng.uniform(5, 13)
    lay(blade, (190, 170, 70), 0.7 * edge(distance / 1.6, 0.12))
    lay(blade, (110, 62, 30), edge(distance, 0.12))
    lay(blade, (150, 105, 70), 0.6 * edge(distance / 0.4, 0.3))


def diamond(blade, dx, dy, rng) -> None:
    """Leaf blast: a spindle along the blade, grey inside, with a brown border."""
    length = rng.uniform(30, 62)
    distance = np.abs(dx) / length + np.abs(dy) / (length * rng.uniform(0.28, 0.42))
    lay(blade, (190, 165, 80), 0.5 * edge(distance / 1.25, 0.08))
    lay(blade, (125, 70, 40), edge(distance, 0.05))
    lay(blade, (185, 180, 165), edge(distance / 0.66, 0.1))


def blight(blade, x, across, rng) -> None:
    """Bacterial leaf blight: a straw-coloured stripe with a wavy border from the margin inwards."""
    side = rng.choice([-1, 1])
    wavy = 0.12 * noise(rng, 14) + 0.06 * noise(rng, 40)
    reach = rng.uniform(0.35, 0.8) * ((x - rng.uniform(0, 150)) / 220).clip(0, 1)
    inside = (side * across - (1 - 1.2 * reach) + wavy) / 0.2
    lay(blade, (205, 195, 95), 0.8 * edge(1 - inside, 0.3))
    lay(blade, (222, 208, 160), 0.9 * edge(1.6 - inside, 0.3))


def drawn_competition() -> Path:
    """The folder of the drawn sample as a competition, laid out where it is not there yet."""
    folder = Path("build/drawn_competition")
    if not (folder / "train.csv").is_file():
        try:
            write_competition(folder, drawn=drawn_sample())
        except InputError:
            if not (folder / "train.csv").is_file():  # another process has just done it
                raise
    return folder


def drawn_sample() -> Path:
    """The CSV of the drawn sample, drawn where it is not there yet."""
    table = Path("build/drawn_sample/metadata.csv")
    if not table.is_file():
        try:
            write_sample(table.parent)
        except InputError:
            if not table.is_file():  # another process has just drawn it
                raise
    return table
