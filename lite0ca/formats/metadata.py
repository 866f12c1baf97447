"""What a model file says of itself, checked before any of it is used: files come from strangers."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from lite0ca.data.classes import classes_of
from lite0ca.errors import InputError
from lite0ca.formats import seal
from lite0ca.settings.config import Config
from lite0ca.settings.names_file import are_names
from lite0ca.settings.systems import ATTENTIONS, FORMER_ATTENTIONS, System

# What an exported file answers with.
LOGITS, PROBABILITIES, DISTANCE = "logits", "probabilities", "distance"
MOST_CLASSES = 100_000  # a network is built for as many as a file says
FILE_NAME = re.compile(r"[\w.+-]{1,200}")  # of a system: exported files are called after it
FIRST = (LOGITS, PROBABILITIES)
DIGEST = re.compile(r"[0-9a-f]{64}")


def check_metadata(metadata: dict, source: str | Path) -> None:
    """Raise `InputError` unless all of `metadata` is what this project writes."""
    rules = {
        "config": lambda settings: (
            is_config(settings) and {"image_size", "dropout"} <= set(settings)
        ),
        "system": is_system,
        "label2id": numbers_classes,
        "names": lambda names: are_names(names, metadata["label2id"]),
        "epoch": lambda epoch: type(epoch) is int and 0 <= epoch < 2**31,
        "temperature": lambda value: is_number(value) and value > 0,
        "sure_from": lambda value: value is None or (is_number(value) and 0 <= value <= 1),
        "drawn_sample": lambda value: type(value) is bool,
        "sha256": are_digests,
        # of exported files only
        "image_size": lambda size: type(size) is int and size == metadata["config"]["image_size"],
        "classes": lambda names: type(names) is list and names == classes_of(metadata["label2id"]),
        "mean": three_numbers,
        "std": lambda values: three_numbers(values) and min(values) > 0,
        "outputs": are_outputs,  # before 0.5 there was one, and no word of it
    }
    for name, is_right in rules.items():
        if name in metadata and not is_right(metadata[name]):
            shown = ascii(metadata[name])
            shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
            raise InputError(
                f"{source}: is damaged, of another version, or not of this project: its {name} "
                f"cannot be {shown}"
            )


def limit_of(metadata: dict) -> float:
    """From which confidence on a model is sure; one that does not say has to give 1 itself."""
    limit = metadata.get("sure_from")
    return 1.0 if limit is None else limit


def is_number(value) -> bool:
    """Finite and not endless; False for NaN."""
    return type(value) in (int, float) and abs(value) < 2**31


def three_numbers(values) -> bool:
    return type(values) is list and len(values) == 3 and all(map(is_number, values))


def are_outputs(named) -> bool:
    """What each output is, by its name: logits or probabilities first, perhaps a distance."""
    return (
        type(named) is dict
        and list(named) in ([first, *more] for first in FIRST for more in ([], [DISTANCE]))
        and all(type(text) is str for text in named.values())
    )


def are_digests(files) -> bool:
    """The sha256 of files by name, in hexadecimal."""
    return type(files) is dict and all(
        type(name) is str and type(digest) is str and DIGEST.fullmatch(digest)
        for name, digest in files.items()
    )


def is_config(settings) -> bool:
    if type(settings) is not dict or any(type(name) is not str for name in settings):
        return False
    try:
        Config.of_stored(settings)
    except (ValueError, TypeError):  # InputError among them
        return False
    return True


def is_system(row) -> bool:
    fields = {field.name for field in dataclasses.fields(System)}
    if type(row) is not dict or not set(row) <= fields or not {"name", "backbone"} <= set(row):
        return False
    row = dataclasses.asdict(System(**row))
    if type(row["reduction"]) is not int or row["attention"] not in ATTENTIONS + FORMER_ATTENTIONS:
        return False
    names = (row["name"], row["backbone"])
    return row["reduction"] >= 1 and all(type(n) is str and FILE_NAME.fullmatch(n) for n in names)


def numbers_classes(label2id) -> bool:
    """Two or more names, numbered from 0 on, each number once."""
    if not isinstance(label2id, dict) or not 2 <= len(label2id) <= MOST_CLASSES:
        return False
    numbers = [number for number in label2id.values() if type(number) is int]
    names = all(type(name) is str for name in label2id)
    return names and sorted(numbers) == list(range(len(label2id)))


def metadata_of(checkpoint: dict, network, image_size: int, version: str) -> dict:
    """What an exported file says of itself: plain data, no folder of the machine it was made on."""
    label2id = checkpoint["label2id"]
    private = ("metadata", "data_dir", "label2id", "output_dir", "weights", "cache_dir", "resume")
    private += ("calibration_run",)
    private += ("start_size",)  # larger, perhaps, than this image size
    config = {key: value for key, value in checkpoint["config"].items() if key not in private}
    return {
        seal.NAME: seal.EMPTY,
        "version": version,
        "name": checkpoint["system"]["name"],
        "system": checkpoint["system"],
        "classes": classes_of(label2id),
        "label2id": label2id,
        "names": checkpoint.get("names", {}),
        "image_size": image_size,
        "mean": network.mean.flatten().tolist(),
        "std": network.std.flatten().tolist(),
        "temperature": checkpoint.get("temperature", 1.0),
        "sure_from": checkpoint.get("sure_from"),
        "epoch": checkpoint["epoch"],
        "config": config | {"image_size": image_size},
        "drawn_sample": bool(checkpoint.get("drawn_sample")),
    }
