"""Random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, cast, lengths, vector

ops = OpTable()


def as_shape(op: hub.Builder, node: Any, shape: ir.Value) -> Any:
    array = const(shape)
    return op.const(array.astype(np.int64)) if array is not None else as_int64(op, shape)


def seed_of(node: Any) -> float | None:
    seed = node.get("seed", -1)
    return None if seed < 0 else float(seed)


@ops.op("random_uniform", "random_normal")
def random_like(op, node, shape):
    names = {"random_uniform": ("low", 0.0, "high", 1.0), "random_normal": ("mean", 0.0, "stddev", 1.0)}[
        node.op
    ]
    first, second = node.get(names[0], names[1]), node.get(names[2], names[3])
    frame = op.Expand(op.const(0, node.out_dtype()), as_shape(op, node, shape))
    if node.op == "random_uniform":
        return op.RandomUniformLike(frame, low=first, high=second, seed=seed_of(node))
    return op.RandomNormalLike(frame, mean=first, scale=second, seed=seed_of(node))


@ops.op("random_bernoulli")
def random_bernoulli(op, node, shape):
    probability = op.const(np.array(node.get("prob", 0.5), np.float32))
    result = op.Bernoulli(op.Expand(probability, as_shape(op, node, shape)), seed=seed_of(node))
    return cast(op, result, node.out_dtype())


@ops.op("random_categorical", needs=(RANKED,))
def random_categorical(op, node, x):
    """Categorical samples by the Gumbel-max trick."""
    logits = op.Log(x) if node.get("mode", "logits") == "probs" else x
    return cast(op, sample_categorical(op, logits, node.get("size", 1), seed_of(node)), node.out_dtype())


def sample_categorical(op: hub.Builder, logits: ir.Value, count: int, seed: float | None) -> Any:
    """Sample `count` indices of the last dimension of `logits`: argmax(logits + Gumbel noise)."""
    as_float = cast(op, logits, ir.DataType.FLOAT)
    sizes = lengths(op, as_float)
    repeated = op.Expand(op.Unsqueeze(as_float, ints(-2)), vector(op, [*sizes[:-1], count, sizes[-1]]))
    noise = op.Neg(op.Log(op.Neg(op.Log(op.RandomUniformLike(repeated, low=1e-7, high=1.0, seed=seed)))))
    return op.ArgMax(op.Add(repeated, noise), axis=-1, keepdims=0)
