"""Near-duplicates: a leaf turned, mirrored, cropped or shot again is the same leaf."""

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW
from PIL import Image, ImageOps

from lite0ca.data.near_duplicates import find_groups, fingerprint, mirrored, root

CHANGES = {
    "turned": lambda image: image.rotate(90),
    "a little turned": lambda image: image.rotate(17, fillcolor=(120, 120, 120)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "cropped": lambda image: image.crop((25, 25, 210, 215)).resize((224, 224)),
    "darker": lambda image: image.point(lambda value: int(value * 0.8)),
}


def real_photos(rice_leaf, count):
    """Photos of different groups, plain backgrounds among them."""
    rows = pd.read_csv(rice_leaf / "sources.csv").drop_duplicates("group")
    return [rice_leaf / path for path in rows["path"].sample(count, random_state=1)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(rice_leaf, tmp_path, change):
    files = real_photos(rice_leaf, 12)
    copies = []
    for number, file in enumerate(files):
        with Image.open(file) as image:
            upright = image.convert("RGB").resize((224, 224))
            CHANGES[change](upright).save(tmp_path / f"{number}.png")
        copies.append(tmp_path / f"{number}.png")
    found = find_groups([*files, *copies])
    together = (found[:12] == found[12:]).sum()
    assert together >= 10, f"{together} of 12 copies found"
    assert len(set(found[:12])) == 12, "different leaves were taken for one"


@pytest.mark.parametrize("share", [3, pytest.param(1, marks=SLOW)])
def test_most_of_the_listed_groups_are_found(share, rice_leaf):
    """A class of 390 photos, most on one plain ground, or every third group of it."""
    rows = pd.read_csv(rice_leaf / "sources.csv")
    rows = rows[rows["path"].str.startswith("healthy")]
    rows = rows[rows["group"].isin(rows["group"].unique()[::share])].reset_index(drop=True)
    found = pd.Series(find_groups([rice_leaf / path for path in rows["path"]]))
    sizes = rows.groupby("group").size()
    listed = sizes[sizes > 1].index
    whole = sum(found[rows["group"] == group].nunique() == 1 for group in listed)
    assert len(listed) > 30 / share and whole >= 0.7 * len(listed)
    pairs = lambda counts: (counts * (counts - 1) // 2).sum()  # noqa: E731
    right = pairs(rows.assign(found=found).groupby(["found", "group"]).size())
    assert right >= 0.8 * pairs(found.value_counts()), "photos of different leaves are joined"


def test_drawn_leaves_and_blank_photos(sample, tmp_path):
    rows = pd.read_csv(sample)
    files = [sample.parent / path for path in rows["path"][:20]]
    for number in range(2):
        Image.new("RGB", (64, 64), "white").save(tmp_path / f"{number}.png")
        files.append(tmp_path / f"{number}.png")
    found = find_groups(files)
    assert found.shape == (22,) and np.issubdtype(found.dtype, np.integer)


def test_a_mirrored_descriptor_is_that_of_the_mirrored_photo(sample, tmp_path):
    """Rows of cells reversed and directions negated, against SIFT on the mirror image."""
    path = sample.parent / pd.read_csv(sample)["path"][0]
    _, photo = fingerprint(path)
    mirror = tmp_path / "mirror.png"
    with Image.open(path) as image:
        ImageOps.mirror(image).save(mirror)
    _, other = fingerprint(mirror)
    points, descriptors = mirrored(photo)
    distance = np.linalg.norm(points[:, None] - other[0][None], axis=2)
    near = distance.min(axis=1) < 0.6
    assert near.mean() > 0.7
    one = root(descriptors)[near]
    two = root(other[1])[distance.argmin(axis=1)[near]]
    assert np.median((one * two).sum(axis=1)) > 0.95
    unmirrored = root(photo[1])[near]
    assert np.median((unmirrored * two).sum(axis=1)) < 0.9
