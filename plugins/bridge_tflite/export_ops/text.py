"""Text operators that TFLite does not have."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable()

ops.unsupported(
    "LiteRT's kernels compare, gather and look up text, and make none",
    "RegexFullMatch",
    "StringConcat",
    "StringSplit",
)
