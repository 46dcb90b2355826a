"""Elements as the bits they are stored as, and FarmHash fingerprints of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.passes.decompose.text_farmhash import BLOCK, Fingerprint
from bridge_tflite.import_ops.common import BOOL, INT64, UINT64


def split_bits(op: Any, x: Any, width: int) -> Any:
    """Bits of each element of `x` as uint64 numbers of `width` bits along a new last axis, the lowest
    first."""
    shifts = np.arange(0, x.dtype.bitwidth, width, dtype=np.uint64)
    bits = op.Unsqueeze(as_unsigned(op, x), ints(-1))
    return op.BitwiseAnd(shift_bits(op, bits, shifts, "RIGHT"), np.uint64(2**width - 1))


def join_bits(op: Any, x: Any, count: int, width: int) -> Any:
    """Inverse of `split_bits`: `count` numbers of `width` bits along the last axis joined to one uint64."""
    shifts = np.uint64(width) * np.arange(count, dtype=np.uint64)
    return op.MatMul(x, op.const(np.left_shift(np.uint64(1), shifts)))


def as_unsigned(op: Any, x: Any) -> Any:
    """Bits of `x` as uint64."""
    if x.dtype == BOOL:
        return op.Cast(x, to=UINT64)
    dtype = ir.DataType[f"UINT{x.dtype.bitwidth}"]
    return op.Cast(x if x.dtype == dtype else op.BitCast(x, to=int(dtype)), to=UINT64)


def shift_bits(op: Any, x: Any, amount: Any, direction: str) -> Any:
    return op.BitShift(x, np.asarray(amount, np.uint64), direction=direction)


class HashKey(Fingerprint):
    """Keys of equal length: uint64 [..., bytes]."""

    def __init__(self, op: Any, keys: Any, length: int) -> None:
        super().__init__(op, length)
        self.keys = keys

    def value(self) -> Any:
        """Fingerprints (uint64) of keys of 4 bytes or more."""
        steps = ((7, self.upto7), (16, self.upto16), (32, self.upto32), (BLOCK, self.upto64))
        return next((step for limit, step in steps if self.length <= limit), self.beyond)()

    def word(self, at: int, size: int = 8) -> Any:
        at %= self.length
        joined = join_bits(self.op, self.op.Slice(self.keys, ints(at), ints(at + size), ints(-1)), size, 8)
        return self.op.BitCast(joined, to=INT64)
