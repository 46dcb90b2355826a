"""Numbers as the bytes they are stored as, and FarmHash over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.passes.decompose.text_farmhash import BLOCK, Fingerprint
from bridge_tflite.import_ops.common import BOOL, INT64, UINT64


def parts(op: Any, x: Any, width: int) -> Any:
    """The bits of each element of `x` as numbers of `width` bits in a new last axis, the lowest first; uint64."""
    shifts = np.arange(0, x.dtype.bitwidth, width, dtype=np.uint64)
    whole = op.Unsqueeze(unsigned(op, x), ints(-1))
    return op.BitwiseAnd(shifted(op, whole, shifts, "RIGHT"), np.uint64(2**width - 1))


def joined(op: Any, x: Any, count: int, width: int) -> Any:
    """What `parts` took apart: the `count` numbers of the last axis, of `width` bits each, as one; uint64."""
    places = np.uint64(width) * np.arange(count, dtype=np.uint64)
    return op.MatMul(x, op.const(np.left_shift(np.uint64(1), places)))


def unsigned(op: Any, x: Any) -> Any:
    """The bits of `x` in uint64."""
    if x.dtype == BOOL:
        return op.Cast(x, to=UINT64)
    kind = ir.DataType[f"UINT{x.dtype.bitwidth}"]
    return op.Cast(x if x.dtype == kind else op.BitCast(x, to=int(kind)), to=UINT64)


def shifted(op: Any, x: Any, by: Any, direction: str) -> Any:
    return op.BitShift(x, np.asarray(by, np.uint64), direction=direction)


class Key(Fingerprint):
    """Keys of equal length, each the bytes of the last axis, in uint64."""

    def __init__(self, op: Any, keys: Any, length: int) -> None:
        super().__init__(op, length)
        self.keys = keys

    def value(self) -> Any:
        """The fingerprints; keys are of 4 bytes or more."""
        steps = ((7, self.upto7), (16, self.upto16), (32, self.upto32), (BLOCK, self.upto64))
        return next((step for most, step in steps if self.length <= most), self.beyond)()

    def word(self, at: int, size: int = 8) -> Any:
        at %= self.length
        found = joined(self.op, self.op.Slice(self.keys, ints(at), ints(at + size), ints(-1)), size, 8)
        return self.op.BitCast(found, to=INT64)
