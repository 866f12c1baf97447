"""A run -> files for phones, edge boards and CPUs, each held against the network it came from.

A float32 file that answers otherwise is a defect and not kept. An int8 file that misses its
tolerance is kept, since it may be good enough for somebody, but never passes for checked.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import nn

from lite0ca import __version__
from lite0ca.data import dataset
from lite0ca.data.split import limited
from lite0ca.errors import ExportFailed, InputError, first_line, out_of_room, printable
from lite0ca.evaluation.certainty import tell_of_another_size
from lite0ca.evaluation.finished_run import choose, data_of
from lite0ca.evaluation.model_card import refresh_card, write_card
from lite0ca.export import gptq
from lite0ca.export.equalization import equalized
from lite0ca.export.fusion import fused
from lite0ca.export.photo_input import PhotoClassifier
from lite0ca.export.verification import Verification, verdict, with_speed
from lite0ca.files.destination import check_writable
from lite0ca.files.json_files import known_json
from lite0ca.files.ownership import refuse_others
from lite0ca.files.whole_folder import whole_folder
from lite0ca.formats.checkpoint import load_best, model_of
from lite0ca.formats.exported_file import FORMATS, files_of, seal_file
from lite0ca.formats.metadata import DISTANCE, LOGITS, PROBABILITIES, metadata_of
from lite0ca.formats.names import names_of
from lite0ca.formats.opening import Exported, open_file
from lite0ca.formats.report import write_report
from lite0ca.formats.run_files import EXPORTS, REPORT, digest, run_folder, sha256
from lite0ca.formats.seal import has_seal
from lite0ca.images.loaders import score_loader
from lite0ca.machine import console
from lite0ca.machine.console import quiet
from lite0ca.machine.device import CPU, describe
from lite0ca.machine.environment import versions
from lite0ca.machine.memory import keep_freed_memory
from lite0ca.model.network import LeafClassifier, exported_as
from lite0ca.settings.config import Config
from lite0ca.settings.trained import settings_of

PHOTO = "onnx photo"  # the form that takes a photo of any size
PAGE = "onnx page"  # the same with weights of half the size, which a phone has to load
GIVES = {
    LOGITS: "float32, one a class for each picture; softmax(logits / temperature) is the answer",
    PROBABILITIES: "float32, one a class",
    DISTANCE: "float32, one for each picture: more than 1 is unlike the photos it learned from",
}
CALIBRATED_ON, ROUNDED_ON, PROVED_ON = 300, 64, 2000  # photos at most
UNCHECKED = "unchecked"  # the folder of what is not yet known to be right
PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "litert-torch", "ai-edge-litert")
PACKAGES += ("ai-edge-quantizer", "executorch", "torchao")


@dataclass
class Source:
    """The trained network and the photos that its files are made and measured with."""

    network: LeafClassifier
    metadata: dict
    data: dataset.DataSet  # the rows to verify on
    config: Config
    training: torch.Tensor  # uint8 (M, S, S, 3)
    trained_at: int  # pixels
    opset: int | None = None
    rounded: dict[int, LeafClassifier] = field(default_factory=dict)

    @cached_property
    def shipped(self) -> LeafClassifier:
        return fused(self.network, self.metadata["image_size"])

    def for_int8(self, top: int) -> LeafClassifier:
        """The shipped network with weights of at most `top` steps, for inputs that int8 keeps."""
        if top not in self.rounded:
            network = gptq.taking_pixels(self.shipped, self.metadata["mean"], self.metadata["std"])
            images = self.calibration[:ROUNDED_ON]
            bar = lambda layers: console.bar(layers, "rounding weights")  # noqa: E731
            self.rounded[top] = gptq.rounded(equalized(network, images), images, top, bar)
        return self.rounded[top]

    def for_photos(self) -> PhotoClassifier:
        named = {name: self.metadata[name] for name in ("mean", "std", "image_size", "temperature")}
        return PhotoClassifier(self.shipped, **named).eval()

    @cached_property
    def calibration(self) -> torch.Tensor:
        """(M, 3, S, S) training photos as int8 files take them."""
        pixels = self.training.permute(0, 3, 1, 2).float() / 255
        return ((pixels - gptq.MEAN) / gptq.STD).contiguous()

    def metadata_for(self, form: str, precision: str, takes: str, first: str = LOGITS) -> dict:
        """What a file says of itself; `first` is the output that the answer is read from."""
        outputs = {first: GIVES[first]}
        if self.network.distance is not None:
            outputs |= {DISTANCE: GIVES[DISTANCE]}
        own = {"format": form, "precision": precision, "input": takes, "outputs": outputs}
        if precision == "int8":
            own |= {"mean": [gptq.MEAN] * 3, "std": [gptq.STD] * 3}
        return self.metadata | own


def export(
    run: str,
    formats: list[str],
    int8: bool,
    opset: int | None,
    photo: bool,
    output_dir,
    page: bool = False,
    **typed,
) -> tuple[Path, list[dict]]:
    """Write every format, verify each file, write report and card; returns (folder, a row a form).

    `page` is beside `photo`, and made of it. With `device` cuda the ONNX file is also verified as
    it answers there.

    A form that fails does not stop the others: see `refuse_failed`. Raises `InputError`.
    """
    if opset is not None and "onnx" not in formats and not photo:
        raise InputError(f"--opset {opset}: is of ONNX, and no ONNX file is asked for")
    for name in [*formats, *(["onnx"] if photo else [])]:
        FORMATS[name].module(name)  # is its extra there?
    if (device := typed.get("device", "auto")) not in ("auto", "cpu"):
        if device != "cuda" or "onnx" not in formats:
            raise InputError(f"--device {device}: files are verified on CPUs, ONNX also on cuda")
        FORMATS["onnx"].module("onnx_runtime").refuse_without(device)
    if opset is not None:
        with quiet():
            FORMATS["onnx"].module("onnx").refuse_opset(opset, int8 and "onnx" in formats, photo)
        # What the network's own layers still forbid is met before the other formats are made.
        formats = sorted(formats, key=lambda name: name != "onnx")
    folder = Path(output_dir or run_folder(run) / EXPORTS)
    check_writable(folder)
    keep_freed_memory()
    source = source_of(run, opset, typed)
    refuse_other_files(folder, file_names(source.metadata["name"], formats, int8, photo, page))
    batches = list(score_loader(source.data.rows, source.metadata["label2id"], source.config))
    verification = Verification(source.network, batches, source.data.rows, source.metadata)
    rows, kept = [], {}
    with whole_folder(folder, last=REPORT) as made:
        (made / UNCHECKED).mkdir()
        for name, path, prepare, write in files_from(
            source, formats, int8, photo, page, made / UNCHECKED
        ):
            began = time.monotonic()
            row = {"form": name, "file": path.name}
            try:
                prepared = prepare()  # of int8 takes minutes: with a bar, not kept quiet
                with quiet():
                    write(prepared, path=path)
                seal_file(path)
                network = opened(path)
                row |= verification.of(network, name)
            except InputError:
                raise
            except Exception as error:  # whatever a converter raises, the other formats go on
                if out_of_room(error):
                    raise
                problem = f"could not be made: {first_line(error)[:200]}"
                row |= {"passed": False, "problem": problem}
            row["seconds"] = time.monotonic() - began
            if "agreement" in row and (row["passed"] or "int8" in name):
                files = files_of(path)
                row["size_mb"] = sum(file.stat().st_size for file in files) / 1e6
                row["sha256"] = {file.name: sha256(file) for file in files}
                for file in files:
                    os.replace(file, made / file.name)
                kept[path.name] = network
            rows.append(row)
            print(printable(verdict(row)), flush=True)
            if device == "cuda" and name == "onnx" and row["passed"]:
                rows.append(verification.on_cuda(made / path.name))
                print(printable(verdict(rows[-1])), flush=True)
        if int8:
            rows.append(verification.of_noisy_photos())
        rows = with_speed(rows, kept, source.network, source.metadata["image_size"])
        write_report(made / REPORT, report_of(run, source, verification, rows))
        shutil.rmtree(made / UNCHECKED)
    if kept:
        write_card(run, folder, rows)
        refresh_card(run)
    return folder, rows


def file_names(stem: str, formats: list[str], int8: bool, photo: bool, page: bool) -> list[str]:
    """The files that an export may write, but for the report."""
    suffixes = [FORMATS[name].suffix for name in formats]
    suffixes += [".bin"] if ".xml" in suffixes else []
    names = [f"{stem}{suffix}" for suffix in suffixes]
    names += [f"{stem}_int8{suffix}" for suffix in suffixes] if int8 else []
    names += [f"{stem}_photo.onnx"] if photo else []
    return names + ([f"{stem}_page.onnx"] if page else [])


def refuse_other_files(folder: Path, names: list[str]) -> None:
    """Raise `InputError` for a file of these names, or a report, that no export wrote."""
    report = known_json(folder / REPORT)
    refuse_others(folder / REPORT, {"run", "files"} <= set(report))
    listed = [row.get("file") for row in report.get("files", []) if isinstance(row, dict)]
    for name in names:
        kin = name.replace(".bin", ".xml")  # OpenVINO's two
        ours = kin in listed or has_seal(folder / kin) or has_seal(folder / name)
        refuse_others(folder / name, ours and (folder / name).is_file())


def opened(path: Path) -> Exported:
    """The network of a file that was just written: if that fails, the user is not to blame."""
    try:
        return open_file(path)[1]
    except InputError as error:
        raise RuntimeError(f"what was written {str(error).partition(': ')[2]}") from None


def refuse_failed(folder: Path, rows: list[dict]) -> None:
    """Raise `ExportFailed` if a form could not be made or missed its tolerance.

    But for the page's: without it, the page has the form for photos itself.
    """
    if failed := [row for row in rows if not row["passed"] and row["form"] != PAGE]:
        names = ", ".join(row["form"] for row in failed)
        raise ExportFailed(f"{names}: {failed[0]['problem']}; see {folder / REPORT}")


def source_of(run: str, opset: int | None, typed: dict) -> Source:
    """Everything that the files are made from. Raises `InputError`."""
    checkpoint = load_best(run)
    checkpoint["names"] = names_of(run, checkpoint)
    network = model_of(checkpoint, typed.get("image_size"))
    config = settings_of(checkpoint, typed)
    metadata = metadata_of(checkpoint, network, config.image_size, __version__)
    tell_of_another_size(checkpoint, config.image_size)
    data = data_of(run, checkpoint, config, checkpoint["label2id"])
    data = dataset.without_bad_images(data, config.skip_bad_images)
    test, part = choose(data, None)
    if part == "all" or data.part("train").empty:
        raise InputError(f"{data.source}: has no train split; give the data that the run has seen")
    metadata["data"] = f"{test.root.resolve().name}, {part} split"
    test = replace(test, rows=limited(test.rows, "test", PROVED_ON, 0))
    rows = limited(data.part("train"), "train", CALIBRATED_ON, 0)
    # In an order in which every first part has all classes.
    rows = rows.sample(frac=1, random_state=0)
    photos = torch.cat([batch for batch, _ in score_loader(rows, metadata["label2id"], config)])
    trained_at = checkpoint["config"]["image_size"]
    return Source(network, metadata, test, config, photos, trained_at, opset)


def files_from(
    source: Source, formats: list[str], int8: bool, photo: bool, page: bool, scratch: Path
) -> Iterator[tuple[str, Path, Callable[[], nn.Module | Path], Callable[..., None]]]:
    """(name, file, what it is made of, what writes it) of each form; the plain ones first."""
    size, stem = source.metadata["image_size"], source.metadata["name"]
    nchw = f"float32 (batch, 3, {size}, {size}), RGB, (pixel / 255 - mean) / std"
    nhwc = f"float32 (1, {size}, {size}, 3), RGB, (pixel / 255 - mean) / std"
    one = nchw.replace("batch", "1")
    takes = {"litert": nhwc, "executorch": one}
    options = {name: {"opset": source.opset} if name == "onnx" else {} for name in FORMATS}
    for name in formats:
        metadata = source.metadata_for(name, "float32", takes.get(name, nchw))
        write = partial(FORMATS[name].module(name).write, metadata=metadata, **options[name])
        prepare = lambda: exported_as(source.shipped)  # noqa: E731
        yield name, scratch / f"{stem}{FORMATS[name].suffix}", prepare, write
    for name in formats if int8 else ():
        module = FORMATS[name].module(name)
        metadata = source.metadata_for(name, "int8", takes.get(name, nchw))
        given = {"images": source.calibration, **options[name]}
        write = partial(module.write_int8, metadata=metadata, **given)
        prepare = lambda top=module.TOP: exported_as(source.for_int8(top))  # noqa: E731
        yield f"{name} int8", scratch / f"{stem}_int8{FORMATS[name].suffix}", prepare, write
    if photo:
        takes_any = "uint8 (height, width, 3), RGB, any size"
        metadata = source.metadata_for("onnx", "float32", takes_any, PROBABILITIES)
        metadata |= {"temperature": 1.0}  # the graph has divided by it
        write = FORMATS["onnx"].module("onnx").write_with_preprocessing
        write = partial(write, metadata=metadata, opset=source.opset)
        made = f"{stem}_photo.onnx"
        yield PHOTO, scratch / made, source.for_photos, write
        if page and (scratch.parent / made).is_file():  # it has passed
            metadata |= {"precision": "float32, weights kept as float16"}
            write = partial(FORMATS["onnx"].module("onnx").write_half, metadata=metadata)
            yield PAGE, scratch / f"{stem}_page.onnx", lambda: scratch.parent / made, write


def report_of(run: str, source: Source, verification: Verification, rows: list[dict]) -> dict:
    """Plain data: what the files are, how each scored, on what machine."""
    installed = {name: found for name, found in versions(PACKAGES).items() if found}
    return {
        "run": str(run),
        "checkpoint_sha256": digest(run),
        "data": source.metadata["data"],
        "images": len(verification.truth),
        "drawn_sample": source.metadata["drawn_sample"],
        "image_size": source.metadata["image_size"],
        "trained_at": source.trained_at,
        "cpu": describe(CPU.device),
        "versions": installed,
        "files": rows,
    }
