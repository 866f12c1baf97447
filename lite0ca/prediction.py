"""A trained model that is asked about photos: `lite0ca.load`, and the command `predict`."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from lite0ca.errors import InputError
from lite0ca.evaluation.certainty import is_no_leaf, is_sure, is_unlike
from lite0ca.evaluation.members import member_of
from lite0ca.evaluation.together import Together, Views, batched, known_names, metadata_of
from lite0ca.formats.fastest import fastest_exported_file
from lite0ca.formats.metadata import limit_of
from lite0ca.formats.named_runs import runs_named
from lite0ca.images.looks import check_looks
from lite0ca.images.photo_batches import batches_read, photo_paths, reading_threads
from lite0ca.images.reading import shrunk, to_rgb, upright
from lite0ca.settings.advice import DOUBTS
from lite0ca.settings.fields import unknown
from lite0ca.settings.names import LANGUAGES, display_names
from lite0ca.settings.names import language as session_language

if TYPE_CHECKING:
    import pandas as pd

Photo = str | os.PathLike | np.ndarray | Image.Image
BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one photo. `name` is the label as people call it.

    `distance` is how far the photo lies from those that the model was trained on; beyond 1 it is
    `unlike` them, and the answer is not sure however probable. It is None, and `unlike` False, of
    a model that does not know its training photos.
    """

    label: str
    name: str
    probability: float
    sure: bool  # such answers were right in 95 of 100 photos of the valid split
    unlike: bool
    distance: float | None
    probabilities: dict[str, float]  # by label, the likeliest first
    names: dict[str, str] = field(repr=False)  # of all labels

    @property
    def perhaps_no_leaf(self) -> bool:
        """Whether the photo is so far from the training photos that it perhaps shows no leaf."""
        return bool(is_no_leaf(self.distance))

    @property
    def doubt(self) -> str | None:
        """Why the answer is not sure, one of `DOUBTS`; None if it is."""
        if self.sure:
            return None
        return "no leaf" if self.perhaps_no_leaf else "unlike" if self.unlike else "not sure"

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><td>{html.escape(self.names[label])}</td>"
            f"<td style='text-align:right'>{value:.1%}</td></tr>"
            for label, value in self.probabilities.items()
        )
        doubt = "" if self.doubt is None else f"{DOUBTS['en'][self.doubt]}: "
        said = f"{doubt}{html.escape(self.name)}, {self.probability:.0%}"
        return f"<b>{said}</b><table>{''.join(rows)}</table>"


class Answered(NamedTuple):
    """The answer about a file, or what is wrong with it."""

    path: str
    answer: Answer | None
    problem: str | None


class Model:
    """A trained model, or several as one, ready to answer.

    `classes` are the labels in the order of their numbers, `names` what people call them.
    `sure_from` is the probability from which on an answer is sure; it may be set. `sources` are
    the run or file that answers, or those that do. `metadata` is what the model says of itself; of
    several `metadata_of` says what it is.
    """

    def __init__(self, asked: Together, language: str):
        self.asked, self.metadata = asked, metadata_of(asked)
        self.sources = [member.source for member in asked.members]
        self.config = replace(asked.members[0].config, image_size=max(asked.sizes))
        self.classes = asked.classes
        called = known_names(self.sources[0], self.metadata)
        self.names = dict(zip(self.classes, display_names(self.classes, called, language)))
        self.sure_from = limit_of(self.metadata)

    @property
    def source(self) -> str:
        """The run or file that answers, or those that do."""
        return ", ".join(self.sources)

    @cached_property
    def knows_training_photos(self) -> bool:
        """Whether it says of a photo that it is unlike them; runs before 0.5 do not."""
        return self.asked.knows_training_photos

    def __repr__(self) -> str:
        name, size = self.metadata["system"]["name"], self.config.image_size
        looks = f", {self.asked.looks} looks" if self.asked.looks > 1 else ""
        return f"<lite0ca {name}, {len(self.classes)} classes, {size} pixels{looks}, {self.source}>"

    def predict(self, photos: Photo | Iterable[Photo]) -> Answer | pd.DataFrame:
        """The answer about one photo, or a table of the answers about several.

        One is the path of a file, a uint8 RGB array (H, W, 3) or a Pillow image. Several are the
        path of a folder, a list of these, or an array (N, H, W, 3). The table has a row a photo:
        path, label, name, probability, sure, unlike, distance (see `Answer`), problem (what is
        wrong with a file that cannot be read), and the probability of each class, in a column
        called `p(CLASS)`.

        Raises `InputError` for what is no photo.
        """
        if isinstance(photos, (str, os.PathLike)):
            if os.path.isdir(photos):
                return self._table(self.answers(photo_paths([photos])))
            ((_, answer, problem),) = self.answers(photo_paths([photos]))
            if answer is None:
                raise InputError(problem or "")
            return answer
        if isinstance(photos, np.ndarray) and photos.dtype.kind in "UO":  # a column of a table
            photos = photos.tolist()
        if isinstance(photos, Image.Image) or (isinstance(photos, np.ndarray) and photos.ndim < 4):
            (answer,) = self._of_pixels([photos])
            return answer
        if not isinstance(photos, Iterable):
            raise refused(photos)
        return self._table(self._of_several(list(photos)))

    def _of_several(self, photos: Sequence[Photo]) -> Iterator[Answered]:
        """Files are read as they are asked about; pixels are at hand."""
        files = [photo for photo in photos if isinstance(photo, (str, os.PathLike))]
        if files and len(files) < len(photos):
            raise InputError("photos: give either files and folders, or arrays and images")
        if files:
            yield from self.answers(photo_paths(files))
            return
        at_once = self.config.batch_size
        for start in range(0, len(photos), at_once):
            for answer in self._of_pixels(photos[start : start + at_once]):
                yield Answered("", answer, None)

    def answers(self, paths: Sequence[str]) -> Iterator[Answered]:
        """One for each file, in their order; a folder of any size in constant memory."""
        at_once = self.config.batch_size
        batches = (paths[start : start + at_once] for start in range(0, len(paths), at_once))
        workers = reading_threads(self.config.num_workers) if len(paths) > 1 else 0
        for views, files in batches_read(batches, self.asked.views_of_file, workers):
            found = iter(self._of_batch(views) if views else ())
            for path, problem in files:
                yield Answered(path, None if problem else next(found), problem)

    def _of_pixels(self, photos: Iterable[np.ndarray | Image.Image]) -> list[Answer]:
        return self._of_batch([self.asked.views(shrinking(pixels_of(one))) for one in photos])

    def _of_batch(self, views: Sequence[Views]) -> list[Answer]:
        """The answer about each of B photos, of which these are the views."""
        probabilities, distances = self.asked.answers(batched(views))  # B classes, and B
        far = [None] * len(views) if distances is None else map(float, distances)
        return [self._answer(*one) for one in zip(probabilities, far)]

    def _answer(self, probabilities: np.ndarray, distance: float | None) -> Answer:
        order = np.argsort(-probabilities, kind="stable")
        by_label = {self.classes[number]: float(probabilities[number]) for number in order}
        label, probability = next(iter(by_label.items()))
        sure = bool(is_sure(probability, distance, self.sure_from))
        unlike = bool(is_unlike(distance))
        name = self.names[label]
        return Answer(label, name, probability, sure, unlike, distance, by_label, self.names)

    def _table(self, answered: Iterable[Answered]) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for path, answer, problem in answered:
            if answer is None:
                said = (None, None, None, False, False, None, problem, *[None] * len(self.classes))
            else:
                said = (answer.label, answer.name, answer.probability, answer.sure)
                said += (answer.unlike, answer.distance, None)
                said += tuple(answer.probabilities[label] for label in self.classes)
            rows.append((path, *said))
        columns = ["path", "label", "name", "probability", "sure", "unlike", "distance", "problem"]
        columns += [f"p({label})" for label in self.classes]
        return pd.DataFrame(rows, columns=columns).astype({"distance": float})


def load(
    run: str | os.PathLike | Sequence[str | os.PathLike],
    language: str | None = None,
    photos: int = 1,
    looks: int = 1,
    **typed,
) -> Model:
    """The model of a run folder, a `best_model.pt` or an exported file, or of several as one.

    Several are a list of these, or a folder of runs, and need the same classes; the answer is the
    mean of their probabilities. A run that was exported answers by its fastest file, without
    torch, unless `device`, `amp` or `image_size` is given. `photos` is about how many it will be
    asked about: on a GPU the run itself answers many. `looks` is how often each photo is looked at
    (`images/looks.py` says how). `language` of the names is "en" or "vi"; by default the
    session's. Other settings are those of `Config`. Raises `InputError`.
    """
    if language not in (None, *LANGUAGES):
        raise InputError(f"language {unknown(str(language), LANGUAGES)}")
    check_looks(looks)
    wanted = {"batch_size": BATCH_SIZE, **typed}
    sources = [fastest_exported_file(one, typed, photos) for one in runs_named(run)]
    members = [member_of(source, wanted) for source in sources]
    return Model(Together(members, looks), language or session_language())


def refused(photo) -> InputError:
    kind = type(photo).__name__
    return InputError(f"photo: give a path, a uint8 array or a Pillow image, not one of {kind}")


def pixels_of(photo: np.ndarray | Image.Image) -> np.ndarray:
    """uint8 RGB (H, W, 3); raises `InputError`."""
    if isinstance(photo, Image.Image):
        photo = to_rgb(upright(photo))
    if not isinstance(photo, np.ndarray):
        raise refused(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise InputError(
            f"photo: an array has to be uint8 RGB (height, width, 3), not {photo.dtype} "
            f"{photo.shape}"
        )
    return photo


def shrinking(photo: np.ndarray) -> Callable[[int], np.ndarray]:
    """The photo at a side, as a file with these pixels would be read."""
    return lambda side: shrunk(photo, side)
