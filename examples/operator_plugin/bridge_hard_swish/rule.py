"""The native rule: HARD_SWISH, which LiteRT has a kernel for. Imported only when TFLite is written, which
keeps every other command quick."""

from __future__ import annotations

from bridge.needs import dtype
from bridge.ops import OpTable

ops = OpTable()
ops.same(domain="example", needs=(dtype("float"),), HardSwish="HARD_SWISH")
