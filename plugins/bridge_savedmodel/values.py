"""Values in a TensorFlow graph that are no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir


class Poison:
    """The result of an operator that cannot be imported."""


@dataclass(frozen=True)
class Table:
    """A hash table of constant keys and values."""

    keys: np.ndarray
    values: np.ndarray


@dataclass
class TensorList:
    """A list of tensors of one shape: stacked in `items` along a first axis, or not filled yet."""

    items: Any = None
    length: Any = None
    dtype: ir.DataType | None = None
    shape: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class ListHandle:
    """The handle of a version 1 list, whose tensors flow beside it: dtype, shape if known, and if the list
    grows."""

    dtype: ir.DataType | None
    shape: tuple[Any, ...] | None
    grows: bool = False


def decode_strings(array: Any) -> np.ndarray:
    """Bytes as str."""
    return np.vectorize(
        lambda v: v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v), otypes=[object]
    )(array)


@dataclass
class Pair:
    """A complex tensor as its real and imaginary parts."""

    real: Any
    imag: Any


def tensor_of(array: Any) -> Any:
    """An array as a hub constant: strings as bytes."""
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        return array
    encoded = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel()]
    return ir.StringTensor(encoded, shape=ir.Shape(array.shape))
