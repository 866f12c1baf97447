"""Train EfficientNet-Lite0 with Coordinate Attention, or another system of the table, on photos of
leaves."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lite0ca.errors import printable
from lite0ca.formats.run_files import SETTINGS, best_of, runs_in
from lite0ca.machine import torchrun
from lite0ca.machine.memory import nothing_collected
from lite0ca.machine.signals import end_with_parent
from lite0ca.settings.command_lines import after, resuming
from lite0ca.settings.flags import add_flags, from_flags

BEGIN_WITH = (
    "Begin with --preset robust, or --preset fast in a hurry; basic, kaggle and the others are "
    "the guide's."
)
FROM_NOTHING = """\
no --preset, no --pretrained: the network begins with random weights, which is almost never wanted.
Take --preset robust (--preset fast in a hurry), or add --pretrained to your own flags."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{parser.description} {BEGIN_WITH}"
    add_flags(parser)


def run(**typed) -> None:
    if torchrun.started():
        end_with_parent(os.getppid())
    if typed.get("resume"):
        refuse_folder_of_runs(Path(typed["resume"]))
    config = from_flags(typed)
    if torchrun.first() and not (
        config.preset or config.pretrained or config.weights or config.resume
    ):
        print(FROM_NOTHING, flush=True)
    with nothing_collected():
        if config.devices == 1 and not torchrun.started():
            from lite0ca.machine import device  # and so torch, before all that takes as long again

            device.begin(config.device)
        import lite0ca.images.augmentation  # which each training needs  # noqa: F401
        from lite0ca.training.fit import fit

    result = fit(config)
    if not torchrun.first():
        return
    metrics = result.metrics
    if metrics["best_epoch"]:
        test = f", test macro-F1 {metrics['test_f1']:.4f}" if "test_f1" in metrics else ""
        kept = f"last: epoch {metrics['best_epoch']} on {metrics['data']}, no valid photos{test}; "
        if metrics["valid_f1"] is not None:
            kept = (
                f"{config.keep}: epoch {metrics['best_epoch']} on {metrics['data']}, valid "
                f"accuracy {metrics['valid_acc']:.4f}, macro-F1 {metrics['valid_f1']:.4f}{test}; "
            )
        print(
            f"{kept}"
            f"{metrics['num_params']:,} parameters, {metrics['size_mb']:.1f} MB, "
            f"{metrics['fps']:.0f} images/s at batch {metrics['fps_batch_size']} "
            f"on {metrics['fps_device']}"
        )
    print("\n".join(printable(str(path)) for path in sorted(result.run.iterdir())))
    # A run that ends without scores was stopped by --time-budget.
    print("next:", *(after if result.scores else resuming)(result.run), sep="\n  ")
    if config.plot and result.history:
        from lite0ca.plots import style
        from lite0ca.plots.runs import training_curves

        curves = training_curves(result.history, metrics["best_epoch"], result.run.name)
        if not style.show(curves):
            print("--plot: no screen here; --save-history keeps the curves as training_plot.png")


def refuse_folder_of_runs(folder: Path) -> None:
    """Raise `InputError` that names the runs, if it is a folder of them that is to go on."""
    if not (folder / SETTINGS).exists() and runs_in(folder):
        best_of(folder)
