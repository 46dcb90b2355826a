"""FFT and complex numbers; in the hub these are pairs along a last axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import constant, constant_ints, ints
from bridge.ops import OpTable

ops = OpTable()


@ops.op("RFFT2D", needs=(constant(1, "length"),))
def rfft2d(op, node, x, length):
    """FFT of the last two axes, sliced or padded to the length."""
    rank, sizes = rank_of(x), constant_ints(length)
    for axis, size in zip((rank - 2, rank - 1), sizes, strict=True):
        x = op.Slice(x, ints(0), ints(size), ints(axis))
        x = op.Pad(
            x,
            op.Concat(ints(0), op.Sub(ints(size), op.Shape(x, start=axis, end=axis + 1)), axis=0),
            None,
            ints(axis),
        )
    pairs = op.Unsqueeze(x, ints(rank))
    across = op.DFT(pairs, None, np.int64(rank - 1), onesided=1)
    return op.DFT(across, None, np.int64(rank - 2))


def _component(op: Any, x: Any, index: int) -> Any:
    return op.Gather(x, np.int64(index), axis=-1)


@ops.op("REAL")
def real(op, node, x):
    return _component(op, x, 0)


@ops.op("IMAG")
def imag(op, node, x):
    return _component(op, x, 1)


@ops.op("COMPLEX_ABS")
def complex_abs(op, node, x):
    return op.Sqrt(op.ReduceSum(op.Mul(x, x), ints(-1), keepdims=0))
