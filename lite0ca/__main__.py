"""`python -m lite0ca COMMAND`: the commands, and how each one fails."""

from __future__ import annotations

import argparse
import errno
import gc
import multiprocessing
import os
import sys

from lite0ca import flags
from lite0ca.errors import (
    ExportFailed,
    InputError,
    Stopped,
    TrainingDiverged,
    first_line,
    out_of_memory,
)
from lite0ca.presets import PRESETS

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM_ADVICE = "; make room and try again (a training that has begun: with --resume RUN_FOLDER)"


class Parser(argparse.ArgumentParser):
    """A mistake is one line on stderr, not a page of usage."""

    def error(self, message: str):
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Run one command; returns the exit code: 0, or the number that `errors` gives."""
    code = exit_code_of(sys.argv[1:] if argv is None else argv, prog)
    if code and multiprocessing.active_children():
        gc.collect()  # ends the loader processes of what failed; at exit they would complain
    return code


def exit_code_of(argv: list[str], prog: str | None) -> int:
    try:
        command, typed = parse(argv, prog)
        return command(**typed) or 0
    except InputError as error:
        return fail(error, 2)
    except TrainingDiverged as error:
        return fail(error, 3)
    except ExportFailed as error:
        return fail(error, 4)
    except BrokenPipeError:
        sys.stderr.close()  # or Python complains once more while it ends
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        last_line = (error.strerror or str(error)).strip().splitlines()[-1]
        advice = NO_ROOM_ADVICE if error.errno in NO_ROOM else ""
        return fail(f"{where}{last_line.removeprefix('OSError: ')}{advice}", 2)
    except (RuntimeError, MemoryError) as error:
        if advice := advice_for(error):
            return fail(advice, 2)
        raise
    except Stopped as stop:
        return fail(stop, stop.exit_code)
    except KeyboardInterrupt:
        return fail("stopped; a training goes on with --resume RUN_FOLDER", 130)


def advice_for(error: Exception) -> str | None:
    """What a user can do about torch's own errors; None for those that are defects of ours."""
    text = str(error)
    if out_of_memory(error):
        return "out of memory: lower --batch-size or --image-size; --resume RUN_FOLDER goes on"
    if "Connection closed by peer" in text or "NCCL" in text:
        gone = "another process of this training is gone; --resume RUN_FOLDER goes on"
        return f"{gone} ({first_line(error)})"
    if "DataLoader worker" in text and ("killed" in text or "exited" in text):
        return "a loader process was killed: lower --num-workers (0 = none) or --batch-size"
    return None


def fail(problem, code: int) -> int:
    # Of many ranks that all meet one problem, one speaks.
    is_rank = "TORCHELASTIC_RUN_ID" in os.environ  # not ranks.started(), which imports torch
    if not is_rank or os.environ["RANK"] == "0" or getattr(problem, "own", False):
        print(f"error: {problem}", file=sys.stderr, flush=True)
    return code


def parse(argv: list[str], prog: str | None):
    """(function of the command, its arguments by name)."""
    if prog and argv[:1] == ["train"]:
        parser = Parser(prog=prog, usage="%(prog)s [flags]", description=TRAIN, allow_abbrev=False)
        flags.add_flags(parser)
        return train, vars(parser.parse_args(argv[1:]))
    parser = Parser(prog="python -m lite0ca", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function, text, add_arguments in COMMANDS:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(function=function)
        add_arguments(one)
    typed = vars(parser.parse_args(argv))
    del typed["command"]
    return typed.pop("function"), typed


def train(**typed) -> None:
    config = flags.from_flags(typed)
    from lite0ca import ranks
    from lite0ca.train import fit

    result = fit(config)
    if not ranks.first():
        return
    metrics = result.metrics
    if metrics["best_epoch"]:
        print(
            f"best: epoch {metrics['best_epoch']} on {metrics['data']}, "
            f"valid accuracy {metrics['valid_acc']:.4f}, macro-F1 {metrics['valid_f1']:.4f}; "
            f"{metrics['num_params']:,} parameters, {metrics['size_mb']:.1f} MB, "
            f"{metrics['fps']:.0f} images/s at batch {metrics['fps_batch_size']} "
            f"on {metrics['fps_device']}"
        )
    print("\n".join(str(path) for path in sorted(result.run.iterdir())))
    if config.plot and result.history:
        from lite0ca import plots

        curves = plots.training_curves(result.history, metrics["best_epoch"], result.run.name)
        if not plots.show(curves):
            print("--plot: no screen here; --save-history keeps the curves as training_plot.png")


def sample(folder: str, seed: int) -> None:
    from lite0ca.sample import write_sample

    print(f"drawn sample (no real leaves): {write_sample(folder, seed)}")


def shard(folder: str, shard_mb: float, **typed) -> None:
    from lite0ca.pack import pack

    print(pack(folder, shard_mb, flags.from_flags(typed)))


def evaluate(run: str, split: str | None, background: str | None, **typed) -> None:
    from lite0ca.report import evaluate_run

    print(evaluate_run(run, split, background, **typed))


def predict(run: str, photos: list[str], csv: str | None, top: int, sure_from, **typed) -> int:
    from lite0ca.report import predict_photos

    return predict_photos(run, photos, csv, top, sure_from, **typed)


def adapt(run: str, photos: list[str], output_dir: str | None, **typed) -> None:
    from lite0ca.adapt import adapt_run

    print(adapt_run(run, photos, output_dir, **typed))


def export(run: str, format: str, int8, opset, photo, web, **typed) -> None:
    from lite0ca.report import export_report

    export_report(run, format, int8, opset, photo, web, **typed)


def bench(
    systems: list[str], batch_size, rounds, seconds, results, output_dir, forms, **typed
) -> None:
    from lite0ca.report import bench_report, forms_report

    config = flags.from_flags(typed)
    if forms:
        print(forms_report(forms, batch_size, rounds, seconds))
        return
    print(bench_report(systems, config, batch_size, rounds, seconds, results, output_dir))


def batch(presets: list[str], **typed) -> int:
    from lite0ca.batch import batch

    return batch(presets, **typed)


def sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="data", help="(default: data)")
    parser.add_argument("--seed", type=int, default=0)


def shard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="where the shards go; a new one")
    parser.add_argument("--shard-mb", type=float, default=100, metavar="MB", help="(default: 100)")
    flags.add_flags(parser, only=("metadata", "label2id", "data_dir", "skip_bad_images", "seed"))


def run_argument(parser: argparse.ArgumentParser, others: str = ", or an exported file") -> None:
    parser.add_argument("run", metavar="RUN", help=f"a run folder, a best_model.pt{others}")


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test", "all"),
        help="which part (default: test; all where the data has no split)",
    )
    parser.add_argument(
        "--background",
        choices=("unchanged", "blurred", "recoloured", "removed"),
        help="score on photos whose background is plain, with it changed: what is lost is what the "
        "model read off tables and paper; 'unchanged' are the same photos as they are",
    )
    some_flags(
        parser,
        "metadata data_dir skip_bad_images batch_size image_size device amp num_workers output_dir",
    )


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="image files or folders")
    parser.add_argument("--csv", help="write every probability to this file as well")
    parser.add_argument("--top", type=int, default=3, help="classes shown a photo (default: 3)")
    parser.add_argument(
        "--sure-from",
        type=float,
        metavar="P",
        help="say 'not sure' below this probability (default: where the run was right in 95 %% of "
        "its valid split)",
    )
    some_flags(parser, "skip_bad_images batch_size image_size device amp num_workers")


def adapt_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser, others="")
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="image files or folders of the place: 32 photos or more, healthy leaves and sick ones",
    )
    parser.add_argument("--output-dir", metavar="DIR", help="(default: RUN_adapted)")
    some_flags(parser, "skip_bad_images batch_size device amp num_workers")


def export_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser, others="")
    parser.add_argument(
        "--format",
        default="onnx",
        metavar="NAME,NAME",
        help="onnx, openvino, litert, executorch, or all (default: onnx)",
    )
    parser.add_argument("--int8", action="store_true", help="each format in 8 bits as well")
    parser.add_argument("--opset", type=int, metavar="N", help="of ONNX (default: torch's)")
    parser.add_argument(
        "--with-preprocessing",
        action="store_true",
        dest="photo",
        help="an ONNX file that takes a photo of any size and gives probabilities as well",
    )
    parser.add_argument("--web", metavar="DIR", help="a page for phones as well; needs npm once")
    some_flags(parser, "metadata data_dir skip_bad_images image_size num_workers")
    parser.add_argument("--output-dir", metavar="DIR", help="(default: RUN/export)")


def bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="(default: all of them)")
    number = {"metavar": "N", "type": int}
    parser.add_argument("--batch-size", default=32, help="for throughput (default: 32)", **number)
    parser.add_argument("--rounds", default=5, help="turns of each system (default: 5)", **number)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of each measurement a round (default: 0.5)"
    )
    parser.add_argument("--results", help="a folder with finished runs: their scores are added")
    parser.add_argument("--output-dir", default="results", help="(default: results)")
    parser.add_argument(
        "--forms", metavar="RUN/export", help="the exported files of a run instead, beside torch"
    )
    flags.add_flags(parser, only=("image_size", "device", "amp"))


def batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("presets", nargs="+", metavar="PRESET", help=", ".join(PRESETS))
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="assigned",
        metavar="NAME=VALUE",
        help="settings over every preset, such as epochs=1",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[],
        metavar="SEED",
        help="run every preset with each of these seeds; adds mean and deviation over them",
    )
    parser.add_argument("--notebook", default="03_train", help="(default: 03_train), or a path")
    parser.add_argument("--metadata", help="the data as CSV; default: what is found")
    parser.add_argument("--data-dir", help="the data as a folder of classes")
    parser.add_argument("--output-dir", default="results", help="(default: results)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip what is done with the same parameters, go on with what was cut off",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto, HOST:PORT, or local (started here); a run takes one GPU "
        "where there are any, else one core; each machine needs this environment, and this folder, "
        "the data and --output-dir at the same path on a shared file system",
    )


def some_flags(parser: argparse.ArgumentParser, names: str) -> None:
    flags.add_flags(parser, only=tuple(names.split()), whose="the run's")


TRAIN = (
    "Train EfficientNet-Lite0 with Coordinate Attention, or another system of the table, "
    "on photos of leaves."
)
COMMANDS = (
    ("sample", sample, "Draw the stand-in data set.", sample_arguments),
    ("shard", shard, "Pack photos into tar files.", shard_arguments),
    ("train", train, TRAIN, flags.add_flags),
    ("evaluate", evaluate, "Score a run on a labelled data set.", evaluate_arguments),
    ("predict", predict, "Name the disease on photos.", predict_arguments),
    ("adapt", adapt, "Fit a run to photos of another place, without labels.", adapt_arguments),
    ("export", export, "Files for phones, edge boards and CPUs, each proved.", export_arguments),
    ("bench", bench, "Speed, size and score of the systems side by side.", bench_arguments),
    ("batch", batch, "Run a notebook headless for each preset and seed.", batch_arguments),
)

if __name__ == "__main__":
    sys.exit(main())
