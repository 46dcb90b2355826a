"""Random numbers, drawn anew at every run. Stateless ones are in random_stateless."""

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
    """Normal numbers within two deviations, by the inverse normal distribution of uniform numbers."""
    zeros = op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target))
    uniform = op.Mul(op.Sub(op.Mul(op.RandomUniformLike(zeros), 2.0), 1.0), math.erf(math.sqrt(2.0)))
    return as_dtype(op, op.Mul(erf_inverse(op, uniform), math.sqrt(2.0)), node.get("dtype"))


@ops.op("RandomUniform", "RandomStandardNormal", needs=(RANDOM,))
def uniform_or_normal(op, node, target):
    zeros = op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target))
    name = "RandomUniformLike" if node.op == "RandomUniform" else "RandomNormalLike"
    return op.node(name, zeros, dtype=int(node.get("dtype")))


@ops.op("RandomUniformInt")
def random_int(op, node, target, low, high):
    uniform = op.RandomUniformLike(
        op.Expand(op.const(np.zeros((), np.float32)), as_int64(op, target)), dtype=1
    )
    span = op.Cast(op.Sub(high, low), to=1)
    return op.Add(op.Cast(op.Floor(op.Mul(uniform, span)), to=int(low.dtype)), low)


@ops.op("Multinomial")
def multinomial(op, node, x, count):
    sample_size = constant_ints(count)
    if sample_size is None:
        return NotImplemented
    return as_dtype(op, op.Multinomial(x, sample_size=sample_size[0], dtype=7), node.get("output_dtype"))


@ops.op("RandomShuffle")
def shuffle(op, node, x):
    """Rows sorted by random keys."""
    size = op.Shape(x, start=0, end=1)
    keys = op.RandomUniformLike(op.Expand(op.const(np.zeros((), np.float32)), size), dtype=int(T.FLOAT))
    return op.Gather(x, op.TopK(keys, size, _outputs=2)[1], axis=0)
