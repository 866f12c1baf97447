"""What classes are called: built in, by names.json, and each mistake in that file."""

import unicodedata

import pytest

from lite0ca.errors import InputError
from lite0ca.settings.advice import NOT_SURE, not_sure_advice
from lite0ca.settings.names import KNOWN, LANGUAGES, display_names, is_healthy, language
from lite0ca.settings.names_file import NAMES, are_names, names_in, read_names

CLASSES = ["blast", "brown_spot", "healthy", "rust"]
BLAST_IS_LEAF_BLAST = '{"blast": {"en": "leaf blast", "vi": "đạo ôn lá"}, "rust": "gỉ sắt"}'


@pytest.fixture
def read(tmp_path):
    def written(text: str | bytes, classes=CLASSES):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / NAMES).write_bytes(content)
        return read_names(tmp_path / NAMES, classes)

    return written


def test_built_in_names():
    assert display_names(["leaf_blast", "healthy"], {}, "vi") == ["đạo ôn", "khỏe mạnh"]
    assert display_names(["Leaf Blast", "Brown-Spot"], {}, "vi") == ["đạo ôn", "đốm nâu"]
    assert display_names(["leaf_scald"], {}, "vi") == ["leaf scald"]
    # Two that would be called the same keep their labels.
    assert display_names(["healthy", "normal"], {}, "en") == ["healthy", "normal"]
    for names in KNOWN.values():
        assert tuple(names) == LANGUAGES
        assert all(unicodedata.is_normalized("NFC", name) for name in names.values())
    assert are_names(KNOWN, KNOWN)


HEALTHY = ["healthy", "Normal", "Tomato___healthy", "HealthyLeaf", "no-disease", "Rice_Normal2"]
HEALTHY += ["lá khỏe", "LáKhỏe", "Lúa_khoẻ_mạnh", "BÌNH THƯỜNG", "không bị bệnh"]
ILL = ["unhealthy", "UNHEALTHY", "not_healthy", "abnormal", "không khỏe", "leaf_blast", "4", ""]


@pytest.mark.parametrize("label", [*HEALTHY, *ILL])
def test_what_is_healthy(label):
    for written in (label, unicodedata.normalize("NFD", label)):
        assert is_healthy(written) is (label in HEALTHY)
    assert is_healthy(label, {label: {"vi": "lá khỏe"}}), "what people call it counts"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({"LANG": "vi_VN.UTF-8"}, "vi"), ({"LANG": "vi_VN", "LC_ALL": "C"}, "en"), ({}, "en")],
)
def test_the_language_of_the_session(variables, expected, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language() == expected
    assert not_sure_advice(expected) == NOT_SURE[expected]


def test_a_file_of_names(read):
    names = read(BLAST_IS_LEAF_BLAST)
    assert names["blast"] == {"en": "leaf blast", "vi": "đạo ôn lá"}
    assert display_names(CLASSES, names, "vi") == ["đạo ôn lá", "đốm nâu", "khỏe mạnh", "gỉ sắt"]
    # With a BOM, letters as a Mac writes them, blanks around, and one language of two.
    apart = unicodedata.normalize("NFD", '{"đốm": {"vi": " cháy lá "}}')
    names = read(b"\xef\xbb\xbf" + apart.encode(), ["đốm", "rust"])
    assert names == {"đốm": {"vi": "cháy lá"}}
    assert display_names(["đốm"], names, "en") == ["đốm"]
    assert read("{}") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is no JSON \(line 1, .*\); it must look like \{"),
        ('{"blast": "đạo ôn",\n}', r"is no JSON \(line 2, "),
        (b'{"blast": "\xff"}', "utf-8.*; it must be JSON like"),
        ("[" * 100_000, "must be JSON like|is no JSON"),
        ('["blast"]', "holds no names with values; it must be JSON like"),
        ('{"blast": "a", "blast": "b"}', "names 'blast' twice"),
        ('{"blsat": "đạo ôn"}', "class 'blsat' is unknown; did you mean 'blast'"),
        ('{"blast": {"vn": "đạo ôn"}}', "'blast': language 'vn' is unknown; known are en, vi"),
        ('{"blast": 3}', "name of 'blast' must be a text, or a text for each language"),
        ('{"blast": {}}', "name of 'blast' must be a text, or"),
        ('{"blast": {"en": null}}', "name of 'blast' must be a text that is not blank"),
        ('{"blast": " \\u3000"}', "must be a text that is not blank"),
        ('{"blast": "a\\nb"}', r"has a letter that cannot be shown: 'a\\nb'"),
        ('{"blast": "a\\u202eb"}', "has a letter that cannot be shown"),
        (f'{{"blast": "{"a" * 61}"}}', "has 61 letters, and 60 are the most"),
        ('{"blast": "x", "rust": "X"}', r"'blast' and 'rust' would both be 'X' \(en\)"),
        ('{"rust": {"vi": "đốm nâu"}}', r"'brown_spot' and 'rust' would both be 'đốm nâu' \(vi\)"),
    ],
)
def test_a_mistake_is_one_line(text, message, read):
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value) and NAMES in str(caught.value)


def test_one_class_in_two_spellings(read):
    apart = unicodedata.normalize("NFD", "đốm")
    with pytest.raises(InputError, match="names 'đốm' twice"):
        read(f'{{"đốm": "a", "{apart}": "b"}}', ["đốm", "rust"])


def test_what_a_model_may_say():
    assert are_names({}, CLASSES) and are_names({"blast": {"en": "x"}}, CLASSES)
    decomposed = unicodedata.normalize("NFD", "đạo ôn")
    for wrong in (None, [], {"blast": "x"}, {"blast": {"en": " x"}}, {3: {"en": "x"}}):
        assert not are_names(wrong, CLASSES)
    for wrong in ({"other": {"en": "x"}}, {"blast": {"vi": decomposed}}, {"blast": {"en": 3}}):
        assert not are_names(wrong, CLASSES)
    assert names_in({"blast": "x"}, CLASSES) == {"blast": {"en": "x", "vi": "x"}}
