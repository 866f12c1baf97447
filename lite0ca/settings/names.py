"""What people call the classes, in English and Vietnamese; a `names.json` says it for others."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence

LANGUAGES = ("en", "vi")
# The guide's four classes and Paddy Doctor's ten. A class that is not here is called by its label.
KNOWN = {
    "bacterial_leaf_blight": {"en": "bacterial leaf blight", "vi": "bạc lá"},
    "bacterial_leaf_streak": {"en": "bacterial leaf streak", "vi": "đốm sọc vi khuẩn"},
    "bacterial_panicle_blight": {"en": "bacterial panicle blight", "vi": "lép vàng vi khuẩn"},
    "blast": {"en": "rice blast", "vi": "đạo ôn"},
    "brown_spot": {"en": "brown spot", "vi": "đốm nâu"},
    "dead_heart": {"en": "dead heart (stem borer)", "vi": "dảnh héo (sâu đục thân)"},
    "downy_mildew": {"en": "downy mildew", "vi": "sương mai"},
    "healthy": {"en": "healthy", "vi": "khỏe mạnh"},
    "hispa": {"en": "rice hispa", "vi": "bọ gai"},
    "leaf_blast": {"en": "leaf blast", "vi": "đạo ôn"},
    "normal": {"en": "healthy", "vi": "khỏe mạnh"},
    "tungro": {"en": "tungro", "vi": "tungro"},
}

# How data sets call a leaf without a disease, words with blanks between them, without accents.
HEALTHY = ("healthy", "normal", "no disease", "disease free", "undiseased", "uninfected")
HEALTHY += ("khoe", "khoe manh", "binh thuong", "khong benh", "khong bi benh", "sach benh")
NOT_HEALTHY = re.compile(rf"\b(not|non|un|khong|chua) ({'|'.join(HEALTHY)})\b")


def language() -> str:
    """The language of this session's locale: "vi", or else "en"."""
    said = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((value for value in said if value), "")
    return "vi" if locale.lower().startswith("vi") else "en"


def display_name(label: str, names: Mapping[str, Mapping[str, str]], language: str) -> str:
    """What people call a class; the label with blanks where nobody has said it.

    `names` are of the data or the run: a class -> its name by language.
    """
    known = KNOWN.get(label.lower().replace(" ", "_").replace("-", "_"), {})
    of_class = {**known, **names.get(label, {})}
    return of_class.get(language) or of_class.get("en") or label.replace("_", " ")


def display_names(
    classes: Sequence[str], names: Mapping[str, Mapping[str, str]], language: str
) -> list[str]:
    """`display_name` of each; two classes that would be called the same keep their labels."""
    shown = [display_name(label, names, language) for label in classes]
    return [label if shown.count(name) > 1 else name for label, name in zip(classes, shown)]


def is_healthy(label: str, names: Mapping[str, Mapping[str, str]] | None = None) -> bool:
    """Whether a class is that of leaves without a disease, by its label or what people call it.

    One of `HEALTHY` must be words of it, whatever lies around: `Rice_Healthy`, `Tomato___healthy`,
    `HealthyLeaf`, `lá khỏe`. Not `unhealthy` or `not-healthy`. `names` are as for `display_name`.
    """
    said = [label, *(names or {}).get(label, {}).values()]
    return any(says_healthy(plain_words(name)) for name in said)


def says_healthy(words: str) -> bool:
    rest = NOT_HEALTHY.sub(" ", words)
    return any(f" {name} " in f" {rest} " for name in HEALTHY)


def plain_words(name: str) -> str:
    """Small words with blanks between them, without accents and digits: `LáKhỏe_2` -> `la khoe`."""
    name = unicodedata.normalize("NFC", name)
    humps = zip(f" {name}", name)  # as of HealthyLeaf
    name = "".join(f" {c}" if c.isupper() and before.islower() else c for before, c in humps)
    letters = unicodedata.normalize("NFKD", name.casefold().replace("đ", "d"))
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W\d_]+", letters))
