"""Function bodies in ONNX of the operators of TFLite's own domains, with which a legalised model runs.

A handler writes the body of one operator from its attributes, the dtypes and ranks of its inputs, and, for
the operators in SIZED, their shapes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, vector
from bridge.geometry import pads_of
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first, to_last
from bridge.passes.rewrite import Rewrite
from bridge_tflite.export_ops.common import INTEGER, NHWC, TFLITE

bodies = OpTable()

FLOAT, INT32, INT64 = (int(ir.DataType[name]) for name in ("FLOAT", "INT32", "INT64"))
FARTHEST = 2**31 - 1
QUANTIZATION = ("form", "scales", "zeros", "weight_scales", "weight_zero", "bias_scales")
NUMBERS = condition("numbers", lambda n: n.inputs[0].dtype != ir.DataType.STRING)
SIZED = ("TransposeConv", "SpaceToBatch", "BatchToSpace")


class Legalise(Rewrite):
    """Rewrite into TFLite's own operators, and add their function bodies."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        result = super().call(model)
        if result.modified:
            add_bodies(model)
        return result


def add_bodies(model: ir.Model) -> None:
    """Add a function body for each operator of TFLite's own domains; its overload identifies attributes and
    inputs."""
    for node in hub.all_nodes(model):
        if node.domain not in (TFLITE, INTEGER):
            continue
        node.overload = ""
        rule = bodies.find(hub.qualified(node), node) or (
            bodies.find(INTEGER, node) if node.domain == INTEGER else None
        )
        if rule is None:
            continue
        node.overload = _overload(node)
        if node.op_identifier() not in model.functions:
            model.functions[node.op_identifier()] = _body(node, rule.handler)
        model.graph.opset_imports[node.domain] = 1


def _overload(node: ir.Node) -> str:
    """Overload name: dtypes and ranks of the inputs (shapes for SIZED), number of outputs, attributes."""
    inputs = [
        "" if v is None else f"{v.dtype.name.lower() if v.dtype else ''}{_shape_key(node, v)}"
        for v in node.inputs
    ]
    attributes = [f"{name}={attr(node, name)}" for name in sorted(node.attributes)]
    return " ".join([",".join(inputs), f"{len(node.outputs)}", *attributes])


def _shape_key(node: ir.Node, value: ir.Value) -> Any:
    return list(value.shape or []) if node.op_type in SIZED else rank_of(value)


def _body(node: ir.Node, handler: Any) -> ir.Function:
    inputs = [ir.Value(name=f"x{i}") for i in range(len(node.inputs))]
    for value, outer in zip(inputs, node.inputs, strict=True):
        if outer is not None:
            value.type = outer.type
            value.shape = None if outer.shape is None else ir.Shape([None] * len(outer.shape))
    graph = ir.Graph(inputs, [], nodes=[], opset_imports={"": hub.HUB_OPSET})
    attributes = [ir.Attr(a.name, a.type, None) for a in node.attributes.values()]
    function = ir.Function(node.domain, node.op_type, node.overload, graph=graph, attributes=attributes)
    op = hub.Builder(function)
    present = [v if outer is not None else None for v, outer in zip(inputs, node.inputs, strict=True)]
    results = handler(op, node, *present)
    function.outputs.extend(results if isinstance(results, (list, tuple)) else [results])
    for index, value in enumerate(v for n in graph for v in n.outputs):
        value.name = f"v{index}"
    for value in (*inputs, *(v for n in graph for v in n.outputs)):
        value.type = value.shape = None
    return function


def as_int64(op: Any, value: ir.Value) -> Any:
    """An int32 tensor as int64."""
    return op.Cast(value, to=INT64)


def ints(op: Any, *values: int) -> ir.Value:
    return op.const(np.array(values, np.int64))


def apply_activation(op: Any, node: ir.Node, y: ir.Value) -> Any:
    """`y` after the fused activation of `node`."""
    match attr(node, "activation"):
        case "Relu":
            return op.Relu(y)
        case "Relu6":
            return op.Clip(y, 0.0, 6.0)
    return y


def in_channels_first(op: Any, node: ir.Node, x: ir.Value, *others: Any, **attributes: Any) -> Any:
    """Apply the ONNX operator `op_type` (by default that of `node`) to a channels-last image."""
    rank = rank_of(node.inputs[0]) or 0
    op_type = attributes.pop("op_type", node.op_type)
    result = op.node(op_type, op.Transpose(x, perm=to_first(rank)), *others, **attributes)
    return op.Transpose(result, perm=to_last(rank))


def onnx_attributes(node: ir.Node) -> dict[str, Any]:
    """Attributes of `node` that ONNX declares."""
    return {name: attr(node, name) for name in node.attributes if name not in ("activation", *QUANTIZATION)}


@bodies.op(*(f"{TFLITE}::{name}" for name in ("Add", "Sub", "Mul", "Div")))
def arithmetic(op, node, x, y):
    return apply_activation(op, node, op.node(node.op_type, x, y))


def is_dilated(node: ir.Node) -> bool:
    return set(attr(node, "dilations") or [1]) != {1}


@bodies.op(f"{TFLITE}::Conv")
def conv(op, node, x, weights, bias=None):
    """Dilated SAME is padded explicitly: ONNX Runtime ignores dilations when it computes `auto_pad`."""
    attributes = onnx_attributes(node)
    if is_dilated(node) and attributes["auto_pad"] == "SAME_UPPER":
        pads = [(0, 0), *pads_of(node, lengths(op, x)[1:-1]), (0, 0)]
        x = op.Pad(x, vector(op, [pair[side] for side in (0, 1) for pair in pads]))
        attributes["auto_pad"] = "VALID"
    return apply_activation(op, node, in_channels_first(op, node, x, weights, bias, **attributes))


@bodies.op(f"{TFLITE}::FullyConnected")
def fully_connected(op, node, x, weights, bias=None):
    product = op.MatMul(x, op.Transpose(weights, perm=[1, 0]))
    return apply_activation(op, node, product if bias is None else op.Add(product, bias))


@bodies.op(f"{TFLITE}::TransposeConv")
def transpose_conv(op, node, x, weights, shape, bias=None):
    """SAME crops equally at both ends, one more at the end if odd. Outputs that no input reaches have the
    value of the bias."""
    sizes, output_shape = list(node.inputs[0].shape)[1:-1], attr(node, "output_shape")
    kernel, strides = shape_of(node.inputs[1])[2:], attr(node, "strides")
    free = [(n - 1) * s + k - a for n, s, k, a in zip(sizes, strides, kernel, output_shape, strict=True)]
    cut = [max(f, 0) for f in free]
    before = [c // 2 if attr(node, "auto_pad") == "SAME_UPPER" else 0 for c in cut]
    result = in_channels_first(
        op,
        node,
        x,
        weights,
        bias,
        op_type="ConvTranspose",
        strides=strides,
        pads=[*before, *(c - b for c, b in zip(cut, before, strict=True))],
        output_padding=[max(-f, 0) for f in free],
    )
    return apply_activation(op, node, result)


@bodies.op(f"{TFLITE}::ResizeBilinear", f"{TFLITE}::ResizeNearestNeighbor")
def resize(op, node, x, size):
    mode = "align_corners" if attr(node, "align_corners") else "asymmetric"
    mode = "half_pixel" if attr(node, "half_pixel_centers") else mode
    interpolation = (
        {"mode": "linear"}
        if node.op_type == "ResizeBilinear"
        else {"mode": "nearest", "nearest_mode": "floor"}
    )
    sizes = op.Concat(op.Gather(op.Shape(x), ints(op, 0, 3)), as_int64(op, size), axis=0)
    return in_channels_first(
        op, node, x, None, None, sizes, op_type="Resize", coordinate_transformation_mode=mode, **interpolation
    )


@bodies.op(f"{TFLITE}::LRN")
def lrn(op, node, x):
    size = 2 * attr(node, "radius") + 1
    attributes = {name: attr(node, name) for name in ("beta", "bias")}
    return in_channels_first(op, node, x, size=size, alpha=attr(node, "alpha") * size, **attributes)


@bodies.op(f"{TFLITE}::BatchMatMul")
def batch_matmul(op, node, x, y):
    rank = rank_of(y)
    perm = [*range(rank - 2), rank - 1, rank - 2]
    return op.MatMul(x, op.Transpose(y, perm=perm) if attr(node, "adj_y") else y)


@bodies.op(f"{TFLITE}::SpaceToBatch")
def space_to_batch(op, node, x):
    batch, *sizes, channels = (int(d) for d in node.inputs[0].shape)
    block = attr(node, "block")
    split_dims = [n for pair in zip(sizes, block, strict=True) for n in (pair[0] // pair[1], pair[1])]
    blocked = op.Reshape(x, ints(op, batch, *split_dims, channels))
    count = len(block)
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), 2 * count + 1]
    return op.Reshape(
        op.Transpose(blocked, perm=order), ints(op, batch * math.prod(block), *split_dims[::2], channels)
    )


@bodies.op(f"{TFLITE}::BatchToSpace")
def batch_to_space(op, node, x):
    batch, *sizes, channels = (int(d) for d in node.inputs[0].shape)
    block = attr(node, "block")
    count = len(block)
    out_batch = batch // math.prod(block)
    blocked = op.Reshape(x, ints(op, *block, out_batch, *sizes, channels))
    order = [count, *(i for axis in range(count) for i in (count + 1 + axis, axis)), 2 * count + 1]
    out_sizes = [n * b for n, b in zip(sizes, block, strict=True)]
    return op.Reshape(op.Transpose(blocked, perm=order), ints(op, out_batch, *out_sizes, channels))


@bodies.op(f"{TFLITE}::Suppress")
def suppress(op, node, boxes, scores, max_output_size, iou_threshold, score_threshold):
    """LiteRT suppresses a box from the IoU threshold on, ONNX above it."""
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    selected = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(op, 0)),
        op.Unsqueeze(scores, ints(op, 0, 1)),
        as_int64(op, max_output_size),
        op.Mul(iou_threshold, below),
        score_threshold,
    )
    indices = op.Cast(op.Gather(selected, op.const(np.array(2)), axis=1), to=INT32)
    return indices, op.Cast(op.Size(indices), to=INT32)


@bodies.op(f"{TFLITE}::Relu6")
def relu6(op, node, x):
    return op.Clip(x, 0.0, 6.0)


@bodies.op(f"{TFLITE}::Exp")
def exp(op, node, x):
    return op.Exp(x)


@bodies.op(f"{TFLITE}::Rsqrt")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@bodies.op(f"{TFLITE}::SquaredDifference")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@bodies.op(f"{TFLITE}::RightShift")
def right_shift(op, node, x, y):
    """Signed integers are divided by a power of two, rounded down."""
    if x.dtype.name.startswith("U"):
        wide = [op.Cast(v, to=int(ir.DataType.UINT64)) for v in (x, y)]
        return op.Cast(op.BitShift(*wide, direction="RIGHT"), to=int(x.dtype))
    wide_x, power = as_int64(op, x), op.Pow(op.const(np.array(2)), as_int64(op, y))
    return op.Cast(op.Div(op.Sub(wide_x, op.Mod(wide_x, power)), power), to=int(x.dtype))


@bodies.op(f"{TFLITE}::FloorMod")
def floor_mod(op, node, x, y):
    """Remainder with the sign of the divisor."""
    if not x.dtype.is_floating_point():
        return op.Mod(x, y)
    remainder, zero = op.Mod(x, y, fmod=1), op.const(0, x.dtype)
    differ = op.Xor(op.Less(remainder, zero), op.Less(y, zero))
    return op.Where(op.And(differ, op.Not(op.Equal(remainder, zero))), op.Add(remainder, y), remainder)


@bodies.op(f"{TFLITE}::Atan2")
def atan2(op, node, y, x):
    zero, half_pi, pi = (op.const(n, x.dtype) for n in (0, np.pi / 2, np.pi))
    below = op.Less(y, zero)
    steep = op.Where(op.Equal(y, zero), zero, op.Where(below, op.Neg(half_pi), half_pi))
    level = op.Atan(op.Div(y, x))
    left = op.Where(below, op.Sub(level, pi), op.Add(level, pi))
    return op.Where(op.Equal(x, zero), steep, op.Where(op.Less(x, zero), left, level))


@bodies.op(f"{TFLITE}::And")
def bitwise_and(op, node, x, y):
    return op.BitwiseAnd(x, y)


@bodies.op(*(f"{TFLITE}::Reduce{name}" for name in ("Mean", "Sum", "Prod", "Max", "Min")))
def reduce(op, node, x, axes):
    return op.node(node.op_type, x, as_int64(op, axes), keepdims=attr(node, "keepdims"))


@bodies.op(f"{TFLITE}::ReduceAny", f"{TFLITE}::ReduceAll")
def reduce_logical(op, node, x, axes=None):
    reduction = "ReduceMax" if node.op_type == "ReduceAny" else "ReduceMin"
    named = None if axes is None else as_int64(op, axes)
    result = op.node(reduction, op.Cast(x, to=INT32), named, keepdims=attr(node, "keepdims"))
    return op.Cast(result, to=int(ir.DataType.BOOL))


@bodies.op(f"{TFLITE}::Reshape")
def reshape(op, node, x, shape):
    return op.Reshape(x, as_int64(op, shape), allowzero=1)


@bodies.op(f"{TFLITE}::ExpandDims")
def expand_dims(op, node, x):
    return op.Unsqueeze(x, ints(op, attr(node, "axis")))


@bodies.op(f"{TFLITE}::BroadcastTo", f"{TFLITE}::Fill")
def broadcast_to(op, node, x, shape):
    return op.Expand(x, as_int64(op, shape))


@bodies.op(f"{TFLITE}::BroadcastArgs")
def broadcast_args(op, node, x, y):
    """Broadcast shape of two shapes, each int32 [rank]."""
    counts = [op.Shape(v) for v in (x, y)]
    longest = op.Max(*counts)
    pads = [op.Concat(op.Sub(longest, count), ints(op, 0), axis=0) for count in counts]
    one = op.const(1, x.dtype)
    first, second = (op.Pad(v, end, one) for v, end in zip((x, y), pads, strict=True))
    return op.Where(op.Equal(first, one), second, first)


@bodies.op(f"{TFLITE}::Gather")
def gather(op, node, x, indices):
    return op.Gather(x, indices, axis=attr(node, "axis"))


@bodies.op(f"{TFLITE}::GatherND")
def gather_nd(op, node, x, indices):
    return op.GatherND(x, as_int64(op, indices))


@bodies.op(f"{TFLITE}::ScatterND", needs=(NUMBERS,))
def scatter_nd(op, node, updates, indices, shape):
    """Updates of equal indices are added."""
    small = updates.dtype.bitwidth < 32 and not updates.dtype.is_floating_point()
    values = op.Cast(updates, to=INT32) if small else updates
    dtype = ir.DataType.INT32 if small else updates.dtype
    empty = op.ConstantOfShape(as_int64(op, shape), value=ir.tensor(np.zeros(1, dtype.numpy())))
    scattered = op.ScatterND(empty, as_int64(op, indices), values, reduction="add")
    return op.Cast(scattered, to=int(updates.dtype)) if small else scattered


@bodies.op(*(f"{TFLITE}::Segment{name}" for name in ("Prod", "Max", "Min")))
def segment(op, node, x, ids, count):
    reduction = node.op_type.removeprefix("Segment").lower()
    dtype = x.dtype.numpy()
    info = np.finfo(dtype) if x.dtype.is_floating_point() else np.iinfo(dtype)
    start = op.const(np.array({"prod": 1, "max": info.min, "min": info.max}[reduction], dtype))
    sizes = op.Concat(op.Reshape(as_int64(op, count), ints(op, 1)), op.Shape(x, start=1), axis=0)
    indices = op.Unsqueeze(as_int64(op, ids), ints(op, 1))
    return op.ScatterND(
        op.Expand(start, sizes), indices, x, reduction={"prod": "mul"}.get(reduction, reduction)
    )


@bodies.op(f"{TFLITE}::StridedSlice")
def strided_slice(op, node, x, begin, end, strides):
    """A masked bound is the first or the last index in the direction of the stride."""
    axes, forward = range(rank_of(x)), op.Greater(strides, op.const(0, strides.dtype))
    bounds = []
    for value, name, limits in (
        (begin, "begin_mask", (0, FARTHEST)),
        (end, "end_mask", (FARTHEST, -FARTHEST)),
    ):
        mask, bound = attr(node, name) or 0, as_int64(op, value)
        if mask:
            edge = op.Where(forward, *(ints(op, e) for e in limits))
            bound = op.Where(op.const(np.array([bool(mask >> axis & 1) for axis in axes])), edge, bound)
        bounds.append(bound)
    return op.Slice(x, *bounds, ints(op, *axes), as_int64(op, strides))


@bodies.op(f"{TFLITE}::Pad", f"{TFLITE}::MirrorPad")
def pad(op, node, x, pads, value=None):
    """`pads` [rank, 2] holds the amounts before and after each dimension."""
    amounts = op.Reshape(op.Transpose(as_int64(op, pads), perm=[1, 0]), ints(op, -1))
    return op.Pad(x, amounts, value, mode="reflect" if node.op_type == "MirrorPad" else "constant")


@bodies.op(f"{TFLITE}::Where")
def where(op, node, x):
    return op.Transpose(op.NonZero(x), perm=[1, 0])


@bodies.op(f"{TFLITE}::TopK")
def top_k(op, node, x, k):
    values, indices = op.TopK(x, op.Reshape(as_int64(op, k), ints(op, 1)), _outputs=2)
    return values, op.Cast(indices, to=INT32)


@bodies.op(f"{TFLITE}::Unique")
def unique(op, node, x):
    values, _, inverse, _ = op.Unique(x, sorted=0, _outputs=4)
    return values, inverse


@bodies.op(f"{TFLITE}::RandomUniform", f"{TFLITE}::RandomNormal")
def random(op, node, shape):
    seed = attr(node, "seed")
    empty = op.Expand(op.const(np.zeros(1, np.float32)), as_int64(op, shape))
    return op.node(f"{node.op_type}Like", empty, seed=None if seed is None else float(seed))


@bodies.op(f"{INTEGER}::Quantize")
def quantize(op, node, x):
    data = _dequantize(op, node, [x])[0] if len(attr(node, "scales")) > 1 else x
    return _quantize(op, node, [data])[0]


@bodies.op(f"{INTEGER}::Dequantize")
def dequantize(op, node, x):
    return _dequantize(op, node, [x])[0]


@bodies.op(INTEGER)
def integer(op, node, *inputs):
    """Dequantize, apply the float operator, quantize."""
    form, count = attr(node, "form"), len(attr(node, "scales")) - len(node.outputs)
    data = [*_dequantize(op, node, inputs[:count]), *inputs[count:]]
    if attr(node, "weight_scales") is not None:
        data = _dequantize_layer(op, node, data)
    elif form == f"{TFLITE}::Pad" and len(data) > 2:
        data[2] = _dequantize(op, node, data[2:])[0]
    if form.startswith(f"{TFLITE}::"):
        results = bodies.find(form, node).handler(op, node, *data)
    elif form.startswith(f"{NHWC}::"):
        results = in_channels_first(op, node, *data, **onnx_attributes(node))
    else:
        results = op.node(form, *data, _outputs=len(node.outputs), **onnx_attributes(node))
    results = _quantize(op, node, results if isinstance(results, tuple) else [results])
    return results


def _dequantize(op: Any, node: ir.Node, values: Any) -> list[Any]:
    pairs = zip(values, attr(node, "scales"), attr(node, "zeros"), strict=False)
    return [
        op.DequantizeLinear(v, op.const(np.array(s, np.float32)), op.const(np.array(z, v.dtype.numpy())))
        for v, s, z in pairs
    ]


def _quantize(op: Any, node: ir.Node, values: Any) -> list[Any]:
    count = len(node.outputs)
    pairs = zip(
        values, node.outputs, attr(node, "scales")[-count:], attr(node, "zeros")[-count:], strict=True
    )
    return [
        op.QuantizeLinear(
            v, op.const(np.array(s, np.float32)), op.const(np.array(z, (o.dtype or v.dtype).numpy()))
        )
        for v, o, s, z in pairs
    ]


def _dequantize_layer(op: Any, node: ir.Node, data: list[Any]) -> list[Any]:
    """Operands of a layer in float32. Weights have a scale per channel of axis 1 if transposed, else of axis
    0; the bias is last."""
    scales, rank = np.array(attr(node, "weight_scales"), np.float32), rank_of(node.inputs[1]) or 0
    shape = [1] * rank
    shape[1 if node.op_type == "TransposeConv" else 0] = -1
    moved = op.Sub(op.Cast(data[1], to=FLOAT), float(attr(node, "weight_zero") or 0))
    weights = op.Mul(moved, op.const(scales.reshape(shape)))
    steps = op.const(np.array(attr(node, "bias_scales"), np.float32))
    return [data[0], weights, *data[2:-1], op.Mul(op.Cast(data[-1], to=FLOAT), steps)]
