"""What flows along a TensorFlow graph beside tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir


class Poison:
    """Stands for what an operator that cannot be read would have made."""


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
    """What names a list of version 1, whose tensors flow beside it: their dtype, their shape if it is known,
    and whether the list grows."""

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
    """An array as the hub keeps it: strings as bytes."""
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        return array
    raw = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel()]
    return ir.StringTensor(raw, shape=ir.Shape(array.shape))
