"""Random numbers."""

from __future__ import annotations

from bridge.hub import attr
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import (
    TFLITE,
)

ops = OpTable()


@ops.op(f"{TFLITE}::RandomUniform")
def random_uniform(tfl, node, shape):
    tfl.RANDOM_UNIFORM(shape, seed=attr(node, "seed", 0), seed2=0)


@ops.op(f"{TFLITE}::RandomNormal")
def random_normal(tfl, node, shape):
    tfl.RANDOM_STANDARD_NORMAL(shape, seed=attr(node, "seed", 0), seed2=0)
