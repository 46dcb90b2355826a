"""TensorFlow's messages, operators and special functions as data, so that files are read without TensorFlow.

`messages.binpb` is a FileDescriptorSet, `operators.binpb` an OpList with the outputs and the attributes that
have a default, `functions.npz` the coefficients that `import_ops/special.py` evaluates. All three are made by
`python -m bridge_savedmodel.definitions.generate` from the installed TensorFlow.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "2.21.0"
"""The TensorFlow they are made from."""

FOLDER = Path(__file__).parent


@functools.cache
def _pool() -> Any:
    """The definitions of the messages, apart from those of a TensorFlow in the same process."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString((FOLDER / "messages.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


@functools.cache
def message(name: str) -> Any:
    """The class of a message of TensorFlow."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"tensorflow.{name}"))


@functools.cache
def dtype_name(number: int) -> str:
    """The name of a DataType; empty for a number that is none."""
    value = _pool().FindEnumTypeByName("tensorflow.DataType").values_by_number.get(number)
    return "" if value is None else value.name


@functools.cache
def _operators() -> dict[str, Any]:
    listed = message("OpList").FromString((FOLDER / "operators.binpb").read_bytes())
    return {definition.name: definition for definition in listed.op}


def operator(name: str) -> Any:
    """The OpDef of an operator; None for one that TensorFlow has not."""
    return _operators().get(name)


@functools.cache
def coefficients(name: str) -> np.ndarray:
    """Chebyshev coefficients of a special function: [pieces of equal width, degree + 1], float64."""
    with np.load(FOLDER / "functions.npz") as stored:
        return stored[name]
