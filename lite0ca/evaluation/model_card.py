"""MODEL_CARD.md, what goes with a model that is given away: all of it is read from its run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import timm

from lite0ca import __version__
from lite0ca.data.classes import classes_of
from lite0ca.data.licence import licence_of
from lite0ca.errors import printable
from lite0ca.evaluation.calibration import calibration_as_text
from lite0ca.evaluation.finished_run import WORTH
from lite0ca.evaluation.missed_disease import missed_as_text
from lite0ca.evaluation.run_report import PARTS, changed_rows, counts_of, machine_of
from lite0ca.files.json_files import known_json
from lite0ca.files.reading import beginning
from lite0ca.files.whole_file import whole
from lite0ca.formats.checkpoint import load_best
from lite0ca.formats.exported_file import format_of
from lite0ca.formats.metadata import is_number, limit_of
from lite0ca.formats.names import names_of
from lite0ca.formats.report import rows_of_files
from lite0ca.formats.run_files import (
    ADAPTED,
    BEST,
    EXPORTS,
    MERGED,
    REPORT,
    digest,
    run_folder,
)
from lite0ca.formats.run_split import split_if_kept
from lite0ca.settings import command_lines
from lite0ca.settings.config import Config
from lite0ca.settings.names import LANGUAGES, display_name, display_names

CARD, SOURCE = "MODEL_CARD.md", "model_card.jinja"
FEW = 30  # photos of a class, by which its score says little
LARGEST = 1_000_000  # bytes of a card
START = "<!-- Written by lite0ca. sha256 of the lines above:"
END = re.compile(rf"\n{re.escape(START)} ([0-9a-f]{{64}}) -->\s*\Z")
LICENCE_LINE = re.compile(r"^license(?:_name|_link)?:.*\n", re.MULTILINE)
LICENCE = "license: other\nlicense_name: not-chosen-yet\n"
SCORES = ("images", "accuracy", "macro_f1", "calibration_error", "sure_from", "sure")
OF_A_CLASS = ("precision", "recall", "f1", "images")
INTERVALS = ("accuracy_interval_95", "macro_f1_interval_95")


def write_card(run: str | Path, folder: Path | None = None, rows=()) -> Path | None:
    """Write what is known of a run into its folder, or for its exported files into `folder`.

    `rows` are those of the exported files, as the export's report has them.

    A card that lite0ca did not write, or that was changed by hand, stays: that is printed, and the
    answer is None. But the licence in its first lines is anybody's to choose, and is kept.

    Raises `InputError` for a run that cannot be read.
    """
    place = (folder or run_folder(run)) / CARD
    old = (beginning(place, LARGEST) or b"").decode(errors="replace").replace("\r\n", "\n")
    if os.path.lexists(place) and not is_untouched(old):
        print(
            printable(
                f"{place}: was changed by hand, or is not lite0ca's, and stays; "
                f"moved away, `lite0ca report {command_lines.quoted(run)}` writes a new one"
            )
        )
        return None
    with whole(place) as file:
        file.write(card_of(run, licence_lines(old) or LICENCE, rows))
    return place


def refresh_card(run: str | Path) -> Path | None:
    """Write the card of a run anew where it has one: it has scores now, or files, that it lacks."""
    return write_card(run) if is_own(run) and (run_folder(run) / CARD).is_file() else None


def is_own(run: str | Path) -> bool:
    """Whether it is a run's own best model that is named, not another file beside it."""
    return Path(run).is_dir() or Path(run).name == BEST


def card_of(run: str | Path, licence: str, rows=()) -> str:
    """The card's text; `rows` are of the exported files that it lies beside."""
    from lite0ca.plots.report_page import page

    facts = facts_of(run)
    exported = files_of_report(rows)
    facts |= {"files": exported or facts["files"], "exported": bool(exported), "licence": licence}
    content = page(SOURCE, **facts)
    return f"{content}\n{START} {digest_of(content)} -->\n"


def is_untouched(text: str) -> bool:
    """Whether a card is as it was written, its licence apart."""
    found = END.search(text)
    return bool(found) and digest_of(text[: found.start()]) == found[1]


def digest_of(content: str) -> str:
    front = front_matter(content)
    same = LICENCE_LINE.sub("", front) + content[len(front) :]
    return hashlib.sha256(same.encode(errors="replace")).hexdigest()


def licence_lines(content: str) -> str:
    return "".join(LICENCE_LINE.findall(front_matter(content)))


def front_matter(content: str) -> str:
    end = content.find("\n---\n")
    return content[: end + 1] if content.startswith("---\n") and end > 0 else ""


def facts_of(run: str | Path) -> dict:
    """What the template names: plain values of a run's files, None or empty for what is missing."""
    folder = run_folder(run)
    checkpoint, sha256 = load_best(run), digest(run)
    settings = Config.of_stored(checkpoint["config"])
    environment, metrics = (
        known_json(folder / name) for name in ("environment.json", "metrics.json")
    )
    classes, names = classes_of(checkpoint["label2id"]), names_of(run, checkpoint)
    root = root_of(environment, checkpoint)
    scores = scores_in(folder, checkpoint, root)
    own = [one for one in scores if one["own"] and not one["background"]]
    first = next((one for part in ("test", "valid") for one in own if one["split"] == part), None)
    counts = counts_of(folder, checkpoint, classes)
    return {
        "name": folder.resolve().name,
        "system": checkpoint["system"],
        "epoch": checkpoint["epoch"],
        "image_size": checkpoint["config"]["image_size"],
        "metrics": {name: value for name, value in metrics.items() if is_number(value)},
        "classes": [
            (label, [display_name(label, names, one) for one in LANGUAGES]) for label in classes
        ],
        "called": dict(zip(classes, display_names(classes, names, "en"))),
        "drawn": bool(checkpoint.get("drawn_sample")),
        "data": root.name if root else None,
        "licence_of_data": environment.get("data_licence") or (licence_of(root) if root else None),
        "parts": PARTS,
        "counts": counts,
        "groups": groups_of(folder, checkpoint),
        "one_part": bool(counts) and sum(count > 0 for count in counts[-1][1]) == 1,
        "derived": derived_in(folder),
        "scores": own,
        "elsewhere": [one for one in scores if not one["own"] or one["background"]],
        "first": first,
        "few_are": FEW,
        "few": few_of(first) if first else [],
        "knows_sure": checkpoint.get("sure_from") is not None,
        "sure_from": limit_of(checkpoint),
        "calibrated_by": settings.calibration_run and Path(settings.calibration_run).name,
        "kept_back": not settings.all,
        "kept": "last" if settings.all else settings.keep,
        "knows_unlike": checkpoint.get("distance") is not None,
        "preset": settings.preset,
        "made_by": command_lines.of_training(settings),
        "settings": changed_rows(settings),
        "begun": environment.get("begun"),
        "machine": machine_of(environment),
        "weights": weights_of(settings, checkpoint["system"]["backbone"]),
        "files": exported_files(folder, sha256),
        "sha256": sha256,
        "version": __version__,
        "today": date.today().isoformat(),
    }


def root_of(environment: Mapping, checkpoint: Mapping) -> Path | None:
    """Where the training photos lay; of a derived run the settings say it."""
    if type(root := environment.get("data_root")) is str:
        return Path(root)
    config = checkpoint["config"]
    if config.get("data_dir"):
        return Path(config["data_dir"])
    return Path(config["metadata"]).parent if config.get("metadata") else None


def scores_in(folder: Path, checkpoint: Mapping, root: Path | None) -> list[dict]:
    """What `evaluate` left of this very model, asked once about each photo, not of an exported
    file or of several runs together; a damaged file is none.
    """
    found = []
    for file in sorted(folder.glob("scores_*.json")):
        scores = known_json(file)
        if isinstance(scores.get("run"), list) or "looks" in scores:
            continue
        try:
            if scores["epoch"] == checkpoint["epoch"] and not format_of(scores["run"]):
                found.append(row_of(scores, checkpoint, root))
        except (LookupError, TypeError, ValueError, AttributeError):
            print(printable(f"{file}: is damaged, or of another version, and left out of {CARD}"))
    return found


def row_of(scores: dict, checkpoint: Mapping, root: Path | None) -> dict:
    """The scores as the template takes them; raises `ValueError` and others for damaged ones."""
    numbers = [scores[name] for name in SCORES] + [x for name in INTERVALS for x in scores[name]]
    numbers += [row[name] for row in scores["classes"].values() for name in OF_A_CLASS]
    if not all(map(is_number, numbers)) or set(scores["classes"]) != set(checkpoint["label2id"]):
        raise ValueError("a value is no number")
    data, missed = Path(scores["data"]), scores.get("diseased_called_healthy")
    own = scores.get("own_data", data == root)  # before 0.6 the file did not say
    return scores | {
        "data": data.name,
        "own": own,
        "worth": WORTH[scores["split"]] if own else "photos from elsewhere",
        "background": scores.get("background"),
        "missed": missed_as_text(missed) if missed else None,
        "trust": calibration_as_text(scores).splitlines(),
        "worst": worst_of(scores, classes_of(checkpoint["label2id"])),
    }


def worst_of(scores: dict, classes: list[str]) -> dict:
    """The class that is told worst, and for what it is mostly taken."""
    asked = {label: row for label, row in scores["classes"].items() if row["images"]}
    label = min(asked, key=lambda one: asked[one]["f1"])
    taken = np.array(scores["confusion"])[classes.index(label)]
    taken[classes.index(label)] = 0
    mostly = classes[int(taken.argmax())] if taken.any() else None
    return {"label": label, "f1": asked[label]["f1"], "mostly": mostly, "times": int(taken.max())}


def few_of(scores: dict) -> list[str]:
    """The classes of which so few photos were scored that it says little."""
    return [label for label, row in scores["classes"].items() if row["images"] < FEW]


def groups_of(folder: Path, checkpoint: Mapping) -> dict | None:
    """How many groups of near-duplicates there are, and how many of them lie in two parts."""
    rows = split_if_kept(folder, checkpoint)
    if rows is None or "group" not in rows:
        return None
    parts = rows.groupby("group")["split"].nunique()
    return {"count": len(parts), "divided": int((parts > 1).sum())}


def derived_in(folder: Path) -> dict | None:
    """Of a run that was made of others: which, and of an adapted one by what."""
    adapted, merged = (known_json(folder / name) for name in (ADAPTED, MERGED))
    if type(adapted.get("from_run")) is str:
        photos = adapted.get("photos")
        count = sum(photos.values()) if isinstance(photos, dict) else photos
        data = adapted.get("data") or "photos without labels"
        return {"runs": [adapted["from_run"]], "data": data, "photos": count}
    members = [one.get("run") for one in merged.get("members", []) if isinstance(one, dict)]
    return {"runs": members, "data": None, "photos": None} if members else None


def weights_of(settings: Config, backbone: str) -> dict:
    """What the training began with, and whose that is."""
    known = timm.get_pretrained_cfg(backbone)
    if settings.weights:
        return {"kind": "file", "name": Path(settings.weights).name}
    if settings.pretrained and known:
        return {"kind": "timm", "name": known.hf_hub_id or backbone, "licence": known.license}
    return {"kind": "random" if not settings.pretrained else "unknown"}


def exported_files(folder: Path, checkpoint_sha256: str) -> list[dict]:
    """Those in the run's folder, if they were made of the model that is there now."""
    report = known_json(folder / EXPORTS / REPORT)
    if report.get("checkpoint_sha256") != checkpoint_sha256:
        return []
    return files_of_report(report.get("files"))


def files_of_report(rows) -> list[dict]:
    """Of each file that was kept: its form, MB, the share of answers that are the run's."""
    return [
        {name: row.get(name) for name in ("form", "file", "size_mb", "agreement", "passed")}
        for row in rows_of_files(rows)
        if is_number(row.get("size_mb")) and is_number(row.get("agreement"))
    ]
