"""Name the disease on photos."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from contextlib import ExitStack, nullcontext, redirect_stdout
from pathlib import Path

from lite0ca.errors import InputError, printable
from lite0ca.files.destination import check_length, check_writable
from lite0ca.files.ownership import is_table, refuse_others
from lite0ca.files.streams import is_stream
from lite0ca.files.tables import BYTE_ORDER_MARK, csv_line
from lite0ca.files.whole_file import whole
from lite0ca.settings.advice import DOUBTS, never_sure, not_sure_advice, unlike_advice
from lite0ca.settings.command_lines import quoted
from lite0ca.settings.flags import add_looks, add_run, add_run_flags
from lite0ca.settings.names import LANGUAGES
from lite0ca.settings.names import language as session_language

FORMER_HEADER = ("path", "prediction", "probability", "sure")  # before 0.5
HEADER = (*FORMER_HEADER, "unlike", "distance")  # then a column a class
WIDEST = 60  # of the column of paths
WORDS = {
    "en": {
        "photos": "photos",
        "below": "below",
        "left out": "left out",
    },
    "vi": {
        "photos": "ảnh",
        "below": "dưới",
        "left out": "bỏ qua",
    },
}
OF_A_RUN = ("config.json", "environment.json", "data.csv", "history.json", "metrics.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, ", an exported file, or a folder of runs; of several it is the mean")
    parser.usage = "%(prog)s [flags] RUN [RUN ...] PHOTO [PHOTO ...]"
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="image files or folders; more runs before them answer together with the first",
    )
    parser.add_argument("--csv", help="write every probability to this file as well")
    parser.add_argument(
        "--submission",
        metavar="SAMPLE",
        help="write a competition's submission for the photos, as its sample_submission.csv wants "
        "it, to submission.csv or where --csv says",
    )
    add_looks(parser)
    parser.add_argument("--top", type=int, default=3, help="classes shown a photo (default: 3)")
    parser.add_argument(
        "--sure-from",
        type=float,
        metavar="P",
        help="say 'not sure' below this probability (default: where the run was right in 95 %% of "
        "its valid split)",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        help="of what is said and of the classes' names (default: this session's)",
    )
    add_run_flags(parser, "skip_bad_images batch_size image_size device amp num_workers")


def run(
    run: str,
    photos: list[str],
    csv: str | None,
    submission: str | None,
    looks: int,
    top: int,
    sure_from: float | None,
    language: str | None,
    **typed,
) -> int:
    """Print the likeliest classes of each photo; returns 2 if a file could not be read.

    With a sample of a `submission` that is written instead; it is whole, so it is 0 then.
    """
    if top < 1:
        raise InputError(f"--top must be at least 1, not {top}")
    if sure_from is not None and not 0 <= sure_from <= 1:
        raise InputError(f"--sure-from must be a probability from 0 to 1, not {sure_from}")
    if csv is not None and submission is None:
        refuse_no_table(csv)
    from lite0ca.formats.named_runs import runs_and_photos
    from lite0ca.images.looks import check_looks

    check_looks(looks)
    runs, photos = runs_and_photos(run, photos)
    if submission is not None:
        if sure_from is not None:
            raise InputError("--sure-from: a submission has no place for what is not sure")
        return submit(runs, photos, submission, csv, looks, language, typed)
    from lite0ca.images.photo_batches import photo_paths
    from lite0ca.prediction import load

    paths = photo_paths(photos)
    if csv is not None:
        refuse_photo(csv, paths)
    # A stream, such as /dev/stdout, takes the table alone.
    alone = csv is not None and is_stream(csv)
    with redirect_stdout(sys.stderr) if alone else nullcontext():
        model = load(runs, language, len(paths), looks, **typed)
        if sure_from is not None:
            model.sure_from = sure_from
        shown = short(paths, photos)
        unread = say(model, runs, paths, shown, csv, top, language or session_language())
    return 2 if unread and not model.config.skip_bad_images else 0


def submit(
    runs: list[str],
    photos: list[str],
    sample: str,
    csv: str | None,
    looks: int,
    language: str | None,
    typed: dict,
) -> int:
    """Write a submission; all that is wrong with the sample is said before a model is opened."""
    from lite0ca import submission
    from lite0ca.prediction import load

    path = submission.SUBMISSION if csv is None else csv
    wanted = submission.read_sample(sample, photos)
    submission.check_place(path, wanted)
    with redirect_stdout(sys.stderr) if is_stream(path) else nullcontext():
        model = load(runs, language, len(wanted.photos), looks, **typed)
        say_drawn(model)
        print(printable(str(submission.write(model, wanted, path))))
    return 0


def say_drawn(model) -> None:
    if model.metadata.get("drawn_sample"):
        print("this model was trained on the drawn sample: its answers say nothing about leaves")


def say(
    model,
    runs: list[str],
    paths: list[str],
    shown: list[str],
    csv: str | None,
    top: int,
    language: str,
) -> int:
    """Print the answers, and write them to `csv`; returns how many files could not be read."""
    say_drawn(model)
    words, doubts = WORDS[language], DOUBTS[language]
    width = min(max(map(len, shown)), WIDEST)
    unread, counts, doubted = 0, Counter(), Counter()
    with ExitStack() as stack:
        table = None
        if csv is not None:
            table = stack.enter_context(whole(csv))
            if not all(map(str.isascii, [*paths, *model.classes])):
                table.write(BYTE_ORDER_MARK)
            table.write(csv_line([*HEADER, *model.classes], for_people=True))
        for (path, answer, problem), name in zip(model.answers(paths), shown):
            if answer is None:
                unread += 1
                print(f"left out: {printable(problem or path)}", file=sys.stderr)
                continue
            doubted[answer.doubt] += 1
            counts[answer.name if answer.sure else doubts[answer.doubt]] += 1
            print(f"{printable(name):{width}}  {as_text(answer, model.names, top, doubts)}")
            if table:
                values = [f"{answer.probabilities[label]:.6f}" for label in model.classes]
                said = [answer.label, f"{answer.probability:.6f}", yes_or_no(answer.sure)]
                known = answer.distance is not None
                said += [yes_or_no(answer.unlike), f"{answer.distance:.6f}"] if known else ["", ""]
                table.write(csv_line([path, *said, *values], for_people=True))
    if len(paths) > 1:
        found = [f"{count} {printable(name)}" for name, count in counts.most_common()]
        found += [f"{unread} {words['left out']}"] if unread else []
        print(f"{len(paths)} {words['photos']}: {', '.join(found)}")
    if doubted["not sure"]:
        why = f"{words['below']} {percent(model.sure_from)}; {not_sure_advice(language)}"
        if model.metadata.get("sure_from", 1.0) is None and model.sure_from == 1:
            why = never_sure(language)
        print(f"{doubts['not sure']}: {why}")
    if len(paths) > 1 and (unlike := doubted["unlike"] + doubted["no leaf"]):
        # A file is not adapted, nor are several.
        named = quoted(runs[0]) if len(runs) == 1 and os.path.isdir(runs[0]) else "RUN"
        answered = doubted.total()
        print(printable(unlike_advice(language, unlike, doubted["no leaf"], answered, named)))
    if csv is not None:
        print(printable(csv))
    return unread


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def as_text(answer, names: dict[str, str], top: int, doubts: dict[str, str]) -> str:
    """The likeliest classes; beside the first one only those that come to a percent."""
    likely = list(answer.probabilities.items())[:top]
    likely = [one for place, one in enumerate(likely) if place == 0 or one[1] >= 0.005]
    text = ", ".join(f"{printable(names[label])} {percent(value)}" for label, value in likely)
    return text if answer.sure else f"{doubts[answer.doubt]}: {text}"


def percent(probability: float) -> str:
    """Without decimals, but for what would be rounded to 100."""
    share = 100 * probability
    return f"{share:.0f} %" if share < 99.5 or share == 100 else f"{min(share, 99.9):.1f} %"


def short(paths: list[str], named: list[str]) -> list[str]:
    """The paths as people read them: from the folder that was named, or from here."""
    start = named[0] if len(named) == 1 and os.path.isdir(named[0]) else os.curdir
    return [min(path, from_folder(path, start), key=len) for path in paths]


def from_folder(path: str, start: str) -> str:
    try:
        return os.path.relpath(path, start)
    except ValueError:  # of Windows: on another drive
        return path


def refuse_no_table(csv: str) -> None:
    """Raise `InputError` where a table cannot be written, or would take the place of something."""
    from lite0ca.images.reading import IMAGE_SUFFIXES

    if not csv:
        raise InputError("--csv: name a file")
    check_length(csv)
    if os.path.basename(csv) in ("", ".", "..") or os.path.isdir(csv):
        raise InputError(f"--csv {csv}: is a folder; name a file")
    if os.path.splitext(csv)[1].lower() in IMAGE_SUFFIXES:
        raise InputError(f"--csv {csv}: has the name of a photo; name a .csv file")
    if is_stream(csv):
        return
    check_writable(Path(os.path.realpath(csv)).parent)
    header = ",".join(FORMER_HEADER)  # which today's begins with
    refuse_others(
        csv, is_table(os.path.realpath(csv), header, f"{BYTE_ORDER_MARK}{header}"), "--csv"
    )
    beside = Path(csv).parent
    if (beside / "best_model.pt").exists() and Path(csv).name in OF_A_RUN:
        raise InputError(f"--csv {csv}: is the name of a file of the run; name another")


def refuse_photo(csv: str, paths: list[str]) -> None:
    """Raise `InputError` if the table would take the place of one of the photos."""
    from lite0ca.images.reading import identity_of

    if os.path.exists(csv) and identity_of(csv) in map(identity_of, paths):
        raise InputError(f"--csv {csv}: is one of the photos; name a .csv file")
