"""Products, convolutions, pools, normalizations, resizing, recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import geometry
from bridge.geometry import Window, plain_resize, window_of
from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, unused_output
from bridge.ops import Need, OpTable
from bridge_coreml.export_ops.common import FLOAT, FLOATS, IOS17, IOS18, ints

ops = OpTable()


ops.same(
    needs=(
        dtype(*FLOATS, "int32", "int64"),
        condition("operands of rank 2 or more", lambda n: all((rank_of(v) or 0) > 1 for v in n.inputs)),
    ),
    MatMul="matmul",
)


def plain_gemm(node: ir.Node) -> bool:
    bias = const(input_at(node, 2))
    weights = const(node.inputs[1])
    if weights is None or (input_at(node, 2) is not None and bias is None):
        return False
    units = weights.shape[0 if attr(node, "transB") else 1]
    return (
        not attr(node, "transA")
        and attr(node, "alpha") == attr(node, "beta") == 1.0
        and (bias is None or bias.size in (1, units))
        and (bias is None or bias.ndim < 2 or bias.shape[0] == 1)
    )


@ops.op(
    "Gemm", needs=(FLOAT, condition("constant weights and bias, alpha and beta of 1, transA=0", plain_gemm))
)
def gemm(mil, node, x, weights, bias=None):
    kernel = const(weights) if attr(node, "transB") else np.ascontiguousarray(const(weights).T)
    added = (
        None
        if bias is None
        else np.broadcast_to(const(bias).ravel(), (kernel.shape[0],)).astype(kernel.dtype)
    )
    return mil.linear(x=x, weight=kernel, bias=None if added is None else np.ascontiguousarray(added))


def window(node: ir.Node) -> Window:
    found = window_of(node)
    assert found is not None
    return found


def pads_of(node: ir.Node) -> geometry.Pads | None:
    """Pads before and after each spatial dimension; None where they cannot be told."""
    if rank_of(node.inputs[0]) is None:
        return None
    return geometry.transposed_pads(node) if node.op_type == "ConvTranspose" else geometry.pads_of(node)


def flat(pads: geometry.Pads) -> list[int]:
    """As Core ML lists them: before and after of one dimension after the other."""
    return [n for pair in pads for n in pair]


def padded(node: ir.Node) -> bool:
    pads = pads_of(node)
    return pads is not None and min(flat(pads), default=0) >= 0


IMAGE = condition("one to three spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4, 5))
PADDED = condition("pads that are known and not negative", padded)


@ops.op(
    "Conv",
    needs=(
        FLOAT,
        IMAGE,
        PADDED,
        condition("constant weights, or ones of known shape without dilation", lambda n: _weights(n)),
        constant(2, "bias"),
    ),
)
def conv(mil, node, x, weights, bias=None):
    return mil.conv(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(window(node).strides),
        dilations=ints(window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(flat(pads_of(node))),
    )


def _weights(node: ir.Node) -> bool:
    if const(node.inputs[1]) is not None:
        return True
    return shape_of(node.inputs[1]) is not None and set(window(node).dilations) == {1}


def transposed(node: ir.Node) -> tuple[list[int], list[int]] | None:
    """Pads and output shape of a transposed convolution; None where they cannot be told."""
    before, after, shape = shape_of(node.inputs[0]), shape_of(node.outputs[0]), window_of(node)
    pads = pads_of(node)
    if before is None or after is None or shape is None or pads is None or attr(node, "output_shape"):
        return None
    rows = zip(before[2:], after[2:], shape.spans, shape.strides, pads, strict=True)
    missing = [length - ((size - 1) * s + span - sum(pair)) for size, length, span, s, pair in rows]
    return (flat(pads), after) if min([*missing, *flat(pads)], default=0) >= 0 else None


TRANSPOSED = condition("a static input, and pads that are not negative", lambda n: transposed(n) is not None)


@ops.op("ConvTranspose", needs=(FLOAT, IMAGE, constant(1, "weights"), constant(2, "bias"), TRANSPOSED))
@ops.op("ConvTranspose", since=IOS17, needs=(FLOAT, IMAGE, TRANSPOSED))
def conv_transpose(mil, node, x, weights, bias=None):
    pads, after = transposed(node)
    return mil.conv_transpose(
        x=x,
        weight=weights,
        bias=bias,
        strides=ints(window(node).strides),
        dilations=ints(window(node).dilations),
        groups=attr(node, "group"),
        pad_type="custom",
        pad=ints(pads),
        output_shape=ints(after),
    )


def inside(node: ir.Node) -> bool:
    """Pads smaller than the window; with ceil_mode symmetric ones, no window that starts outside, and two
    axes at most."""
    pads, shape = pads_of(node), window_of(node)
    if pads is None or shape is None or not padded(node):
        return False
    rows = [(*pair, k, s) for pair, k, s in zip(pads, shape.kernel, shape.strides, strict=True)]
    if any(max(a, b) >= k for a, b, k, _ in rows):
        return False
    return not attr(node, "ceil_mode") or (len(rows) < 3 and all(a == b and s <= k for a, b, k, s in rows))


UNDILATED = condition("dilations of 1", lambda n: set(window(n).dilations) == {1})
INSIDE = condition(
    "pads smaller than the window, and with ceil_mode symmetric and along two axes at most", inside
)


def pool(mil: Any, node: ir.Node, x: ir.Value, name: str, **more: Any) -> Any:
    return getattr(mil, name)(
        x=x,
        kernel_sizes=ints(attr(node, "kernel_shape")),
        strides=ints(window(node).strides),
        pad_type="custom",
        pad=ints(flat(pads_of(node))),
        ceil_mode=bool(attr(node, "ceil_mode")),
        **more,
    )


@ops.op("MaxPool", needs=(FLOAT, IMAGE, INSIDE, UNDILATED, unused_output(1, "Indices")))
def max_pool(mil, node, x):
    return pool(mil, node, x, "max_pool")


def no_counting_beyond(node: ir.Node) -> bool:
    return not (attr(node, "ceil_mode") and attr(node, "count_include_pad"))


@ops.op(
    "AveragePool",
    needs=(FLOAT, IMAGE, INSIDE, UNDILATED, condition("no ceil_mode where pads count", no_counting_beyond)),
)
def average_pool(mil, node, x):
    return pool(mil, node, x, "avg_pool", exclude_padding_from_average=not attr(node, "count_include_pad"))


@ops.op(
    "LpPool",
    needs=(
        FLOAT,
        condition("one or two spatial dimensions", lambda n: rank_of(n.inputs[0]) in (3, 4)),
        INSIDE,
        UNDILATED,
        attribute("p", 2),
    ),
)
def lp_pool(mil, node, x):
    return pool(mil, node, x, "l2_pool")


def all_constant(*indices: int) -> Need:
    return condition(
        "constant parameters",
        lambda n: all(
            i >= len(n.inputs) or n.inputs[i] is None or const(n.inputs[i]) is not None for i in indices
        ),
    )


@ops.op("BatchNormalization", needs=(FLOAT, IMAGE, all_constant(1, 2, 3, 4), attribute("training_mode", 0)))
def batch_normalization(mil, node, x, scale, bias, mean, variance):
    kind = mil.like(0, x).dtype
    parts = {
        n: const(v).astype(kind)
        for n, v in (("gamma", scale), ("beta", bias), ("mean", mean), ("variance", variance))
    }
    return mil.batch_norm(x=x, **parts, epsilon=mil.like(attr(node, "epsilon"), x))


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


def normalized(node: ir.Node) -> bool:
    """Parameters of the shape of the axes that are normalized, which are static."""
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
        condition("parameters of the shape that is normalized", normalized),
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
    numbers = {
        n: mil.like(attr(node, h), x) for n, h in (("alpha", "alpha"), ("beta", "beta"), ("k", "bias"))
    }
    return mil.local_response_norm(x=x, size=attr(node, "size"), **numbers)


PLACES = {"asymmetric": "DEFAULT", "align_corners": "STRICT_ALIGN_CORNERS", "half_pixel": "UNALIGN_CORNERS"}


def resized(node: ir.Node) -> list[int] | None:
    """The last two lengths of the result, where the hub's Resize means what Core ML's does."""
    before, after = shape_of(node.inputs[0]), plain_resize(node)
    if before is None or after is None or len(before) not in (3, 4, 5) or before[:-2] != after[:-2]:
        return None
    return after[-2:]


def linear(node: ir.Node) -> bool:
    place = attr(node, "coordinate_transformation_mode")
    if attr(node, "mode") != "linear" or resized(node) is None:
        return False
    if place == "pytorch_half_pixel":
        return min(resized(node)) > 1
    return place in PLACES


def nearest(node: ir.Node) -> bool:
    return (
        attr(node, "mode") == "nearest"
        and attr(node, "coordinate_transformation_mode") == "asymmetric"
        and attr(node, "nearest_mode") == "floor"
        and resized(node) is not None
    )


@ops.op(
    "Resize",
    needs=(FLOAT, condition("linear interpolation of the last two axes, at places Core ML has", linear)),
)
def resize_bilinear(mil, node, x, *rest):
    place = attr(node, "coordinate_transformation_mode")
    mode = PLACES[place.removeprefix("pytorch_")]
    height, width = resized(node)
    return mil.resize_bilinear(x=x, target_size_height=height, target_size_width=width, sampling_mode=mode)


@ops.op("Resize", needs=(FLOAT, condition("the nearest element below, of the last two axes", nearest)))
def resize_nearest(mil, node, x, *rest):
    height, width = resized(node)
    return mil.resize_nearest_neighbor(x=x, target_size_height=height, target_size_width=width)


def sampled(node: ir.Node) -> bool:
    mode, padding = attr(node, "mode"), attr(node, "padding_mode")
    return rank_of(node.inputs[0]) == 4 and mode == "linear" and padding in ("zeros", "border", "reflection")


@ops.op("GridSample", needs=(FLOAT, condition("bilinear sampling of an image", sampled)))
def grid_sample(mil, node, x, grid):
    align = bool(attr(node, "align_corners"))
    padding = attr(node, "padding_mode")
    reflected = "reflection" if align else "symmetric"
    return mil.resample(
        x=x,
        coordinates=mil.cast_to(grid, "fp32"),
        sampling_mode="bilinear",
        padding_mode={"zeros": "constant", "border": "border"}.get(padding, reflected),
        padding_value=mil.like(0, x),
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=align,
    )


@ops.op(
    "Attention",
    since=IOS18,
    needs=(
        FLOAT,
        condition(
            "queries, keys and values of rank 4, as many heads of each, and no more than a constant mask",
            lambda n: plain_attention(n),
        ),
    ),
)
def attention(mil, node, query, key, value, mask=None):
    return mil.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=mask)


def _every_row(mask: np.ndarray | None) -> bool:
    """A constant mask that leaves something in every row: where nothing is left the hub answers 0, Core ML
    not a number."""
    if mask is None:
        return False
    left = mask if mask.dtype == bool else np.isfinite(mask)
    return bool(left.any(axis=-1).all())


def plain_attention(node: ir.Node) -> bool:
    shapes = [list(v.shape or ()) for v in list(node.inputs)[:3]]
    if any(len(s) != 4 for s in shapes) or any(v is not None for v in list(node.inputs)[4:]):
        return False
    size, heads = shapes[0][3], [s[1] for s in shapes]
    scale = attr(node, "scale")
    plain = isinstance(size, int) and (not scale or np.isclose(scale, 1 / np.sqrt(size), rtol=1e-6))
    alike = all(isinstance(h, int) and h == heads[0] for h in heads)
    extra = ("is_causal", "softcap", "softmax_precision", "qk_matmul_output_mode")
    windows = all(attr(node, n) == -1 for n in ("left_window_size", "right_window_size"))
    mask = input_at(node, 3)
    masked = mask is None or _every_row(const(mask))
    used = [o for o in list(node.outputs)[1:] if o.name and (o.uses() or o.is_graph_output())]
    return plain and alike and windows and masked and not used and not any(attr(node, n) for n in extra)
