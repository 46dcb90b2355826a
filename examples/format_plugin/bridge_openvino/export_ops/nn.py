"""Convolutions, pooling, products."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge_openvino.export_ops.common import FLOAT
from bridge_openvino.names import AUTO_PAD

ops = OpTable()

SPATIAL = condition("1 to 3 spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4, 5))


def window(node: ir.Node) -> dict:
    """Strides, dilations and pads as OpenVINO's attributes."""
    n = rank_of(node.inputs[0]) - 2
    pads = attr(node, "pads") or [0] * 2 * n
    return {
        "strides": attr(node, "strides") or [1] * n,
        "dilations": attr(node, "dilations") or [1] * n,
        "pads_begin": pads[:n],
        "pads_end": pads[n:],
        "auto_pad": AUTO_PAD[attr(node, "auto_pad")],
    }


GROUPS = condition(
    "one group, or weights of static shape",
    lambda n: attr(n, "group") == 1 or shape_of(n.inputs[1]) is not None,
)


@ops.op("Conv", needs=(FLOAT, SPATIAL, GROUPS))
def convolution(ov, node, x, weights, bias=None):
    groups = attr(node, "group")
    kind = "Convolution" if groups == 1 else "GroupConvolution"
    return biased(ov, x, ov.add(kind, x, grouped(ov, weights, groups), **window(node)), bias)


@ops.op(
    "ConvTranspose",
    needs=(
        FLOAT,
        SPATIAL,
        GROUPS,
        condition("no output_shape", lambda n: not attr(n, "output_shape")),
        attribute("auto_pad", "NOTSET", "VALID"),
    ),
)
def transposed(ov, node, x, weights, bias=None):
    groups = attr(node, "group")
    kind = "ConvolutionBackpropData" if groups == 1 else "GroupConvolutionBackpropData"
    extra = attr(node, "output_padding") or [0] * (rank_of(x) - 2)
    return biased(
        ov, x, ov.add(kind, x, grouped(ov, weights, groups), output_padding=extra, **window(node)), bias
    )


def grouped(ov, weights, groups):
    """Weights with a first dimension of groups, where there are several."""
    if groups == 1:
        return weights
    first, *rest = shape_of(weights)
    return ov.Reshape(weights, [groups, first // groups, *rest], special_zero=False)


def biased(ov, x, made, bias):
    if bias is None:
        return made
    return ov.Add(made, ov.Reshape(bias, [1, -1, *[1] * (rank_of(x) - 2)], special_zero=False))


FLOORED = attribute("ceil_mode", 0)


@ops.op("MaxPool", needs=(FLOAT, SPATIAL, FLOORED, condition("no indices", lambda n: len(n.outputs) == 1)))
def max_pool(ov, node, x):
    made = ov.MaxPool(
        x,
        kernel=attr(node, "kernel_shape"),
        rounding_type="floor",
        index_element_type="i64",
        axis=0,
        _outputs=2,
        **window(node),
    )
    return made[:1]


FLAT = condition("no dilations", lambda n: set(attr(n, "dilations") or [1]) == {1})


@ops.op("AveragePool", needs=(FLOAT, SPATIAL, FLOORED, FLAT))
def average_pool(ov, node, x):
    described = window(node)
    del described["dilations"]
    excluded = not attr(node, "count_include_pad")
    return ov.AvgPool(
        x, kernel=attr(node, "kernel_shape"), rounding_type="floor", **{"exclude-pad": excluded}, **described
    )


MATRICES = condition("matrices", lambda n: all((rank_of(v) or 0) >= 2 for v in n.inputs))


@ops.op("MatMul", needs=(FLOAT, MATRICES))
def matmul(ov, node, a, b):
    return ov.MatMul(a, b, transpose_a=False, transpose_b=False)


@ops.op("LRN", needs=(FLOAT,))
def local_response(ov, node, x):
    return ov.LRN(x, [1], **{name: attr(node, name) for name in ("size", "alpha", "beta", "bias")})
