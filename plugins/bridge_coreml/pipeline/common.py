"""Features as rows."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

ML = "ai.onnx.ml"
DOUBLE, FLOAT, INT64 = (int(ir.DataType[n]) for n in ("DOUBLE", "FLOAT", "INT64"))
Values = dict[str, ir.Value]


def row(op: Any, inputs: list[ir.Value], dtype: ir.DataType | None = None) -> Any:
    """All features side by side, [rows, features]: float64 where one of them is more than float32."""
    wide = ir.DataType.FLOAT if {v.dtype for v in inputs} <= {ir.DataType.FLOAT} else ir.DataType.DOUBLE
    to = dtype or wide
    parts = [v if v.dtype == to else op.Cast(v, to=int(to)) for v in inputs]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)
