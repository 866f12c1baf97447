"""A setting as a field: its flag, its type, the values that it accepts."""

from __future__ import annotations

import dataclasses
import difflib

from lite0ca.errors import InputError

LARGEST = 2**32  # of whole numbers; beyond, libraries raise errors of their own
TYPES = {kind.__name__: kind for kind in (str, int, float, bool)}  # by their names in a class


def setting(group, default, help, *, choices=None, low=None, above=None, below=None, multiple=None):
    """A field: where its flag is listed, its default, its help, and the values it accepts.

    `low` is the smallest value, `above` and `below` are limits that are not reached themselves.
    """
    limits = {"choices": choices, "low": low, "above": above, "below": below, "multiple": multiple}
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **limits})


def flag(name: str) -> str:
    """`base_lr` -> `--base-lr`"""
    return "--" + name.replace("_", "-")


def unknown(name: str, known) -> str:
    """'x is unknown', with the nearest known name, else all of them."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"{name!r} is unknown; " + (
        f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    )


def value_type(field: dataclasses.Field) -> type:
    """The type of a field without its `| None`: str, int, float or bool."""
    return TYPES[field.type.removesuffix(" | None")]


def check(field: dataclasses.Field, value) -> None:
    """Raise `InputError`, naming the flag, unless the field accepts the value."""
    if value is None:
        if field.default is not None:
            raise InputError(f"{flag(field.name)} needs a value")
        return
    kind, limits = value_type(field), field.metadata
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise InputError(f"{flag(field.name)} takes {kind.__name__}, not {value!r}")
    if value == "":
        raise InputError(f"{flag(field.name)} is empty: give a value, or leave the flag out")
    if kind is float and not abs(value) < 1e300:  # NaN too, and integers that are no float
        raise InputError(f"{flag(field.name)} must be a finite number, not {str(value)[:20]}")
    if limits["choices"] and value not in limits["choices"]:
        raise InputError(f"{flag(field.name)}: {unknown(str(value), limits['choices'])}")
    wanted = []
    if limits["low"] is not None and value < limits["low"]:
        wanted.append(f"at least {limits['low']}")
    if limits["above"] is not None and value <= limits["above"]:
        wanted.append(f"above {limits['above']}")
    if limits["below"] is not None and value >= limits["below"]:
        wanted.append(f"below {limits['below']}")
    if kind is int and value >= LARGEST:
        wanted.append(f"below {LARGEST:,}")
    if limits["multiple"] and value % limits["multiple"]:
        wanted.append(f"a multiple of {limits['multiple']}")
    if wanted:
        raise InputError(f"{flag(field.name)} must be {' and '.join(wanted)}, not {value}")
