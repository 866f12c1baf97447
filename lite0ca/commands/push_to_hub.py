"""Give a run away, with its model card and exported files, on Hugging Face or Kaggle."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from lite0ca.errors import InputError, first_line, printable
from lite0ca.settings.flags import add_run

REFUSED = "{} was not uploaded ({}). Tokens: `hf auth login` or HF_TOKEN, ~/.kaggle/kaggle.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser, others="")
    parser.add_argument("repo_id", nargs="?", metavar="REPO_ID", help="OWNER/NAME at Hugging Face")
    parser.add_argument("--kaggle", metavar="HANDLE", help="OWNER/MODEL/FRAMEWORK/VARIATION there")
    parser.add_argument("--yes", action="store_true", help="upload what is listed without it")


def run(run: str, repo_id: str | None, kaggle: str | None, yes: bool) -> None:
    """List what would be uploaded, and with `yes` do it; what is new there is private."""
    if not (repo_id or kaggle):
        raise InputError("push-to-hub: name a REPO_ID of Hugging Face, or --kaggle HANDLE")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, file in staged(run, folder).items():
            print(f"{file.stat().st_size / 1e6:7.1f} MB  {printable(name)}")
        print("best_model.pt and config.json name the folders that the photos lay in")
        if not yes:
            print("nothing was uploaded: with --yes it is")
            return
        try:
            if repo_id:
                import huggingface_hub

                huggingface_hub.create_repo(repo_id, private=True, exist_ok=True)
                print(huggingface_hub.upload_folder(repo_id=repo_id, folder_path=folder))
            if kaggle:
                import kagglehub

                kagglehub.model_upload(kaggle, str(folder))
        except ImportError:
            raise InputError("--kaggle: not installed; pip install 'lite0ca[kaggle]'") from None
        except Exception as error:  # each client has a dozen kinds of its own
            raise InputError(REFUSED.format(repo_id or kaggle, first_line(error))) from None


def staged(run: str, folder: Path) -> dict[str, Path]:
    """Copies in an empty folder of what is given away, by the names that they have there."""
    from lite0ca.evaluation.model_card import CARD, write_card
    from lite0ca.formats.checkpoint import load_best
    from lite0ca.formats.run_files import BEST, EXPORTS, SETTINGS, best_of, run_folder

    load_best(run)
    source = run_folder(run)
    if not (source / CARD).is_file():
        write_card(run)
    shutil.copyfile(best_of(run), folder / BEST)
    for name in (SETTINGS, CARD):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / ("README.md" if name == CARD else name))
    if (source / EXPORTS).is_dir():
        shutil.copytree(source / EXPORTS, folder / EXPORTS, ignore=shutil.ignore_patterns(".*"))
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file for file in files}
