"""The documents tell the truth: links lead somewhere, commands run, tables are the code's, and the
Vietnamese page is the English one. Each check is shown to fail."""

import ast
import contextlib
import functools
import re
import subprocess

import pytest
from conftest import REPO
from page_checks import (
    SCRIPT,
    blocks_of,
    commands_of,
    missing_paths,
    numbers_in,
    private_words,
    text_of,
    wrong_commands,
    wrong_flags,
    wrong_links,
    wrong_tables,
)
from readme_tables import presets

from lite0ca.settings.presets import PRESETS

NOTEBOOKS = sorted(REPO.glob("notebooks/*.py"))
# Every page, but for what is built. Two of them name what is gone.
PAGES = sorted({*REPO.glob("*.md"), *REPO.glob("[!.]*/*.md")} - {*REPO.glob("build/*.md")})
HISTORY = {REPO / "docs/log.md", REPO / "CHANGELOG.md"}
UNLINKED = {"README.md"}  # by README.md


@functools.cache
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git checkout")
    return [name for name in done.stdout.splitlines() if (REPO / name).is_file()]


def wrong_numbers(text: str) -> list[str]:
    """Numbers of the Vietnamese page that no English one has."""
    pool = set().union(
        *(numbers_in(text_of(p)) for p in [*PAGES, *NOTEBOOKS] if ".vi" not in p.name)
    )
    return [f"{number} stands nowhere else" for number in sorted(numbers_in(text) - pool)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_a_page_is_right(page):
    text = text_of(page)
    wrong = wrong_links(text, page) + wrong_commands(text) + wrong_tables(text)
    wrong += [] if page in HISTORY else wrong_flags(text) + missing_paths(text)
    assert wrong == []


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebooks_text_is_right(page):
    text = text_of(page)
    wrong = wrong_links(text, page) + wrong_commands(text) + wrong_flags(text)
    assert wrong + missing_paths(text) == []


def test_every_page_is_found_and_linked():
    names = [str(page.relative_to(REPO)) for page in PAGES]
    documents = {name for name in tracked() if name.endswith(".md")}
    assert set(names) >= {name for name in documents if not name.startswith("tests/")}
    names = [name for name in names if name not in UNLINKED]
    names += [f"notebooks/{page.stem}.ipynb" for page in NOTEBOOKS]
    assert len(names) >= 13
    readme = text_of(REPO / "README.md")
    assert [name for name in names if f"]({name})" not in readme] == []


BROKEN = {
    "leads nowhere": (wrong_links, "[a](docs/nothing.md)"),
    "no such heading": (wrong_links, "# One\n[a](#two)"),
    "reference.md#nothing has no such heading": (wrong_links, "[a](docs/reference.md#nothing)"),
    "no bash": (wrong_commands, "```bash\nif true; then\n```"),
    "unrecognized arguments: --epoch": (
        wrong_commands,
        f"```bash\npython {SCRIPT} --preset fast --epoch 3\n```",
    ),
    "must be a multiple of 32": (wrong_commands, f"```bash\npython {SCRIPT} --image-size 200\n```"),
    "invalid choice": (wrong_commands, "```bash\npython -m lite0ca evalute results/RUN\n```"),
    "required": (wrong_commands, "```bash\npython -m lite0ca evaluate\n```"),
    "'fats' is unknown": (wrong_commands, "```bash\npython -m lite0ca batch fats\n```"),
    "no target demos": (wrong_commands, "Run `make demos`."),
    "no variable DATUM": (wrong_commands, "```bash\nmake study DATUM=my/metadata.csv\n```"),
    "there is no benchmarks/studies.py": (wrong_commands, "`python benchmarks/studies.py`"),
    "takes no --metadatum": (wrong_commands, "`python benchmarks/study.py --metadatum a.csv`"),
    "no extra onxx": (wrong_commands, "```bash\npip install -e '.[onxx]'\n```"),
    "no parameter presett": (
        wrong_commands,
        "```bash\npapermill notebooks/03_train.ipynb out.ipynb -p presett fast\n```",
    ),
    "'epoch' is unknown": (
        wrong_commands,
        '```bash\npapermill notebooks/03_train.ipynb out.ipynb -p overrides "epoch=3"\n```',
    ),
    "there is no notebooks/3_train.ipynb": (
        wrong_commands,
        "```bash\npapermill notebooks/3_train.ipynb out.ipynb\n```",
    ),
    "torchrun --nproc_per_node=two": (
        wrong_commands,
        f"```bash\ntorchrun --nproc_per_node=two {SCRIPT}\n```",
    ),
    "wget is not known": (wrong_commands, "```bash\nwget photos.zip\n```"),
    "--learning-rate is no flag": (wrong_flags, "Lower `--learning-rate 1`."),
    "12,345 stands nowhere else": (wrong_numbers, "0.903 and 12,345"),
    "make readme": (wrong_tables, "<!-- presets -->\n\nold\n\n<!-- /presets -->"),
    "names /ho": (private_words, "saved to /" + "home/ann/results"),
    "names index": (private_words, "pip install --index" + "-url x"),
    "docs/nothing.py is not there": (missing_paths, "see `docs/nothing.py`"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_page_is_caught(problem):
    check, text = BROKEN[problem]
    given = (text, REPO / "README.md") if check is wrong_links else (text,)
    assert [found for found in check(*given) if problem in found] != []


def test_the_generated_tables_are_there():
    marks = {"README.md": ["results"], "docs/reference.md": ["flags", "presets", "systems"]}
    for name, tables in marks.items():
        text = text_of(REPO / name)
        for mark in tables:
            assert text.count(f"<!-- {mark} -->") == text.count(f"<!-- /{mark} -->") == 1


def test_the_readme_is_short():
    assert text_of(REPO / "README.md").count("\n") <= 200


def test_no_private_words():
    wrong = {}
    for name in tracked():
        if not name.endswith((".lock", ".ipynb")):
            with contextlib.suppress(UnicodeDecodeError):  # pictures
                if found := private_words((REPO / name).read_text(encoding="utf-8")):
                    wrong[name] = found
    assert wrong == {}


def test_the_architecture_names_every_room():
    text = text_of(REPO / "docs/architecture.md")
    folders = {name.split("/")[0] for name in tracked() if "/" in name}
    rooms = {path.parent.name for path in REPO.glob("lite0ca/*/__init__.py")}
    assert [name for name in sorted(folders | rooms) if f"{name}/" not in text] == []
    files = [path.name for path in REPO.glob("lite0ca/*.py")] if rooms else []
    assert [name for name in files if name not in (*text.split(), "__init__.py")] == []


def test_the_architecture_has_each_rooms_own_sentence():
    text = words_of(text_of(REPO / "docs/architecture.md"))
    for room in REPO.glob("lite0ca/*/__init__.py"):
        sentence = ast.get_docstring(ast.parse(room.read_text(encoding="utf-8"))).split("\n\n")[0]
        assert words_of(sentence) in text, f"{room.parent.name}: {sentence}"


def words_of(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def test_the_reference_names_every_environment_variable():
    text = text_of(REPO / "docs/reference.md")
    read = re.compile(r'environ(?:\.get\(|\.setdefault\(|\[)"(\w+)"')
    sources = [path.read_text(encoding="utf-8") for path in REPO.glob("lite0ca/**/*.py")]
    names = {name for source in sources for name in read.findall(source)}
    assert len(names) > 5
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


# The Vietnamese page


def test_the_vietnamese_page_is_whole():
    english, vietnamese = (text_of(REPO / name) for name in ("README.md", "README.vi.md"))
    commands = [
        {command for block in blocks_of(text) for command in commands_of(block)}
        for text in (english, vietnamese)
    ]
    assert len(commands[0]) >= 20
    assert commands[0] == commands[1]
    scores = [re.findall(r"\d\.\d{3} ± [^|]+", text) for text in (english, vietnamese)]
    assert len(scores[0]) >= 10
    assert scores[0] == scores[1]
    sections = [re.findall(r"^## ", text, re.MULTILINE) for text in (english, vietnamese)]
    assert len(sections[0]) == len(sections[1])
    links = [re.findall(r"\]\(([^)#\s]+)", text) for text in (english, vietnamese)]
    assert set(links[0]) - {"README.vi.md"} <= set(links[1])


def test_the_vietnamese_numbers_are_the_documents():
    text = text_of(REPO / "README.vi.md")
    assert len(numbers_in(text)) >= 20
    assert wrong_numbers(text) == []


def test_the_vietnamese_presets_are_the_packages():
    ours = {line.split("|")[1]: line.split("|")[2] for line in presets().splitlines()[2:]}
    theirs = {
        line.split("|")[1]: line.split("|")[2]
        for line in text_of(REPO / "README.vi.md").splitlines()
        if line.startswith("| `") and line.split("|")[1].strip(" `") in PRESETS
    }
    assert theirs == ours
