"""The classes of a data set: their numbers, and how their names read to a person."""

from __future__ import annotations

import contextlib
import re
import unicodedata

# Letters that look like Latin ones, and the Vietnamese one that no accent makes of another.
LOOK_ALIKES = str.maketrans("аеорсухіјѕԁһкмтвнοαιđı", "aeopcyxijsdhkmtbhoaidi")
BLANK_LETTERS = "\u115f\u1160\u2800\u3164"  # that show nothing: Hangul's fillers, Braille's blank


def classes_of(label2id: dict[str, int]) -> list[str]:
    """The class names in the order of their numbers."""
    return sorted(label2id, key=label2id.__getitem__)


def plain_name(label: str) -> str:
    """What a person reads: no case, accents, separators or invisible letters; 01 and 1.0 are 1."""
    with contextlib.suppress(ValueError, OverflowError):
        return str(float(label))
    text = unicodedata.normalize("NFKD", label.casefold()).translate(LOOK_ALIKES)
    kept = (c for c in text if unicodedata.category(c) not in ("Mn", "Cf"))
    kept = ("-" if unicodedata.category(c) == "Pd" else c for c in kept if c not in BLANK_LETTERS)
    text = "".join(kept).replace("_", " ").strip()
    # Not between two digits: types 1.5 and 15 are two.
    between = r"[\s\-./,]+"
    return re.sub(rf"(?<=[^\W\d]){between}(?=\w)|(?<=\w){between}(?=[^\W\d])", "", text)
