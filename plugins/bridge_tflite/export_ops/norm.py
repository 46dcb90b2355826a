"""Normalizations."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FLOAT_KERNEL, TFLITE

ops = OpTable()
ops.same(
    domain=TFLITE,
    attributes={name: name for name in ("radius", "alpha", "beta", "bias")},
    needs=(FLOAT_KERNEL,),
    LRN="LOCAL_RESPONSE_NORMALIZATION",
)
