"""Large weights of a package, written straight from where they lie."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.weightfile import blocks
from bridge_coreml.reader import BLOB_DTYPES, BLOB_VERSION, SENTINEL

ALIGNMENT = 64
NUMBERS = {name: number for number, name in BLOB_DTYPES.items()}


def export(program: Any, weights: Path, version: int, tensors: dict[Any, ir.TensorProtocol]) -> Any:
    """The message of a MIL program, whose weights are written to a file in the folder `weights`;
    `tensors` are the elements of constants, by their variables.

    Raises OSError, and UnreadableFile where the file of a tensor changed.
    """
    from coremltools.converters.mil.backend.mil import helper, load
    from coremltools.converters.mil.mil import types

    places: dict[Any, int] = {}

    class Exporter(load.MILProtoExporter):
        def create_file_value(self, var: Any) -> Any:
            if var not in tensors:
                return super().create_file_value(var)
            path = self.get_weight_path(var.op)
            self.get_blob_writer(path)
            if var not in places:
                places[var] = _append(Path(path), types.builtin_to_string(var.dtype), tensors[var])
            name = f"@model_path/{weights.name}/{Path(path).name}"
            primitive = helper.types_to_proto_primitive(var.sym_type.get_primitive())
            return helper.create_file_value_tensor(name, places[var], var.val.shape, primitive)

    exporter = Exporter(program, str(weights), version)
    message = exporter.export()
    exporter.blob_writers.clear()  # its own writer notes at its end how many weights it wrote
    for path in weights.iterdir() if places else ():
        _add_to_count(path, len(places))
    return message


def _append(path: Path, dtype: str, tensor: ir.TensorProtocol) -> int:
    """Add a tensor of a MIL dtype to a file of weights; where its record lies. That is 64 bytes, which values
    of the program point to; the bytes of the tensor follow it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            size = file.write(struct.pack("<II", 0, BLOB_VERSION).ljust(ALIGNMENT, b"\0"))
        place = file.seek(size + -size % ALIGNMENT)
        record = struct.pack("<IIQQ", SENTINEL, NUMBERS[dtype], tensor.nbytes, place + ALIGNMENT)
        file.write(record.ljust(ALIGNMENT, b"\0"))
        for block in blocks(tensor):
            file.write(block)
    return place


def _add_to_count(path: Path, number: int) -> None:
    with path.open("r+b") as file:
        (count,) = struct.unpack("<I", file.read(4))
        file.seek(0)
        file.write(struct.pack("<I", count + number))
