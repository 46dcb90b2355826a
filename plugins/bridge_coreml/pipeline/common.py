"""Features as rows."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

ML = "ai.onnx.ml"
DOUBLE, FLOAT, INT64 = (int(ir.DataType[n]) for n in ("DOUBLE", "FLOAT", "INT64"))
Values = dict[str, ir.Value]


def feature_matrix(op: Any, inputs: list[ir.Value], dtype: ir.DataType | None = None) -> Any:
    """Features concatenated to [rows, features]: float32 if all are float32, else float64."""
    common_dtype = (
        ir.DataType.FLOAT if {v.dtype for v in inputs} <= {ir.DataType.FLOAT} else ir.DataType.DOUBLE
    )
    target = dtype or common_dtype
    columns = [v if v.dtype == target else op.Cast(v, to=int(target)) for v in inputs]
    return columns[0] if len(columns) == 1 else op.Concat(*columns, axis=1)
