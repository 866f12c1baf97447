"""Six colour numbers: by hand, and that they find what is in the colours only."""

import numpy as np
import pandas as pd
from PIL import Image

from lite0ca.evaluation.color_baseline import color_answers, color_numbers


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


def test_numbers_by_hand(tmp_path):
    file = save(tmp_path / "a.png", [[[0, 10, 255], [100, 10, 255]]])
    assert color_numbers([file]).tolist() == [[50, 10, 255, 50, 0, 0]]


def test_colours_are_found_and_shapes_are_not(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(80):
        label = ("dark", "bright")[number % 2]
        level = {"dark": 60, "bright": 160}[label]
        pixels = (level + rng.normal(0, 20, (16, 16, 3))).clip(0, 255)
        rows.append((save(tmp_path / f"{number}.png", pixels), label))
    table = pd.DataFrame(rows, columns=["absolute_path", "label"])
    train, asked = table[:60], table[60:]
    assert (color_answers(train, asked) == asked["label"]).all()

    # The same pixels in another order: another shape, the same six numbers.
    rows = []
    for number in range(80):
        half = np.zeros((16, 16, 3))
        half[:8] = 200
        turned = number % 2
        pixels = half.transpose(1, 0, 2) if turned else half
        rows.append((save(tmp_path / f"{number}.png", pixels), ("across", "along")[turned]))
    table = pd.DataFrame(rows, columns=["absolute_path", "label"])
    assert (color_answers(table[:60], table[60:]) == table["label"][60:]).mean() <= 0.6
