"""Normalization over batches, channels and positions."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, const, held, rank_of
from bridge.needs import attribute, condition, unused_output
from bridge.ops import Need, OpTable
from bridge_coreml.export_ops.common import FLOAT, ints
from bridge_coreml.export_ops.conv import IMAGE

ops = OpTable()


def all_constant(*indices: int) -> Need:
    return condition(
        "constant parameters",
        lambda n: all(
            i >= len(n.inputs) or n.inputs[i] is None or held(n.inputs[i]) is not None for i in indices
        ),
    )


@ops.op("BatchNormalization", needs=(FLOAT, IMAGE, all_constant(1, 2, 3, 4), attribute("training_mode", 0)))
def batch_normalization(mil, node, x, scale, bias, mean, variance):
    dtype = mil.like(0, x).dtype
    parameters = {
        n: const(v).astype(dtype)
        for n, v in (("gamma", scale), ("beta", bias), ("mean", mean), ("variance", variance))
    }
    return mil.batch_norm(x=x, **parameters, epsilon=mil.like(attr(node, "epsilon"), x))


@ops.op(
    "InstanceNormalization",
    needs=(
        FLOAT,
        condition("one or two spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4)),
        all_constant(1, 2),
    ),
)
def instance_normalization(mil, node, x, scale, bias):
    return mil.instance_norm(x=x, gamma=scale, beta=bias, epsilon=mil.like(attr(node, "epsilon"), x))


def has_normalized_shape(node: ir.Node) -> bool:
    """True if scale and bias have the shape of the normalized axes, which must be static."""
    rank = rank_of(node.inputs[0])
    if not rank:
        return False
    dims = list(node.inputs[0].shape)[attr(node, "axis") % rank :]
    arrays = [const(v) for v in list(node.inputs)[1:3] if v is not None]
    return all(a is not None and list(a.shape) == dims for a in arrays)


@ops.op(
    "LayerNormalization",
    needs=(
        FLOAT,
        all_constant(1, 2),
        condition("parameters of the shape that is normalized", has_normalized_shape),
        unused_output(1, "Mean"),
        unused_output(2, "InvStdDev"),
    ),
)
def layer_normalization(mil, node, x, scale, bias=None):
    rank = rank_of(x)
    axes = list(range(attr(node, "axis") % rank, rank))
    return mil.layer_norm(
        x=x, axes=ints(axes), gamma=scale, beta=bias, epsilon=mil.like(attr(node, "epsilon"), x)
    )


@ops.op(
    "LRN",
    needs=(
        FLOAT,
        condition("two spatial dimensions", lambda n: rank_of(n.inputs[0]) == 4),
        condition("an odd size", lambda n: attr(n, "size") % 2 == 1),
    ),
)
def lrn(mil, node, x):
    parameters = {
        n: mil.like(attr(node, h), x) for n, h in (("alpha", "alpha"), ("beta", "beta"), ("k", "bias"))
    }
    return mil.local_response_norm(x=x, size=attr(node, "size"), **parameters)
