"""What mobile tools read in a .tflite file: names, normalisation, labels (TFLite metadata schema).

The schema (metadata_schema.fbs, identifier M001) is a flatbuffer inside the model's own; the
labels are a text file in a zip that is appended to the model, as Android's and MediaPipe's
readers expect. Field numbers below are the schema's.
"""

from __future__ import annotations

import io
import json
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lite0ca.formats.metadata import DISTANCE, LOGITS

NAME, LABELS, OURS = b"TFLITE_METADATA", "labels.txt", b"lite0ca"
IMAGE_PROPERTIES, NORMALIZATION, RGB, AXIS_LABELS = 2, 1, 1, 2


def with_metadata(model: bytes, metadata: dict) -> bytes:
    """The model with labels, what mobile tools read, and our own metadata; weights stay."""
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in unpacked.buffers:
        if buffer.offset > 1:  # behind the flatbuffer, where the quantizer puts weights
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    name_outputs(unpacked, list(metadata.get("outputs", [LOGITS])))
    unpacked.metadata = [one for one in unpacked.metadata or [] if one.name not in (NAME, OURS)]
    for name, content in (
        (NAME, mobile_metadata(metadata)),
        (OURS, json.dumps(metadata, ensure_ascii=False).encode()),
    ):
        unpacked.buffers.append(schema.BufferT(data=list(content)))
        entry = schema.MetadataT(name=name, buffer=len(unpacked.buffers) - 1)
        unpacked.metadata.append(entry)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(unpacked.Pack(builder), b"TFL3")
    file = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(LABELS, "\n".join(metadata["classes"]) + "\n")
    return file.getvalue()


def name_outputs(model: schema.ModelT, names: list[str]) -> None:
    """Call the outputs what they are, where tools show it: as tensors and in the signature."""
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    given = sorted(signature.outputs, key=lambda output: output.name)  # output_0, output_1
    for name, output in zip(names, given, strict=True):
        output.name = graph.tensors[output.tensorIndex].name = name.encode()


def metadata_in(model: bytes) -> dict:
    """Our own metadata, or nothing if the file is not ours."""
    packed = schema.Model.GetRootAs(model, 0)
    for number in range(packed.MetadataLength()):
        entry = packed.Metadata(number)
        if entry.Name() == OURS:
            return json.loads(packed.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def graphs_in(model: bytes) -> int:
    return schema.Model.GetRootAs(model, 0).SubgraphsLength()


def mobile_metadata(metadata: dict) -> bytes:
    """The flatbuffer of the metadata schema."""
    b = flatbuffers.Builder(1024)
    size, classes = metadata["image_size"], ", ".join(metadata["classes"])
    temperature = metadata["temperature"]
    labels = table(b, {0: text(b, LABELS), 2: ("uint8", AXIS_LABELS)})
    options = table(
        b,
        {
            0: floats(b, [255 * value for value in metadata["mean"]]),
            1: floats(b, [255 * value for value in metadata["std"]]),
        },
    )
    unit = table(b, {0: ("uint8", NORMALIZATION), 1: options})
    picture = table(b, {0: ("int8", RGB)})
    image = table(
        b,
        {
            0: text(b, "image"),
            1: text(b, f"The whole photo as RGB, squeezed to {size} x {size} pixels."),
            3: table(b, {0: ("uint8", IMAGE_PROPERTIES), 1: picture}),
            4: vector(b, [unit]),
        },
    )
    logits = table(
        b,
        {
            0: text(b, "logits"),
            1: text(b, f"Logits of {classes}; divide by {temperature:.4f}, then softmax."),
            6: vector(b, [labels]),
        },
    )
    outputs = [logits]
    if DISTANCE in metadata.get("outputs", {}):
        about = f"How far from the training photos. {metadata['outputs'][DISTANCE]}."
        outputs += [table(b, {0: text(b, DISTANCE), 1: text(b, about)})]
    graph = table(b, {2: vector(b, [image]), 3: vector(b, outputs)})
    root = table(
        b,
        {
            0: text(b, metadata["name"]),
            1: text(b, f"Names what a leaf has: {classes}."),
            2: text(b, metadata["version"]),
            3: vector(b, [graph]),
            7: text(b, "1.0.0"),
        },
    )
    b.Finish(root, b"M001")
    return bytes(b.Output())


def table(b: flatbuffers.Builder, fields: dict) -> int:
    """A table by field number: offsets of what was written before, or (type, value)."""
    b.StartObject(max(fields) + 1)
    for slot, value in fields.items():
        if isinstance(value, tuple):
            kind, number = value
            prepend = b.PrependUint8Slot if kind == "uint8" else b.PrependInt8Slot
            prepend(slot, number, 0)
        else:
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
    return b.EndObject()


def text(b: flatbuffers.Builder, value: str) -> int:
    return b.CreateString(value)


def vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def floats(b: flatbuffers.Builder, values: list[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return b.EndVector()
