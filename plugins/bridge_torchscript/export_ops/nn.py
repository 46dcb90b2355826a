"""Layers: convolution, pooling, normalization, sampling, matrix products."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import attribute, condition, dtype, unused_output
from bridge.ops import OpTable
from bridge_torchscript.export_ops.common import (
    FLOATS,
    NUMBERS,
    RANKED,
    flag,
    list_literal,
    register_functions,
    same_dtype,
)
from bridge_torchscript.source import Source

ops = OpTable()

T = ir.DataType
SAME = condition("inputs of one dtype", same_dtype)
SPATIAL = condition("1 to 3 spatial dimensions", lambda n: (rank_of(n.inputs[0]) or 0) in (3, 4, 5))
EXPLICIT = attribute("auto_pad", "NOTSET", "VALID")
SINGLE = dtype("float", "double")


def spatial_rank(node: ir.Node) -> int:
    """Number of spatial axes of the input."""
    return (rank_of(node.inputs[0]) or 2) - 2


def pads_of(node: ir.Node) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis."""
    count = spatial_rank(node)
    pads = attr(node, "pads") or [0] * 2 * count
    if attr(node, "auto_pad") == "VALID":
        pads = [0] * 2 * count
    return pads[:count], pads[count:]


def per_axis(node: ir.Node, name: str, default: int = 1) -> list[int]:
    """Attribute with one number per spatial axis."""
    return attr(node, name) or [default] * spatial_rank(node)


def last_first(before: list[int], after: list[int]) -> list[int]:
    """Padding in the order of torch.constant_pad_nd."""
    return [p for pair in reversed(list(zip(before, after, strict=True))) for p in pair]


def pad_unequal(ts: Source, node: ir.Node, x: str, kernel: str) -> tuple[str, list[int]]:
    """Source of the input, padded if its pads are asymmetric, and the pads left to the operator."""
    if attr(node, "auto_pad").startswith("SAME"):
        pads = ts.lib(
            "same_pads",
            x,
            kernel,
            per_axis(node, "strides"),
            per_axis(node, "dilations"),
            flag(attr(node, "auto_pad") == "SAME_UPPER"),
        )
        return f"torch.constant_pad_nd({x}, {pads}, 0)", [0] * spatial_rank(node)
    before, after = pads_of(node)
    if before == after and min(before, default=0) >= 0:
        return x, before
    return f"torch.constant_pad_nd({x}, {last_first(before, after)}, 0)", [0] * spatial_rank(node)


@ops.op("Conv", needs=(FLOATS, SAME, SPATIAL))
def conv(ts, node, x, w, bias=None):
    x, pads = pad_unequal(ts, node, x, f"{w}.size()[2:]")
    return (
        f"torch.conv{spatial_rank(node)}d({x}, {w}, {bias}, {per_axis(node, 'strides')}, {pads}, "
        f"{per_axis(node, 'dilations')}, {attr(node, 'group')})"
    )


@ops.op("ConvTranspose", needs=(FLOATS, SAME, SPATIAL))
def conv_transpose(ts, node, x, w, bias=None):
    count = spatial_rank(node)
    strides, dilations, output_padding = (
        per_axis(node, "strides"),
        per_axis(node, "dilations"),
        per_axis(node, "output_padding", 0),
    )
    mode, output_shape = attr(node, "auto_pad"), attr(node, "output_shape")
    group = attr(node, "group")
    before, after = pads_of(node)
    has_native_padding = all(
        e < max(s, d) for e, s, d in zip(output_padding, strides, dilations, strict=True)
    )
    if (
        output_shape is None
        and not mode.startswith("SAME")
        and before == after
        and min(before) >= 0
        and has_native_padding
    ):
        tail = f"{strides}, {before}, {output_padding}, {group}, {dilations}"
        return f"torch.conv_transpose{count}d({x}, {w}, {bias}, {tail})"
    zeros = [0] * count
    full = ts.let(
        f"torch.conv_transpose{count}d({x}, {w}, None, {strides}, {zeros}, {zeros}, {group}, {dilations})",
        "full",
    )
    if output_shape is not None:
        crops = ts.lib(
            "crop_pads",
            f"{full}.size()[2:]",
            output_shape[-count:],
            flag(mode == "SAME_UPPER"),
            output_padding,
        )
    elif mode.startswith("SAME"):
        goal = ts.lib("multiply_lists", f"{x}.size()[2:]", strides)
        crops = ts.lib("crop_pads", f"{full}.size()[2:]", goal, flag(mode == "SAME_UPPER"), output_padding)
    else:
        crops = last_first([-b for b in before], [e - a for a, e in zip(after, output_padding, strict=True)])
    result = f"torch.constant_pad_nd({full}, {crops}, 0)"
    return result if bias is None else f"{result} + torch.reshape({bias}, {[-1, *[1] * count]})"


def has_plain_padding(node: ir.Node) -> bool:
    """True for symmetric padding of at most half a window, without ceil_mode."""
    if attr(node, "ceil_mode") or not EXPLICIT.holds(node) or rank_of(node.inputs[0]) is None:
        return False
    before, after = pads_of(node)
    return before == after and all(
        0 <= 2 * p <= k for p, k in zip(before, attr(node, "kernel_shape"), strict=True)
    )


PLAIN = condition("padding alike on both sides, within half a window", has_plain_padding)


@ops.op("MaxPool", needs=(NUMBERS, SPATIAL, PLAIN, unused_output(1, "Indices")))
def max_pool(ts, node, x):
    window = _window(node, pads_of(node)[0])
    return f"torch.max_pool{spatial_rank(node)}d({x}, {window})"


@ops.op("MaxPool", needs=(NUMBERS, SPATIAL))
def any_max_pool(ts, node, x):
    """MaxPool over an input padded to exactly its windows. Indices count elements of the unpadded input."""
    count, dtype = spatial_rank(node), node.inputs[0].dtype
    pads = ts.let(_window_pads(ts, node, x), "pads", "List[int]")
    lowest = np.iinfo(dtype.numpy()).min if dtype.is_integer() else "-inf"
    padded_x = f"torch.constant_pad_nd({x}, {pads}, {lowest})"
    window = _window(node, [0] * count)
    if len(node.outputs) == 1:
        return f"torch.max_pool{count}d({padded_x}, {window})"
    padded_x = ts.let(padded_x, "padded")
    values, indices = ts.unpack(
        f"torch.max_pool{count}d_with_indices({padded_x}, {window})", "largest", "indices"
    )
    columns = flag(attr(node, "storage_order"))
    return [
        values,
        ts.lib("pool_indices", indices, f"{padded_x}.size()[2:]", f"{x}.size()[2:]", pads, columns),
    ]


def _window(node: ir.Node, pads: list[int]) -> str:
    """Arguments of torch.max_pool: kernel, strides, pads, dilations."""
    kernel, strides, dilations = (
        attr(node, "kernel_shape"),
        per_axis(node, "strides"),
        per_axis(node, "dilations"),
    )
    return f"{kernel}, {strides}, {pads}, {dilations}"


def _window_pads(ts: Source, node: ir.Node, x: str) -> str:
    before, after = pads_of(node)
    return ts.lib(
        "window_pads",
        f"{x}.size()[2:]",
        attr(node, "kernel_shape"),
        per_axis(node, "strides"),
        per_axis(node, "dilations"),
        before,
        after,
        f'"{attr(node, "auto_pad")}"',
        flag(attr(node, "ceil_mode")),
    )


DENSE = condition("no dilations", lambda n: set(attr(n, "dilations") or [1]) == {1})


def has_room(node: ir.Node) -> bool:
    """True unless torch.avg_pool3d refuses the input, whose unpadded lengths it compares with the kernel."""
    if rank_of(node.inputs[0]) is None:
        return False
    if spatial_rank(node) < 3 or attr(node, "count_include_pad"):
        return True
    lengths = list(node.inputs[0].shape)[2:]
    kernel = attr(node, "kernel_shape")
    return all(isinstance(d, int) and d >= k for d, k in zip(lengths, kernel, strict=True))


ROOMY = condition("three axes that are no shorter than the kernel", has_room)


@ops.op("AveragePool", needs=(FLOATS, SPATIAL, PLAIN, DENSE, ROOMY))
def average_pool(ts, node, x):
    before, after = pads_of(node)
    includes_pad = attr(node, "count_include_pad")
    if includes_pad and any(before) and spatial_rank(node) == 3:
        x, before = f"torch.constant_pad_nd({x}, {last_first(before, after)}, 0)", [0] * 3
    window = f"{attr(node, 'kernel_shape')}, {per_axis(node, 'strides')}, {before}, False"
    return f"torch.avg_pool{spatial_rank(node)}d({x}, {window}, {flag(includes_pad)})"


@ops.op("GlobalAveragePool", needs=(FLOATS, RANKED))
def global_average_pool(ts, node, x):
    return f"torch.mean({x}, {list(range(2, rank_of(node.inputs[0])))}, True)"


@ops.op("GlobalMaxPool", needs=(FLOATS, RANKED))
def global_max_pool(ts, node, x):
    return f"torch.amax({x}, {list(range(2, rank_of(node.inputs[0])))}, True)"


INFERENCE = attribute("training_mode", 0)


@ops.op("BatchNormalization", needs=(FLOATS, SAME, RANKED, INFERENCE))
def batch_norm(ts, node, x, scale, bias, mean, variance):
    epsilon = attr(node, "epsilon")
    return f"torch.batch_norm({x}, {scale}, {bias}, {mean}, {variance}, False, 0.0, {epsilon}, False)"


@ops.op("InstanceNormalization", needs=(SINGLE, SAME, RANKED))
def instance_norm(ts, node, x, scale, bias):
    epsilon = attr(node, "epsilon")
    return f"torch.instance_norm({x}, {scale}, {bias}, None, None, True, 0.0, {epsilon}, False)"


def normalizes_last(node: ir.Node) -> bool:
    """True if scale and bias have the normalized shape."""
    rank = rank_of(node.inputs[0])
    if not rank or attr(node, "stash_type") != 1:
        return False
    tail = list(node.inputs[0].shape)[attr(node, "axis") % rank :]
    return all(v is None or (v.shape is not None and list(v.shape) == tail) for v in list(node.inputs)[1:])


LAST = condition("scale and bias of the normalized shape", normalizes_last)


@ops.op(
    "LayerNormalization",
    needs=(dtype("float"), SAME, LAST, unused_output(1, "Mean"), unused_output(2, "InvStdDev")),
)
def layer_norm(ts, node, x, scale, bias=None):
    axis = attr(node, "axis") % rank_of(node.inputs[0])
    tail = _tail(node, x, axis)
    return f"torch.layer_norm({x}, {tail}, {scale}, {bias}, {attr(node, 'epsilon')})"


@ops.op("RMSNormalization", needs=(dtype("float"), SAME, LAST))
def rms_norm(ts, node, x, scale):
    axis = attr(node, "axis") % rank_of(node.inputs[0])
    return f"torch.rms_norm({x}, {_tail(node, x, axis)}, {scale}, {attr(node, 'epsilon')})"


def _tail(node: ir.Node, x: str, axis: int) -> str:
    return list_literal(
        d if isinstance(d, int) else f"{x}.size({i + axis})"
        for i, d in enumerate(list(node.inputs[0].shape)[axis:])
    )


def has_channel_scale(node: ir.Node) -> bool:
    """True if the scale has one element per channel."""
    x, scale = node.inputs[0], shape_of(node.inputs[1])
    dims = [] if x is None or x.shape is None else list(x.shape)
    return len(dims) > 1 and scale == [dims[1]]


@ops.op(
    "GroupNormalization",
    needs=(
        dtype("float"),
        SAME,
        condition("a scale for each channel", has_channel_scale),
        attribute("stash_type", 1),
    ),
)
def group_norm(ts, node, x, scale, bias):
    """Around the mean of each group: torch multiplies before it subtracts."""
    groups = attr(node, "num_groups")
    centred = ts.lib("centred", x, groups)
    return f"torch.group_norm({centred}, {groups}, {scale}, {bias}, {attr(node, 'epsilon')})"


register_functions(ops, NUMBERS, SAME, MatMul="matmul")


@ops.op("Gemm", needs=(FLOATS, SAME))
def gemm(ts, node, a, b, c=None):
    alpha, beta = attr(node, "alpha"), attr(node, "beta")
    a = f"torch.t({a})" if attr(node, "transA") else a
    if attr(node, "transB") and alpha == 1 and (c is None or (beta == 1 and rank_of(node.inputs[2]) == 1)):
        return f"torch.linear({a}, {b}, {c})"
    b = f"torch.t({b})" if attr(node, "transB") else b
    if c is None:
        return f"torch.matmul({a}, {b})" + ("" if alpha == 1 else f" * {alpha}")
    return f"torch.addmm({c}, {a}, {b}, beta={beta}, alpha={alpha})"


@ops.op("Gemm", needs=(NUMBERS, SAME, attribute("alpha", 1.0), attribute("beta", 1.0)))
def integer_gemm(ts, node, a, b, c=None):
    a = f"torch.t({a})" if attr(node, "transA") else a
    b = f"torch.t({b})" if attr(node, "transB") else b
    return f"torch.matmul({a}, {b})" + ("" if c is None else f" + {c}")


MODES = {"linear": 0, "bilinear": 0, "nearest": 1, "cubic": 2, "bicubic": 2}
BORDERS = {"zeros": 0, "border": 1, "reflection": 2}


def is_supported_sampling(node: ir.Node) -> bool:
    rank, mode = rank_of(node.inputs[0]), MODES[attr(node, "mode")]
    return rank == 4 or (rank == 5 and mode != 2)


@ops.op(
    "GridSample", needs=(SINGLE, SAME, condition("4 dimensions, or 5 unless cubic", is_supported_sampling))
)
def grid_sample(ts, node, x, grid):
    mode, border = MODES[attr(node, "mode")], BORDERS[attr(node, "padding_mode")]
    return f"torch.grid_sampler({x}, {grid}, {mode}, {border}, {flag(attr(node, 'align_corners'))})"


@ops.op("NonMaxSuppression", needs=(dtype("float"),))
def non_max_suppression(
    ts, node, boxes, scores, max_output_boxes=None, iou_threshold=None, score_threshold=None
):
    max_output_boxes = "0" if max_output_boxes is None else ts.int(node.inputs[2])
    iou_threshold = "0.0" if iou_threshold is None else f"float({iou_threshold})"
    score_threshold = "-inf" if score_threshold is None else f"float({score_threshold})"
    return ts.lib(
        "non_max_suppression",
        boxes,
        scores,
        max_output_boxes,
        iou_threshold,
        score_threshold,
        flag(attr(node, "center_point_box")),
    )


@ops.op("DFT", needs=(SINGLE, RANKED))
def dft(ts, node, x, length=None, axis=None):
    dim = "-2" if axis is None else ts.int(node.inputs[2])
    dft_length = "0" if length is None else ts.int(node.inputs[1])
    return ts.lib("dft", x, dft_length, dim, flag(attr(node, "inverse")), flag(attr(node, "onesided")))


@ops.op("STFT", needs=(SINGLE, RANKED))
def stft(ts, node, signal, step, window=None, length=None):
    count = "0" if length is None else ts.int(node.inputs[3])
    return ts.lib("stft", signal, ts.int(node.inputs[1]), window, count, flag(attr(node, "onesided")))


@ops.op("Col2Im", needs=(NUMBERS,))
def col2im(ts, node, x, image, block):
    lists = [ts.ints(v) for v in node.inputs[1:]]
    settings = [attr(node, name) or "annotate(List[int], [])" for name in ("strides", "dilations", "pads")]
    return ts.lib("col2im", x, *lists, *settings)
