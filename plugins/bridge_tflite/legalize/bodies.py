"""What the operators of TFLite's own domains mean, in ONNX: the function bodies a legalised model runs by.

A handler writes the body of one operator by its attributes, the dtypes and ranks of its inputs, and, where
SIZED names it, their shapes.
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
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first, to_last
from bridge.passes.rewrite import Rewrite
from bridge_tflite.export_ops.common import INTEGER, NHWC, TFLITE

bodies = OpTable()

INT32, INT64 = int(ir.DataType.INT32), int(ir.DataType.INT64)
FARTHEST = 2**31 - 1
QUANTIZATION = ("form", "scales", "zeros", "weight_scales", "weight_zero", "bias_scales")
SIZED = ("TransposeConv", "SpaceToBatch", "BatchToSpace")


class Legalise(Rewrite):
    """Rewrite into TFLite's own operators, and give them their bodies."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        result = super().call(model)
        if result.modified:
            give(model)
        return result


def give(model: ir.Model) -> None:
    """Give each operator of TFLite's domains the body for its attributes and inputs; the overload names it."""
    for node in hub.all_nodes(model):
        if node.domain not in (TFLITE, INTEGER):
            continue
        node.overload = ""
        rule = bodies.find(hub.qualified(node), node) or (
            bodies.find(INTEGER, node) if node.domain == INTEGER else None
        )
        if rule is None:
            continue
        node.overload = _described(node)
        if node.op_identifier() not in model.functions:
            model.functions[node.op_identifier()] = _body(node, rule.handler)
        model.graph.opset_imports[node.domain] = 1


def _described(node: ir.Node) -> str:
    """What a body depends on."""
    inputs = [
        "" if v is None else f"{v.dtype.name.lower() if v.dtype else ''}{_dims(node, v)}" for v in node.inputs
    ]
    attributes = [f"{name}={attr(node, name)}" for name in sorted(node.attributes)]
    return " ".join([",".join(inputs), f"{len(node.outputs)}", *attributes])


def _dims(node: ir.Node, value: ir.Value) -> Any:
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


def indices(op: Any, value: ir.Value) -> Any:
    """A tensor of int32 as int64."""
    return op.Cast(value, to=INT64)


def ints(op: Any, *values: int) -> ir.Value:
    return op.const(np.array(values, np.int64))


def activated(op: Any, node: ir.Node, y: ir.Value) -> Any:
    """`y` after the activation that `node` has taken in."""
    match attr(node, "activation"):
        case "Relu":
            return op.Relu(y)
        case "Relu6":
            return op.Clip(y, 0.0, 6.0)
    return y


def channels_last(op: Any, node: ir.Node, x: ir.Value, *rest: Any, **attributes: Any) -> Any:
    """The ONNX operator of the name of `node`, or of `kind`, on an image whose channels come last."""
    rank = rank_of(node.inputs[0]) or 0
    kind = attributes.pop("kind", node.op_type)
    made = op.node(kind, op.Transpose(x, perm=to_first(rank)), *rest, **attributes)
    return op.Transpose(made, perm=to_last(rank))


def kept(node: ir.Node) -> dict[str, Any]:
    """The attributes that are ONNX's."""
    return {name: attr(node, name) for name in node.attributes if name not in ("activation", *QUANTIZATION)}


@bodies.op(*(f"{TFLITE}::{name}" for name in ("Add", "Sub", "Mul", "Div")))
def arithmetic(op, node, x, y):
    return activated(op, node, op.node(node.op_type, x, y))


def dilated(node: ir.Node) -> bool:
    return set(attr(node, "dilations") or [1]) != {1}


@bodies.op(f"{TFLITE}::Conv")
def conv(op, node, x, weights, bias=None):
    """ONNX Runtime pads a dilated window by auto_pad as if it were not dilated."""
    given = kept(node)
    if dilated(node) and given["auto_pad"] == "SAME_UPPER":
        pads = [(0, 0), *pads_of(node, lengths(op, x)[1:-1]), (0, 0)]
        x = op.Pad(x, vector(op, [pair[side] for side in (0, 1) for pair in pads]))
        given["auto_pad"] = "VALID"
    return activated(op, node, channels_last(op, node, x, weights, bias, **given))


@bodies.op(f"{TFLITE}::FullyConnected")
def fully_connected(op, node, x, weights, bias=None):
    made = op.MatMul(x, op.Transpose(weights, perm=[1, 0]))
    return activated(op, node, made if bias is None else op.Add(made, bias))


@bodies.op(f"{TFLITE}::TransposeConv")
def transpose_conv(op, node, x, weights, shape, bias=None):
    """SAME cuts off as much behind as before, or one more; beyond the reach of the kernel is the bias."""
    sizes, asked = list(node.inputs[0].shape)[1:-1], attr(node, "output_shape")
    kernel, strides = shape_of(node.inputs[1])[2:], attr(node, "strides")
    free = [(n - 1) * s + k - a for n, s, k, a in zip(sizes, strides, kernel, asked, strict=True)]
    cut = [max(f, 0) for f in free]
    before = [c // 2 if attr(node, "auto_pad") == "SAME_UPPER" else 0 for c in cut]
    made = channels_last(
        op,
        node,
        x,
        weights,
        bias,
        kind="ConvTranspose",
        strides=strides,
        pads=[*before, *(c - b for c, b in zip(cut, before, strict=True))],
        output_padding=[max(-f, 0) for f in free],
    )
    return activated(op, node, made)


@bodies.op(f"{TFLITE}::ResizeBilinear", f"{TFLITE}::ResizeNearestNeighbor")
def resize(op, node, x, size):
    mode = "align_corners" if attr(node, "align_corners") else "asymmetric"
    mode = "half_pixel" if attr(node, "half_pixel_centers") else mode
    kind = (
        {"mode": "linear"}
        if node.op_type == "ResizeBilinear"
        else {"mode": "nearest", "nearest_mode": "floor"}
    )
    whole = op.Concat(op.Gather(op.Shape(x), ints(op, 0, 3)), indices(op, size), axis=0)
    return channels_last(
        op, node, x, None, None, whole, kind="Resize", coordinate_transformation_mode=mode, **kind
    )


@bodies.op(f"{TFLITE}::LRN")
def lrn(op, node, x):
    size = 2 * attr(node, "radius") + 1
    given = {name: attr(node, name) for name in ("beta", "bias")}
    return channels_last(op, node, x, size=size, alpha=attr(node, "alpha") * size, **given)


@bodies.op(f"{TFLITE}::BatchMatMul")
def batch_matmul(op, node, x, y):
    rank = rank_of(y)
    turned = [*range(rank - 2), rank - 1, rank - 2]
    return op.MatMul(x, op.Transpose(y, perm=turned) if attr(node, "adj_y") else y)


@bodies.op(f"{TFLITE}::SpaceToBatch")
def space_to_batch(op, node, x):
    batch, *sizes, channels = (int(d) for d in node.inputs[0].shape)
    block = attr(node, "block")
    parts = [n for pair in zip(sizes, block, strict=True) for n in (pair[0] // pair[1], pair[1])]
    cut = op.Reshape(x, ints(op, batch, *parts, channels))
    count = len(block)
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), 2 * count + 1]
    return op.Reshape(
        op.Transpose(cut, perm=order), ints(op, batch * math.prod(block), *parts[::2], channels)
    )


@bodies.op(f"{TFLITE}::BatchToSpace")
def batch_to_space(op, node, x):
    batch, *sizes, channels = (int(d) for d in node.inputs[0].shape)
    block = attr(node, "block")
    count = len(block)
    rest = batch // math.prod(block)
    cut = op.Reshape(x, ints(op, *block, rest, *sizes, channels))
    order = [count, *(i for axis in range(count) for i in (count + 1 + axis, axis)), 2 * count + 1]
    whole = [n * b for n, b in zip(sizes, block, strict=True)]
    return op.Reshape(op.Transpose(cut, perm=order), ints(op, rest, *whole, channels))


@bodies.op(f"{TFLITE}::Suppress")
def suppress(op, node, boxes, scores, most, overlap, threshold):
    """A box goes from the overlap on: ONNX suppresses above it."""
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    chosen = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(op, 0)),
        op.Unsqueeze(scores, ints(op, 0, 1)),
        indices(op, most),
        op.Mul(overlap, below),
        threshold,
    )
    places = op.Cast(op.Gather(chosen, op.const(np.array(2)), axis=1), to=INT32)
    return places, op.Cast(op.Size(places), to=INT32)


@bodies.op(f"{TFLITE}::Relu6")
def relu6(op, node, x):
    return op.Clip(x, 0.0, 6.0)


@bodies.op(f"{TFLITE}::Rsqrt")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@bodies.op(f"{TFLITE}::SquaredDifference")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@bodies.op(f"{TFLITE}::RightShift")
def right_shift(op, node, x, y):
    """Of signed numbers it is the quotient rounded down."""
    if x.dtype.name.startswith("U"):
        wide = [op.Cast(v, to=int(ir.DataType.UINT64)) for v in (x, y)]
        return op.Cast(op.BitShift(*wide, direction="RIGHT"), to=int(x.dtype))
    number, power = indices(op, x), op.Pow(op.const(np.array(2)), indices(op, y))
    return op.Cast(op.Div(op.Sub(number, op.Mod(number, power)), power), to=int(x.dtype))


@bodies.op(f"{TFLITE}::FloorMod")
def floor_mod(op, node, x, y):
    """The remainder has the sign of the divisor."""
    if not x.dtype.is_floating_point():
        return op.Mod(x, y)
    rest, none = op.Mod(x, y, fmod=1), op.const(0, x.dtype)
    other = op.Xor(op.Less(rest, none), op.Less(y, none))
    return op.Where(op.And(other, op.Not(op.Equal(rest, none))), op.Add(rest, y), rest)


@bodies.op(f"{TFLITE}::Atan2")
def atan2(op, node, y, x):
    zero, half, whole = (op.const(n, x.dtype) for n in (0, np.pi / 2, np.pi))
    below = op.Less(y, zero)
    steep = op.Where(op.Equal(y, zero), zero, op.Where(below, op.Neg(half), half))
    level = op.Atan(op.Div(y, x))
    behind = op.Where(below, op.Sub(level, whole), op.Add(level, whole))
    return op.Where(op.Equal(x, zero), steep, op.Where(op.Less(x, zero), behind, level))


@bodies.op(f"{TFLITE}::And")
def bitwise_and(op, node, x, y):
    return op.BitwiseAnd(x, y)


@bodies.op(*(f"{TFLITE}::Reduce{name}" for name in ("Mean", "Sum", "Prod", "Max", "Min")))
def reduce(op, node, x, axes):
    return op.node(node.op_type, x, indices(op, axes), keepdims=attr(node, "keepdims"))


@bodies.op(f"{TFLITE}::ReduceAny", f"{TFLITE}::ReduceAll")
def reduce_logical(op, node, x, axes=None):
    kind = "ReduceMax" if node.op_type == "ReduceAny" else "ReduceMin"
    named = None if axes is None else indices(op, axes)
    found = op.node(kind, op.Cast(x, to=INT32), named, keepdims=attr(node, "keepdims"))
    return op.Cast(found, to=int(ir.DataType.BOOL))


@bodies.op(f"{TFLITE}::Reshape")
def reshape(op, node, x, shape):
    return op.Reshape(x, indices(op, shape), allowzero=1)


@bodies.op(f"{TFLITE}::ExpandDims")
def expand_dims(op, node, x):
    return op.Unsqueeze(x, ints(op, attr(node, "axis")))


@bodies.op(f"{TFLITE}::BroadcastTo", f"{TFLITE}::Fill")
def broadcast_to(op, node, x, shape):
    return op.Expand(x, indices(op, shape))


@bodies.op(f"{TFLITE}::BroadcastArgs")
def broadcast_args(op, node, x, y):
    """The shorter shape begins with ones; a length of one gives way to the other."""
    counts = [op.Shape(v) for v in (x, y)]
    most = op.Max(*counts)
    ends = [op.Concat(op.Sub(most, count), ints(op, 0), axis=0) for count in counts]
    one = op.const(1, x.dtype)
    first, second = (op.Pad(v, end, one) for v, end in zip((x, y), ends, strict=True))
    return op.Where(op.Equal(first, one), second, first)


@bodies.op(f"{TFLITE}::Gather")
def gather(op, node, x, at):
    return op.Gather(x, at, axis=attr(node, "axis"))


@bodies.op(f"{TFLITE}::GatherND")
def gather_nd(op, node, x, at):
    return op.GatherND(x, indices(op, at))


@bodies.op(f"{TFLITE}::ScatterND")
def scatter_nd(op, node, updates, at, shape):
    """Updates of one place are added up."""
    small = updates.dtype.bitwidth < 32 and not updates.dtype.is_floating_point()
    parts = op.Cast(updates, to=INT32) if small else updates
    kind = ir.DataType.INT32 if small else updates.dtype
    empty = op.ConstantOfShape(indices(op, shape), value=ir.tensor(np.zeros(1, kind.numpy())))
    made = op.ScatterND(empty, indices(op, at), parts, reduction="add")
    return op.Cast(made, to=int(updates.dtype)) if small else made


@bodies.op(*(f"{TFLITE}::Segment{name}" for name in ("Prod", "Max", "Min")))
def segment(op, node, x, ids, count):
    kind = node.op_type.removeprefix("Segment").lower()
    number = x.dtype.numpy()
    info = np.finfo(number) if x.dtype.is_floating_point() else np.iinfo(number)
    start = op.const(np.array({"prod": 1, "max": info.min, "min": info.max}[kind], number))
    sizes = op.Concat(op.Reshape(indices(op, count), ints(op, 1)), op.Shape(x, start=1), axis=0)
    at = op.Unsqueeze(indices(op, ids), ints(op, 1))
    return op.ScatterND(op.Expand(start, sizes), at, x, reduction={"prod": "mul"}.get(kind, kind))


@bodies.op(f"{TFLITE}::StridedSlice")
def strided_slice(op, node, x, begin, end, strides):
    """A masked bound is the first or the last in the direction of the stride."""
    axes, forward = range(rank_of(x)), op.Greater(strides, op.const(0, strides.dtype))
    bounds = []
    for value, name, ends in ((begin, "begin_mask", (0, FARTHEST)), (end, "end_mask", (FARTHEST, -FARTHEST))):
        mask, bound = attr(node, name) or 0, indices(op, value)
        if mask:
            edge = op.Where(forward, *(ints(op, e) for e in ends))
            bound = op.Where(op.const(np.array([bool(mask >> axis & 1) for axis in axes])), edge, bound)
        bounds.append(bound)
    return op.Slice(x, *bounds, ints(op, *axes), indices(op, strides))


@bodies.op(f"{TFLITE}::Pad", f"{TFLITE}::MirrorPad")
def pad(op, node, x, pads, value=None):
    """`pads` is a row of two for each dimension."""
    amounts = op.Reshape(op.Transpose(indices(op, pads), perm=[1, 0]), ints(op, -1))
    return op.Pad(x, amounts, value, mode="reflect" if node.op_type == "MirrorPad" else "constant")


@bodies.op(f"{TFLITE}::Where")
def where(op, node, x):
    return op.Transpose(op.NonZero(x), perm=[1, 0])


@bodies.op(f"{TFLITE}::TopK")
def top_k(op, node, x, k):
    values, places = op.TopK(x, op.Reshape(indices(op, k), ints(op, 1)), _outputs=2)
    return values, op.Cast(places, to=INT32)


@bodies.op(f"{TFLITE}::Unique")
def unique(op, node, x):
    values, _, inverse, _ = op.Unique(x, sorted=0, _outputs=4)
    return values, inverse


@bodies.op(f"{TFLITE}::RandomUniform", f"{TFLITE}::RandomNormal")
def random(op, node, shape):
    seed = attr(node, "seed")
    empty = op.Expand(op.const(np.zeros(1, np.float32)), indices(op, shape))
    return op.node(f"{node.op_type}Like", empty, seed=None if seed is None else float(seed))


@bodies.op(f"{INTEGER}::Quantize")
def quantize(op, node, x):
    data = _dequantized(op, node, [x])[0] if len(attr(node, "scales")) > 1 else x
    return _quantized(op, node, [data])[0]


@bodies.op(f"{INTEGER}::Dequantize")
def dequantize(op, node, x):
    return _dequantized(op, node, [x])[0]


@bodies.op(INTEGER)
def integer(op, node, *inputs):
    """The operator on the numbers its integers stand for."""
    form, count = attr(node, "form"), len(attr(node, "scales")) - len(node.outputs)
    data = [*_dequantized(op, node, inputs[:count]), *inputs[count:]]
    if attr(node, "weight_scales") is not None:
        data = _layer(op, node, data)
    elif form == f"{TFLITE}::Pad" and len(data) > 2:
        data[2] = _dequantized(op, node, data[2:])[0]
    if form.startswith(f"{TFLITE}::"):
        made = bodies.find(form, node).handler(op, node, *data)
    elif form.startswith(f"{NHWC}::"):
        made = channels_last(op, node, *data, **kept(node))
    else:
        made = op.node(form, *data, _outputs=len(node.outputs), **kept(node))
    made = _quantized(op, node, made if isinstance(made, tuple) else [made])
    return made


def _dequantized(op: Any, node: ir.Node, values: Any) -> list[Any]:
    pairs = zip(values, attr(node, "scales"), attr(node, "zeros"), strict=False)
    return [
        op.DequantizeLinear(v, op.const(np.array(s, np.float32)), op.const(np.array(z, v.dtype.numpy())))
        for v, s, z in pairs
    ]


def _quantized(op: Any, node: ir.Node, values: Any) -> list[Any]:
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


def _layer(op: Any, node: ir.Node, data: list[Any]) -> list[Any]:
    """Weights, scaled along axis 1 where the layer is transposed, else along 0; and the bias, which is last."""
    scales, rank = np.array(attr(node, "weight_scales"), np.float32), rank_of(node.inputs[1]) or 0
    shape = [1] * rank
    shape[1 if node.op_type == "TransposeConv" else 0] = -1
    moved = op.Sub(op.Cast(data[1], to=1), float(attr(node, "weight_zero") or 0))
    weights = op.Mul(moved, op.const(scales.reshape(shape)))
    steps = op.const(np.array(attr(node, "bias_scales"), np.float32))
    return [data[0], weights, *data[2:-1], op.Mul(op.Cast(data[-1], to=1), steps)]
