"""The documents tell the truth: links lead somewhere, commands run, tables are the code's, and the
Vietnamese page is the English one. Each check is shown to fail."""

import ast
import contextlib
import functools
import io
import re
import shlex
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from conftest import REPO
from readme_tables import filled, presets

from lite0ca.__main__ import parse
from lite0ca.config import Config
from lite0ca.errors import InputError
from lite0ca.flags import assignments
from lite0ca.presets import PRESETS

SCRIPT = "train_EfficientNet_Lite0_CA.py"
NOTEBOOKS = sorted(REPO.glob("notebooks/*.py"))
# Every page, but for what is built. Two of them name what is gone.
PAGES = sorted({*REPO.glob("*.md"), *REPO.glob("[!.]*/*.md")} - {*REPO.glob("build/*.md")})
HISTORY = {REPO / "docs/log.md", REPO / "CHANGELOG.md"}
UNLINKED = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}  # by README.md


def text_of(path: Path) -> str:
    """What a person reads of a Markdown file, or of a notebook's cells of text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    cells = re.findall(r"^# %% \[markdown\]\n((?:#.*\n)+)", text + "\n", re.MULTILINE)
    return "\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in cells)


@functools.cache
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git checkout")
    return [name for name in done.stdout.splitlines() if (REPO / name).is_file()]


def blocks_of(text: str) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def spans_of(text: str) -> list[str]:
    spans = re.findall(r"`([^`]+)`", without_blocks(text))
    return [re.sub(r"\s+", " ", span) for span in spans]


# Links


def anchors_of(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings]
    seen = Counter()
    return {
        slug + (f"-{n}" if (n := seen.update([slug]) or seen[slug] - 1) else "") for slug in slugs
    }


def wrong_links(text: str, page: Path) -> list[str]:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        name, _, anchor = target.partition("#")
        if re.match(r"https?:", target):
            continue
        path = page.parent / name if name else page
        if not path.exists():
            wrong.append(f"{target} leads nowhere")
        elif anchor and anchor not in anchors_of(text if path == page else text_of(path)):
            wrong.append(f"{target} has no such heading")
    return wrong


# Commands


def commands_of(block: str) -> list[str]:
    """The lines of a bash block, without comments, those that go on behind a backslash joined."""
    lines = (line.split(" #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def wrong_commands(text: str) -> list[str]:
    wrong = []
    for block in blocks_of(text):
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        if checked.returncode:
            wrong.append(f"no bash: {checked.stderr.strip()}")
            continue
        wrong += [f"{c}: {p}" for c in commands_of(block) if (p := problem_of(shlex.split(c)))]
    for span in spans_of(text):
        # In a sentence a command may be named without all that it needs.
        if re.match(r"(python3?|make|papermill|torchrun|pip) ", span) and "COMMAND" not in span:
            words = shlex.split(span)
            if (problem := problem_of(words)) and "required" not in problem:
                wrong.append(f"{span}: {problem}")
    return wrong


def problem_of(words: list[str]) -> str | None:
    """Why a command would not run; None where it would, as far as can be told without running."""
    program, *arguments = words
    check = {"python": of_python, "make": of_make, "torchrun": of_torchrun, "pip": of_pip}
    check["papermill"] = of_papermill
    if program in check:
        try:
            return check[program](arguments)
        except InputError as error:
            return str(error)
        except SystemExit:  # --help
            return None
    return None if program in PROGRAMS or "=" in program else f"{program} is not known here"


# What is not ours is taken as it is; the last three make a loop.
PROGRAMS = {"source", "git", "cd", "kaggle", "pre-commit", "pyright", "ruff", "grep", "while", "do"}
MODULES = {"http.server", "pytest", "ruff", "pyright", "venv", "pip"}


def of_python(arguments: list[str]) -> str | None:
    program, *arguments = arguments
    if program == "-m":
        module, *arguments = arguments
        if module != "lite0ca":
            return None if module in MODULES else f"module {module} is not known here"
        with contextlib.redirect_stdout(io.StringIO()):
            typed = parse(arguments, None)[1]
        for name in typed.get("presets", ()):
            Config.of(name)
        return None
    if program == SCRIPT:
        typed = parse(["train", *arguments], program)[1]
        if "resume" not in typed:
            Config.of(**typed)
        return None
    if not (REPO / program).is_file():
        return f"there is no {program}"
    source = (REPO / program).read_text(encoding="utf-8")
    flags = [word.split("=")[0] for word in arguments if word.startswith("--")]
    return next((f"{program} takes no {flag}" for flag in flags if f'"{flag}"' not in source), None)


def of_make(arguments: list[str]) -> str | None:
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE)
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        if not is_variable and word not in targets:
            return f"the Makefile has no target {word}"
        if is_variable and f"$({name})" not in makefile:
            return f"the Makefile has no variable {name}"
    return None


def of_torchrun(arguments: list[str]) -> str | None:
    while arguments and arguments[0].startswith("-"):
        name, given, value = arguments.pop(0).partition("=")
        if name not in ("--nproc_per_node", "--nnodes") or (given and not value.isdigit()):
            return f"torchrun {name}{given}{value} is not known here"
    return of_python(arguments) if arguments else None


def of_pip(arguments: list[str]) -> str | None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in arguments:
        if extras := re.search(r"\[(.+)\]", word):
            for extra in extras[1].split(","):
                if extra not in project["optional-dependencies"]:
                    return f"pyproject.toml has no extra {extra}"
    return None


def of_papermill(arguments: list[str]) -> str | None:
    notebook, _, *rest = arguments
    source = (REPO / notebook).with_suffix(".py")
    if not source.is_file():
        return f"there is no {notebook}"
    cell = re.search(r'tags=\["parameters"\]\n(.*?)\n# %%', source.read_text(), re.DOTALL)[1]
    known = {node.targets[0].id for node in ast.parse(cell).body}
    for option, name, value in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if option != "-p" or name not in known:
            return f"{notebook} has no parameter {name}"
        if name == "preset":
            Config.of(value)
        if name == "overrides":
            Config.of(**assignments(value.split()))
    return None


@functools.cache
def known_flags() -> set[str]:
    """The flags of every command."""
    asked = [[], *([name] for name in re.findall(r"^    ([a-z]+) ", help_of([]), re.MULTILINE))]
    assert len(asked) > 8
    return {flag for words in asked for flag in re.findall(r"--[a-z][\w-]*", help_of(words))}


def help_of(words: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        parse([*words, "--help"], None)
    return printed.getvalue()


def wrong_flags(text: str) -> list[str]:
    """Flags in sentences and tables that no command has."""
    spans = [span for span in spans_of(text) if span.split()[0].startswith("--")]
    named = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    return [f"{flag} is no flag" for flag in sorted(named - known_flags() - OTHERS)]


OTHERS = {"--channels-last"}  # of timm's train.py


# Numbers, tables, names


def numbers_in(text: str) -> set[str]:
    return {number for number in re.findall(r"\d[\d.,]*\d", text)}


def wrong_numbers(text: str) -> list[str]:
    """Numbers of the Vietnamese page that no English one has."""
    pool = set().union(
        *(numbers_in(text_of(p)) for p in [*PAGES, *NOTEBOOKS] if ".vi" not in p.name)
    )
    return [f"{number} stands nowhere else" for number in sorted(numbers_in(text) - pool)]


def wrong_tables(text: str) -> list[str]:
    return [] if filled(text) == text else ["a table is not the code's; run: make readme"]


def private_words(text: str) -> list[str]:
    """Paths of somebody's machine, and where packages come from."""
    found = re.search(r"(?<![\w.])/(root|work|home)/\w|pypi\.org|index-url|npmjs\.", text)
    return [f"names {found[0]}"] if found else []


def missing_paths(text: str) -> list[str]:
    """Files named in a page that are neither in the repository nor in the package."""
    known = {p.name for place in (REPO, REPO / "lite0ca") for p in place.iterdir() if p.is_dir()}
    named = [span for span in spans_of(text) if re.fullmatch(r"[\w./-]+\.(py|md|ipynb|csv)", span)]
    return [
        f"{span} is not there"
        for span in named
        if span.split("/")[0] in known and not span.startswith(("data/", "build/", "results/"))
        if not (REPO / span).exists() and not (REPO / "lite0ca" / span).exists()
    ]


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
    assert set(names) >= {name for name in tracked() if name.endswith(".md")}
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
        if name != "tests/repository/test_documents.py" and not name.endswith((".lock", ".ipynb")):
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
