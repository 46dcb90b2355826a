"""Activations."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, axis_of

ops = OpTable()
ops.same(needs=(FLOAT,), Relu="relu", Softplus="softplus", Softsign="softsign")
ops.same(needs=(FLOAT, attribute("alpha", 1.0)), Swish="silu")


@ops.op("LeakyRelu", needs=(FLOAT,))
def leaky_relu(mil, node, x):
    return mil.leaky_relu(x=x, alpha=mil.like(attr(node, "alpha"), x))


@ops.op("Elu", needs=(FLOAT,))
def elu(mil, node, x):
    return mil.elu(x=x, alpha=mil.like(attr(node, "alpha"), x))


@ops.op("HardSigmoid", needs=(FLOAT,))
def hard_sigmoid(mil, node, x):
    alpha, beta = attr(node, "alpha"), attr(node, "beta")
    return mil.sigmoid_hard(x=x, alpha=mil.like(alpha, x), beta=mil.like(beta, x))


@ops.op("Gelu", needs=(FLOAT,))
def gelu(mil, node, x):
    tanh = attr(node, "approximate") == "tanh"
    return mil.gelu(x=x, mode="TANH_APPROXIMATION" if tanh else "EXACT")


def has_channel_slope(node: ir.Node) -> bool:
    """True if the slope is constant: one per channel of an image, or one for all."""
    rank, slope = rank_of(node.inputs[0]), const(node.inputs[1])
    dims = list(node.inputs[0].shape or ())
    if slope is None or rank not in (3, 4, 5) or not isinstance(dims[1], int):
        return False
    shape = (1,) * (rank - slope.ndim) + slope.shape
    if len(shape) != rank or any(d != 1 for i, d in enumerate(shape) if i != 1):
        return False
    return shape[1] in (1, dims[1]) and (rank == 4 or bool((slope == slope.ravel()[0]).all()))


@ops.op(
    "PRelu",
    needs=(
        FLOAT,
        condition("a constant slope: per channel of an image, else one for all", has_channel_slope),
    ),
)
def prelu(mil, node, x, slope):
    alpha = np.broadcast_to(const(slope).ravel(), (x.shape[1],)).astype(const(slope).dtype)
    return mil.prelu(x=x, alpha=np.ascontiguousarray(alpha))


@ops.op(
    "Softmax",
    needs=(FLOAT, condition("an input of rank 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0)),
)
def softmax(mil, node, x):
    return mil.softmax(x=x, axis=axis_of(node))
