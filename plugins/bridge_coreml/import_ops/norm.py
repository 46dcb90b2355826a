"""Normalization over batches, channels and positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, rank_of

ops = OpTable()


def channel_count(x: ir.Value) -> int:
    return int(list(x.shape or ())[1])


def channel_parameter(op: hub.Builder, node: Any, name: str, x: ir.Value, default: Any) -> Any:
    array = node.array(name)
    return like(op, x, default if array is None else array)


def known_channel_count(node: Any) -> int | None:
    """The second dimension of the input, or the size of what scales it."""
    dims, gamma = node.dims("x"), node.array("gamma")
    return int(gamma.size) if gamma is not None else dims[1] if dims else None


CHANNELS = condition("a known number of channels", lambda n: known_channel_count(n) is not None)


@ops.op("batch_norm", needs=(RANKED,))
def batch_norm(op, node, x):
    count = node.array("mean").size
    defaults = (("gamma", np.ones(count)), ("beta", np.zeros(count)), ("mean", None), ("variance", None))
    return op.BatchNormalization(
        x, *(channel_parameter(op, node, n, x, d) for n, d in defaults), epsilon=node.get("epsilon", 1e-5)
    )


@ops.op("instance_norm", needs=(RANKED, CHANNELS))
def instance_norm(op, node, x):
    count = known_channel_count(node)
    gamma = channel_parameter(op, node, "gamma", x, np.ones(count))
    beta = channel_parameter(op, node, "beta", x, np.zeros(count))
    return op.InstanceNormalization(x, gamma, beta, epsilon=node.get("epsilon", 1e-5))


@ops.op("layer_norm", needs=(RANKED,))
def layer_norm(op, node, x):
    rank = rank_of(x) or 0
    axes = node.get("axes")
    axes = list(range(rank)) if axes is None else [a % rank for a in np.ravel(axes).tolist()]
    gamma, beta = node.array("gamma"), node.array("beta")
    epsilon = node.get("epsilon", 1e-5)
    if axes == list(range(rank - len(axes), rank)) and gamma is not None:
        beta = None if beta is None else like(op, x, beta)
        return op.LayerNormalization(x, like(op, x, gamma), beta, axis=axes[0], epsilon=epsilon)
    centered = op.Sub(x, op.ReduceMean(x, np.asarray(axes, np.int64), keepdims=1))
    variance = op.ReduceMean(op.Mul(centered, centered), np.asarray(axes, np.int64), keepdims=1)
    normalized = op.Div(centered, op.Sqrt(op.Add(variance, like(op, x, epsilon))))
    dims = [int(d) if isinstance(d, int) else 1 for d in x.shape]
    broadcast_shape = [dims[i] if i in axes else 1 for i in range(rank)]
    if gamma is not None:
        normalized = op.Mul(normalized, like(op, x, gamma.reshape(broadcast_shape)))
    return normalized if beta is None else op.Add(normalized, like(op, x, beta.reshape(broadcast_shape)))


@ops.op("l2_norm", needs=(RANKED,))
def l2_norm(op, node, x):
    squared_norm = op.ReduceSum(op.Mul(x, x), ints(-3, -2, -1), keepdims=1)
    return op.Div(x, op.Sqrt(op.Add(squared_norm, like(op, x, node.get("epsilon", 1e-6)))))


@ops.op(
    "local_response_norm",
    needs=(
        RANKED,
        condition(
            "images of rank 4, as Apple's documents and its numbers disagree about others",
            lambda n: len(n.dims("x") or []) == 4,
        ),
        condition("an odd size", lambda n: n.get("size", 1) % 2 == 1),
    ),
)
def local_response_norm(op, node, x):
    parameters = [node.get(n, d) for n, d in (("size", 1), ("alpha", 1e-4), ("beta", 0.75), ("k", 1.0))]
    return response_norm(op, x, *parameters)


def response_norm(op: hub.Builder, x: ir.Value, size: int, alpha: float, beta: float, k: float) -> Any:
    """Local response normalization. For an even `size` the window has one more channel before than after;
    ONNX's LRN has it after, and takes rank 4 only."""
    if size % 2 and rank_of(x) == 4:
        return op.LRN(x, size=size, alpha=alpha, beta=beta, bias=k)
    rank, count = rank_of(x) or 0, channel_count(x)
    pads = [0, size // 2, *[0] * (rank - 2), 0, (size - 1) // 2, *[0] * (rank - 2)]
    padded = op.Pad(op.Mul(x, x), np.asarray(pads, np.int64))
    windows = [op.Slice(padded, ints(i), ints(i + count), ints(1)) for i in range(size)]
    total = op.Add(op.Mul(op.Sum(*windows), like(op, x, alpha / size)), like(op, x, k))
    return op.Div(x, op.Pow(total, like(op, x, beta)))
