"""One look for all figures: axes without clutter, one panel, saved whole."""

from __future__ import annotations

import io

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

from lite0ca.errors import printable
from lite0ca.files.ownership import SOFTWARE
from lite0ca.files.whole_file import whole

TRAIN, VALID = sns.color_palette("colorblind")[:2]


def plain(text: str) -> str:
    """Names of classes and folders are no formulas, whatever dollar signs they have, and print."""
    return "\n".join(map(printable, str(text).split("\n"))).replace("$", r"\$")


def one_panel(width: float, height: float) -> tuple[Figure, object]:
    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def save(figure: Figure, path) -> None:
    about = {"Software": SOFTWARE}  # so that no other picture is written over
    with whole(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120, facecolor="white", metadata=about)


def show(figure: Figure) -> bool:
    """The figure in a window or notebook; False where there is neither."""
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() == "agg":
        return False
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, facecolor="white")
    picture.seek(0)
    pyplot.figure(figsize=figure.get_size_inches())
    pyplot.imshow(pyplot.imread(picture))
    pyplot.axis("off")
    pyplot.show()
    return True
