"""Sequences and optional values: TFLite has none."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable()

ops.unsupported(
    "TFLite holds tensors: a sequence crosses where what it holds is known before run time "
    "and it is no input or output",
    *(f"Sequence{name}" for name in ("At", "Construct", "Empty", "Erase", "Insert", "Length", "Map")),
    "ConcatFromSequence",
    "SplitToSequence",
)
ops.unsupported(
    "TFLite holds tensors: an optional one crosses where it is known before run time to be there or not, "
    "and it is no input or output",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
)
