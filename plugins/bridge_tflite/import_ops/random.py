"""Random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.importing import constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import mark_approximated

ops = OpTable()


def _seeds(node: Any) -> float | None:
    """Seed of the operator; None if both are 0, which asks for another one in every run."""
    return (
        float(node.get("seed", 0) * 65537 + node.get("seed2", 0))
        if node.get("seed", 0) or node.get("seed2", 0)
        else None
    )


@ops.op("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL")
def random(op, node, shape):
    """Other numbers of the same distribution: the generators differ."""
    like = op.Expand(np.float32(0), int64_vector(op, shape))
    operator = "RandomUniformLike" if node.op == "RANDOM_UNIFORM" else "RandomNormalLike"
    samples = op.node(operator, like, seed=_seeds(node))
    return mark_approximated(samples, "LiteRT draws other random numbers")


@ops.op("MULTINOMIAL", needs=(condition("a constant number of samples", lambda n: n.constant(1)),))
def multinomial(op, node, logits, count):
    """Index of the largest logit after adding Gumbel noise."""
    samples, classes = ints(constant_ints(count)[0]), op.Shape(logits, start=1)
    like = op.Expand(np.float32(0), op.Concat(op.Shape(logits, end=1), op.const(samples), classes, axis=0))
    even = op.RandomUniformLike(like, low=1e-7, seed=_seeds(node))
    noisy = op.Sub(op.Unsqueeze(logits, ints(1)), op.Log(op.Neg(op.Log(even))))
    drawn = op.Cast(op.ArgMax(noisy, axis=2, keepdims=0), to=int(node.out_dtype()))
    return mark_approximated(drawn, "LiteRT draws other random numbers")
