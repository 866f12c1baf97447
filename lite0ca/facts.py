"""What a model file says of itself, checked before any of it is used: files come from strangers."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from lite0ca.config import Config
from lite0ca.errors import InputError
from lite0ca.systems import ATTENTIONS, System

FILE_NAME = re.compile(r"[\w.+-]{1,200}")  # of a system: exported files are called after it


def check_facts(facts: dict, source: str | Path) -> None:
    """Raise `InputError` unless every fact in `facts` is what this project writes."""
    rules = {
        "config": lambda settings: (
            is_config(settings) and {"image_size", "dropout"} <= set(settings)
        ),
        "system": is_system,
        "label2id": numbers_classes,
        "epoch": lambda epoch: type(epoch) is int and 0 <= epoch < 2**31,
        "temperature": lambda value: is_number(value) and value > 0,
        "sure_from": lambda value: value is None or (is_number(value) and 0 <= value <= 1),
        "drawn_sample": lambda value: type(value) is bool,
        # of exported files only
        "image_size": lambda size: type(size) is int and size == facts["config"]["image_size"],
        "classes": lambda names: type(names) is list and names == classes_of(facts["label2id"]),
        "mean": three_numbers,
        "std": lambda values: three_numbers(values) and min(values) > 0,
    }
    for name, is_right in rules.items():
        if name in facts and not is_right(facts[name]):
            shown = ascii(facts[name])
            shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
            raise InputError(
                f"{source}: is damaged, of another version, or not of this project: its {name} "
                f"cannot be {shown}"
            )


def is_number(value) -> bool:
    """Finite and not endless; False for NaN."""
    return type(value) in (int, float) and abs(value) < 2**31


def three_numbers(values) -> bool:
    return type(values) is list and len(values) == 3 and all(map(is_number, values))


def is_config(settings) -> bool:
    try:
        Config.of(**settings)
    except (ValueError, TypeError):  # InputError among them
        return False
    return True


def is_system(row) -> bool:
    fields = {field.name for field in dataclasses.fields(System)}
    if type(row) is not dict or not set(row) <= fields or not {"name", "backbone"} <= set(row):
        return False
    row = dataclasses.asdict(System(**row))
    if type(row["reduction"]) is not int or row["attention"] not in ATTENTIONS:
        return False
    names = (row["name"], row["backbone"])
    return row["reduction"] >= 1 and all(type(n) is str and FILE_NAME.fullmatch(n) for n in names)


def numbers_classes(label2id) -> bool:
    """Two or more names, numbered from 0 on, each number once."""
    if not isinstance(label2id, dict) or len(label2id) < 2:
        return False
    numbers = [number for number in label2id.values() if type(number) is int]
    names = all(type(name) is str for name in label2id)
    return names and sorted(numbers) == list(range(len(label2id)))


def classes_of(label2id: dict[str, int]) -> list[str]:
    """The class names in the order of their numbers."""
    return sorted(label2id, key=label2id.__getitem__)
