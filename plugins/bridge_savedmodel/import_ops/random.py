"""Random numbers, drawn anew at every run; those of a key are not ONNX's."""

from __future__ import annotations

import math

import numpy as np

from bridge.importing import as_dtype, as_int64, attribute, constant_ints
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.math import erf_inverse

ops = OpTable()

RANDOM = attribute("dtype", T.FLOAT, T.DOUBLE, T.FLOAT16)


@ops.op("TruncatedNormal", needs=(RANDOM,))
def truncated_normal(op, node, target):
    """Normal numbers that lie at most two deviations from zero, as those of uniform ones of the same
    share."""
    zeros = op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target))
    drawn = op.Mul(op.Sub(op.Mul(op.RandomUniformLike(zeros), 2.0), 1.0), math.erf(math.sqrt(2.0)))
    return as_dtype(op, op.Mul(erf_inverse(op, drawn), math.sqrt(2.0)), node.get("dtype"))


@ops.op("RandomUniform", "RandomStandardNormal", needs=(RANDOM,))
def random(op, node, target):
    like_ = op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target))
    name = "RandomUniformLike" if node.op == "RandomUniform" else "RandomNormalLike"
    return op.node(name, like_, dtype=int(node.get("dtype")))


@ops.op("RandomUniformInt")
def random_int(op, node, target, low, high):
    drawn = op.RandomUniformLike(op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target)), dtype=1)
    span = op.Cast(op.Sub(high, low), to=1)
    return op.Add(op.Cast(op.Floor(op.Mul(drawn, span)), to=int(low.dtype)), low)


@ops.op("Multinomial")
def multinomial(op, node, x, count):
    known = constant_ints(count)
    if known is None:
        return NotImplemented
    return as_dtype(op, op.Multinomial(x, sample_size=known[0], dtype=7), node.get("output_dtype"))


@ops.op("RandomShuffle")
def shuffle(op, node, x):
    """Rows in the order of numbers drawn for them."""
    size = op.Shape(x, start=0, end=1)
    drawn = op.RandomUniformLike(op.Expand(op.const(np.zeros((), np.float32)), size), dtype=int(T.FLOAT))
    return op.Gather(x, op.TopK(drawn, size, _outputs=2)[1], axis=0)
