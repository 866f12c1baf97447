"""What `torch.save` wrote, read from bytes that come from a stranger or from a disk that errs.

A zip holds a checksum of every record, which torch does not look at, and two readers of one zip
need not see the same. So all records are read and checked here, and torch gets a new zip of them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path

import torch

from lite0ca.files.reading import read_bytes
from lite0ca.machine.memory import free_memory_gb

# All that our checkpoints and published weights name; torch's own list has bytearray(10**12).
KNOWN = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"}
KNOWN |= {"torch._utils _rebuild_parameter"}
KNOWN |= {f"torch {kind}Storage" for kind in ("Double", "Float", "Half", "BFloat16", "Bool")}
KNOWN |= {f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte")}
CALLING = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
LEGACY_PICKLES = 5  # one after the other: what came before the zip, of torch below 1.6
MOST_VALUES, DEEPEST = 1_000_000, 20
LARGEST = 2**34  # bytes
COPIES = 2  # of its bytes that are in memory at once


def read_tensors(path: str | Path) -> bytes:
    """The bytes of a file of tensors. Raises `InputError` for no file or one beyond all memory."""
    free = free_memory_gb() * 1e9
    return read_bytes(path, min(LARGEST, int(free / COPIES)) if free else LARGEST)


def is_zip(content: bytes) -> bool:
    return content.startswith(b"PK")


def loaded(content: bytes):
    """Dicts, lists, numbers, texts and dense tensors on the CPU; code in the file is never run.

    A zip is read if each checksum in it is right. The format before it has none. Raises
    `ValueError`, or what zipfile, pickle and torch raise.
    """
    if is_zip(content):
        checked = repacked(content)
    else:
        checked = io.BytesIO(content)
        for _ in range(LEGACY_PICKLES):
            refuse_strange(checked)
        checked.seek(0)
    with warnings.catch_warnings(action="ignore"):  # torch warns of what is refused
        try:
            found = torch.load(checked, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # a page, with the advice to run the code in it
            raise ValueError("it holds more than tensors and plain data, or half of it") from None
    return plain(found)


def repacked(content: bytes) -> io.BytesIO:
    """The records of a zip in a new one, each with the checksum that it should have.

    Raises `ValueError`, or what zipfile raises.
    """
    checked = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(checked, "w") as target:
        records = source.infolist()
        if len({record.filename.lower() for record in records}) < len(records):
            raise ValueError("two records have one name")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ValueError("its records are compressed, which torch.save does not do")
        if sum(record.file_size for record in records) > len(content):
            raise ValueError("its records are longer than the file")
        for record in records:
            if record.filename.endswith("constants.pkl"):
                raise ValueError("it is a TorchScript program")
            one = source.read(record)
            if record.filename.endswith("data.pkl"):
                refuse_strange(io.BytesIO(one))
            target.writestr(record.filename, one)
    checked.seek(0)
    return checked


def refuse_strange(pickled: io.BytesIO) -> None:
    """Raise `ValueError` if the pickle from here on names more than tensors and plain data."""
    for number, (operation, argument, _) in enumerate(pickletools.genops(pickled)):
        if number > MOST_VALUES:
            raise ValueError("its values have no end")
        named = operation.name == "GLOBAL" and argument not in KNOWN
        if named or operation.name in CALLING:
            what = str(argument or operation.name).replace(" ", ".")
            raise ValueError(f"it holds more than tensors and plain data: {what[:80]}")


def plain(content):
    """A copy of nested plain data, no part of it shared; raises `ValueError` for all else.

    A pickle may say in a few bytes that a list is in a list a billion times.
    """
    left = MOST_VALUES

    def copied(value, depth: int):
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise ValueError("its values have no end")
        if isinstance(value, dict):
            # Not `value.items()`: of an OrderedDict a pickle can set the methods.
            return {copied_key(key): copied(one, depth + 1) for key, one in dict.items(value)}
        if type(value) in (list, tuple):
            return type(value)(copied(one, depth + 1) for one in value)
        if isinstance(value, torch.Tensor):
            return dense(value)
        if value is None or type(value) in (bool, float, str):
            return value
        if type(value) is int and value.bit_length() <= 64:
            return value
        raise ValueError(f"it holds a {type(value).__name__} that is no plain data")

    return copied(content, 0)


def copied_key(key):
    if type(key) not in (str, int):
        raise ValueError(f"it names a value by a {type(key).__name__}")
    return key


def dense(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, if its numbers are all in the file; raises `ValueError`."""
    tensor = tensor.detach()
    known = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not known or tensor.is_quantized:
        raise ValueError("it holds a tensor of a kind that is not read")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError("it holds a tensor that is larger than its numbers")
    return tensor
