"""Stored tensors: their dtypes, dimensions and contents, as TensorFlow's messages have them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_savedmodel.definitions import dtype_name
from bridge_savedmodel.tensorflow import TYPES

T = ir.DataType
MAX_REPEATED = 2**28
DTYPES = {name: dtype for dtype, name in TYPES.items()}
DTYPES |= {f"DT_Q{name}": ir.DataType[name] for name in ("INT8", "UINT8", "INT16", "UINT16", "INT32")}
DTYPES["DT_COMPLEX64"] = T.COMPLEX64
DTYPES["DT_COMPLEX128"] = T.COMPLEX128
INTEGERS = ("int_val", np.int64)
FIELDS: dict[ir.DataType, tuple[str, type[np.generic]]] = {
    T.FLOAT: ("float_val", np.float32),
    T.DOUBLE: ("double_val", np.float64),
    T.FLOAT16: ("half_val", np.uint16),
    T.BFLOAT16: ("half_val", np.uint16),
    T.FLOAT8E4M3FN: ("float8_val", np.uint8),
    T.FLOAT8E5M2: ("float8_val", np.uint8),
    T.BOOL: ("bool_val", np.bool_),
    T.INT64: ("int64_val", np.int64),
    T.UINT32: ("uint32_val", np.uint32),
    T.UINT64: ("uint64_val", np.uint64),
    T.COMPLEX64: ("scomplex_val", np.float32),
    T.COMPLEX128: ("dcomplex_val", np.float64),
}
"""The field of a TensorProto that lists the elements of each dtype, and the numbers whose bits they are; any
other dtype is listed as INTEGERS."""


def dtype_of(number: int) -> ir.DataType | None:
    """The hub's dtype for a TensorFlow DataType; None for resources, variants and what ONNX has not."""
    return DTYPES.get(dtype_name(number).removesuffix("_REF"))


def dims_of(shape: Any) -> tuple[Any, ...] | None:
    """Dimensions of a TensorShapeProto."""
    return None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)


def array_of(tensor: Any) -> np.ndarray:
    """A stored tensor, strings as bytes: elements beyond those listed repeat the last one.

    Raises UnreadableFile for one number repeated more than MAX_REPEATED times, ValueError for contents that
    are no array of the shape and dtype.
    """
    dims = [d.size for d in tensor.tensor_shape.dim]
    if min(dims, default=1) < 0 or (not tensor.tensor_content and math.prod(dims) > MAX_REPEATED):
        raise UnreadableFile(
            f"A constant of shape {dims} is not stored in the file.", "Is the file complete?"
        )
    dtype = dtype_of(tensor.dtype)
    if dtype is None:
        raise ValueError(f"no array is of the dtype {dtype_name(tensor.dtype) or tensor.dtype}")
    if dtype == T.STRING:
        return _strings(list(tensor.string_val), dims)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype.numpy()).reshape(dims)
    elements, count = _elements(tensor, dtype), math.prod(dims)
    if not elements.size:
        return np.zeros(dims, dtype.numpy())
    if elements.size < count:
        elements = np.pad(elements, (0, count - elements.size), "edge")
    return elements.reshape(dims)


def _strings(texts: list[bytes], dims: list[int]) -> np.ndarray:
    array = np.full(max(len(texts), math.prod(dims)), texts[-1] if texts else b"", object)
    array[: len(texts)] = texts
    return array.reshape(dims)


def _elements(tensor: Any, dtype: ir.DataType) -> np.ndarray:
    """The elements that are listed one by one."""
    field, stored = FIELDS.get(dtype, INTEGERS)
    listed = getattr(tensor, field)
    if isinstance(listed, bytes):
        return np.frombuffer(listed, dtype.numpy())
    if field == "int_val":
        return np.array(listed, stored).astype(dtype.numpy())
    wide = np.array(listed, np.int64) if field == "half_val" else np.array(listed, stored)
    return wide.astype(stored).view(dtype.numpy())
