"""Random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, cast, int64, ints, lengths, vector

ops = OpTable()


def _shape(op: hub.Builder, node: Any, shape: ir.Value) -> Any:
    array = const(shape)
    return op.const(array.astype(np.int64)) if array is not None else int64(op, shape)


def _seed(node: Any) -> float | None:
    seed = node.get("seed", -1)
    return None if seed < 0 else float(seed)


@ops.op("random_uniform", "random_normal")
def random_like(op, node, shape):
    names = {"random_uniform": ("low", 0.0, "high", 1.0), "random_normal": ("mean", 0.0, "stddev", 1.0)}[
        node.op
    ]
    first, second = node.get(names[0], names[1]), node.get(names[2], names[3])
    frame = op.Expand(op.const(0, node.out_dtype()), _shape(op, node, shape))
    if node.op == "random_uniform":
        return op.RandomUniformLike(frame, low=first, high=second, seed=_seed(node))
    return op.RandomNormalLike(frame, mean=first, scale=second, seed=_seed(node))


@ops.op("random_bernoulli")
def random_bernoulli(op, node, shape):
    chance = op.const(np.array(node.get("prob", 0.5), np.float32))
    made = op.Bernoulli(op.Expand(chance, _shape(op, node, shape)), seed=_seed(node))
    return cast(op, made, node.out_dtype())


@ops.op("random_categorical", needs=(RANKED,))
def random_categorical(op, node, x):
    """The largest of the logits, each with noise of a Gumbel distribution, is a sample."""
    logits = op.Log(x) if node.get("mode", "logits") == "probs" else x
    return cast(op, drawn(op, logits, node.get("size", 1), _seed(node)), node.out_dtype())


def drawn(op: hub.Builder, logits: ir.Value, count: int, seed: float | None) -> Any:
    """`count` samples of the last dimension of logits."""
    wide = cast(op, logits, ir.DataType.FLOAT)
    sizes = lengths(op, wide)
    frame = op.Expand(op.Unsqueeze(wide, ints([-2])), vector(op, [*sizes[:-1], count, sizes[-1]]))
    noise = op.Neg(op.Log(op.Neg(op.Log(op.RandomUniformLike(frame, low=1e-7, high=1.0, seed=seed)))))
    return op.ArgMax(op.Add(frame, noise), axis=-1, keepdims=0)
