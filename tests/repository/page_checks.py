"""What can be wrong with a page: each check takes its text and names what is wrong."""

import ast
import contextlib
import functools
import io
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

from conftest import REPO
from readme_tables import filled

from lite0ca.__main__ import parse
from lite0ca.errors import InputError
from lite0ca.settings.config import Config
from lite0ca.settings.flags import assignments

SCRIPT = "train_EfficientNet_Lite0_CA.py"


def text_of(path: Path) -> str:
    """What a person reads of a Markdown file, or of a notebook's cells of text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    cells = re.findall(r"^# %% \[markdown\]\n((?:#.*\n)+)", text + "\n", re.MULTILINE)
    return "\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in cells)


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
    numbered = [f"{s}-{slugs[:i].count(s)}" for i, s in enumerate(slugs) if s in slugs[:i]]
    return {*slugs, *numbered}


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
        if (
            re.match(r"(python3?|lite0ca|make|papermill|torchrun|pip) ", span)
            and "COMMAND" not in span
        ):
            words = shlex.split(span)
            if (problem := problem_of(words)) and "required" not in problem:
                wrong.append(f"{span}: {problem}")
    return wrong


def problem_of(words: list[str]) -> str | None:
    """Why a command would not run; None where it would, as far as can be told without running."""
    program, *arguments = words
    check = {"python": of_python, "make": of_make, "torchrun": of_torchrun, "pip": of_pip}
    check |= {"papermill": of_papermill, "lite0ca": of_lite0ca}
    if program in check:
        try:
            return check[program](arguments)
        except InputError as error:
            return str(error)
        except SystemExit:  # --help
            return None
    return None if program in PROGRAMS or "=" in program else f"{program} is not known here"


# What is not ours is taken as it is; the last three make a loop.
PROGRAMS = {"source", "git", "cd", "kaggle", "pre-commit", "pytest", "trtexec"}
PROGRAMS |= {"grep", "while", "do"}
MODULES = {"http.server", "pytest", "ruff", "pyright", "venv", "pip"}


def of_python(arguments: list[str]) -> str | None:
    program, *arguments = arguments
    if program == "-m":
        module, *arguments = arguments
        if module != "lite0ca":
            return None if module in MODULES else f"module {module} is not known here"
        return of_lite0ca(arguments)
    if program == SCRIPT:
        return of_lite0ca(["train", *arguments])
    if not (REPO / program).is_file():
        return f"there is no {program}"
    source = (REPO / program).read_text(encoding="utf-8")
    flags = [word.split("=")[0] for word in arguments if word.startswith("--")]
    return next((f"{program} takes no {flag}" for flag in flags if f'"{flag}"' not in source), None)


def of_lite0ca(arguments: list[str]) -> None:
    """Raises what the command would."""
    with contextlib.redirect_stdout(io.StringIO()):
        typed = parse(arguments, None)[1]
    for name in typed.get("presets", ()):
        Config.of(name)
    if arguments[0] == "train" and "resume" not in typed:
        Config.of(**typed)


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
    asked = [
        [],
        *([name] for name in re.findall(r"^    ([a-z-]+)(?: |$)", help_of([]), re.MULTILINE)),
    ]
    assert len(asked) > 8
    return {flag for words in asked for flag in re.findall(r"--[a-z][\w-]*", help_of(words))}


def help_of(words: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        parse([*words, "--help"], None)
    return printed.getvalue()


OTHERS = {"--channels-last"}  # of timm's train.py


def wrong_flags(text: str) -> list[str]:
    """Flags in sentences and tables that no command has."""
    spans = [span for span in spans_of(text) if span.split()[0].startswith("--")]
    named = {flag for span in spans for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    return [f"{flag} is no flag" for flag in sorted(named - known_flags() - OTHERS)]


# Numbers, tables, names


def numbers_in(text: str) -> set[str]:
    return {number for number in re.findall(r"\d[\d.,]*\d", text)}


def wrong_tables(text: str) -> list[str]:
    return [] if filled(text) == text else ["a table is not the code's; run: make readme"]


def private_words(text: str) -> list[str]:
    """Paths of somebody's machine, and where packages come from."""
    found = re.search(r"(?<![\w.])/(root|work|home)/\w|pypi[.]org|index[-]url|npmjs[.]", text)
    return [f"names {found[0]}"] if found else []


USERS = {"data/metadata.csv"}  # not ours, though `data/` may be


def missing_paths(text: str) -> list[str]:
    """Files named in a page that are neither in the repository nor in the package."""
    known = {p.name for place in (REPO, REPO / "lite0ca") for p in place.iterdir() if p.is_dir()}
    named = [span for span in spans_of(text) if re.fullmatch(r"[\w./-]+\.(py|md|ipynb|csv)", span)]
    return [
        f"{span} is not there"
        for span in named
        if span.split("/")[0] in known and span not in USERS
        if not (REPO / span).exists() and not (REPO / "lite0ca" / span).exists()
    ]
