"""Storage of each dtype in TorchScript: scalar type number, storage class, stand-ins for missing dtypes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

T = ir.DataType


@dataclass(frozen=True)
class TorchDtype:
    """torch's name of a dtype, its c10::ScalarType, and its storage class in a pickle."""

    name: str
    code: int
    storage: str


TORCH_DTYPES: dict[ir.DataType, TorchDtype] = {
    T.UINT8: TorchDtype("uint8", 0, "ByteStorage"),
    T.INT8: TorchDtype("int8", 1, "CharStorage"),
    T.INT16: TorchDtype("int16", 2, "ShortStorage"),
    T.INT32: TorchDtype("int32", 3, "IntStorage"),
    T.INT64: TorchDtype("int64", 4, "LongStorage"),
    T.FLOAT16: TorchDtype("float16", 5, "HalfStorage"),
    T.FLOAT: TorchDtype("float32", 6, "FloatStorage"),
    T.DOUBLE: TorchDtype("float64", 7, "DoubleStorage"),
    T.COMPLEX64: TorchDtype("complex64", 9, "ComplexFloatStorage"),
    T.COMPLEX128: TorchDtype("complex128", 10, "ComplexDoubleStorage"),
    T.BOOL: TorchDtype("bool", 11, "BoolStorage"),
    T.BFLOAT16: TorchDtype("bfloat16", 15, "BFloat16Storage"),
    T.FLOAT8E5M2: TorchDtype("float8_e5m2", 23, "Float8_e5m2Storage"),
    T.FLOAT8E4M3FN: TorchDtype("float8_e4m3fn", 24, "Float8_e4m3fnStorage"),
    T.FLOAT8E5M2FNUZ: TorchDtype("float8_e5m2fnuz", 25, "Float8_e5m2fnuzStorage"),
    T.FLOAT8E4M3FNUZ: TorchDtype("float8_e4m3fnuz", 26, "Float8_e4m3fnuzStorage"),
    T.UINT16: TorchDtype("uint16", 27, "UInt16Storage"),
    T.UINT32: TorchDtype("uint32", 28, "UInt32Storage"),
    T.UINT64: TorchDtype("uint64", 29, "UInt64Storage"),
    T.FLOAT8E8M0: TorchDtype("float8_e8m0fnu", 44, "Float8_e8m0fnuStorage"),
}
STAND_IN: dict[ir.DataType, ir.DataType] = {
    T.INT4: T.INT8,
    T.INT2: T.INT8,
    T.UINT4: T.UINT8,
    T.UINT2: T.UINT8,
    T.FLOAT4E2M1: T.FLOAT8E4M3FN,
}
CODES = {storage_dtype.name: storage_dtype.code for storage_dtype in TORCH_DTYPES.values()}


def storage_dtype(dtype: ir.DataType) -> TorchDtype:
    """Dtype in which `dtype` is stored: itself, or the smallest one that holds all its values."""
    return TORCH_DTYPES[STAND_IN.get(dtype, dtype)]


def has_storage_dtype(dtype: ir.DataType | None) -> bool:
    """True if torch stores `dtype`, as itself or as a stand-in."""
    return dtype is not None and STAND_IN.get(dtype, dtype) in TORCH_DTYPES


SCALAR_TYPES = {"int": ir.DataType.INT64, "float": ir.DataType.DOUBLE, "bool": ir.DataType.BOOL}
