"""Diagonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import axis_length

ops = OpTable()


def _diagonal(op: Any, rows: Any, columns: Any) -> Any:
    down, across = (op.Range(np.int64(0), n, np.int64(1)) for n in (rows, columns))
    return op.Equal(op.Unsqueeze(down, ints(1)), op.Unsqueeze(across, ints(0)))


@ops.op("MATRIX_DIAG")
def matrix_diag(op, node, x):
    size = axis_length(op, x, -1)
    return op.Where(_diagonal(op, size, size), op.Unsqueeze(x, ints(-1)), np.zeros((), x.dtype.numpy()))


@ops.op("MATRIX_SET_DIAG")
def matrix_set_diag(op, node, x, diagonal):
    """The diagonal is padded to the number of rows; the padding is never selected."""
    rows, columns = axis_length(op, x, -2), axis_length(op, x, -1)
    rank = len(node.shape(1))
    missing = op.Unsqueeze(op.Sub(rows, axis_length(op, diagonal, -1)), ints(0))
    full = op.Pad(diagonal, op.Concat(op.const(np.zeros(2 * rank - 1, np.int64)), missing, axis=0))
    return op.Where(_diagonal(op, rows, columns), op.Unsqueeze(full, ints(-1)), x)
