"""Layers: which are images, fully connected layers, padding, and fused activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, product, reshape, vector
from bridge.geometry import is_same, pads_of, plain_resize, same_at_run_time, transposed_pads, window_of
from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first, to_last
from bridge_tflite.export_ops.common import BLOCKS, NHWC, TFLITE
from bridge_tflite.export_ops.nn import padded
from bridge_tflite.legalize.bodies import dilated, give
from bridge_tflite.legalize.ranges import never_negative

ops = OpTable()

INT32 = int(ir.DataType.INT32)
BLOCK_TYPES = tuple(ir.DataType[name.upper()] for name in BLOCKS)
BATCH_TYPES = (*BLOCK_TYPES, ir.DataType.INT16)


def constant_weights(node: ir.Node) -> bool:
    x, array = node.inputs[0], const(node.inputs[1])
    return (
        array is not None and array.ndim == 2 and x.dtype == ir.DataType.FLOAT and 2 <= (rank_of(x) or 0) <= 8
    )


@ops.op("MatMul", needs=(condition("constant weights of two dimensions", constant_weights),))
def fully_connected(op, node, x, weights):
    """Constant weights make a fully connected layer; a bias added to it alone goes in too."""
    array = const(weights)
    turned = op.const(np.ascontiguousarray(array.T))
    bias = added_bias(node, array.shape[1])
    if bias is None:
        return op.FullyConnected(x, turned, _domain=TFLITE)
    add, value = bias
    made = op.FullyConnected(x, turned, op.const(const(value).reshape(-1)), _domain=TFLITE)
    total = add.outputs[0]
    made.type, made.shape = total.type, total.shape
    ir.convenience.replace_all_uses_with(total, made, replace_graph_outputs=True)
    made.name, total.name = total.name, None
    op.graph.remove(add, safe=True)
    return made


def added_bias(node: ir.Node, width: int) -> tuple[ir.Node, Any] | None:
    """The Add that alone reads a product and adds a constant to each of `width` columns, and that constant."""
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    add = next(iter(uses)).node
    if add.op_type != "Add" or add.domain:
        return None
    other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    array = const(other)
    fits = (
        array is not None
        and array.size == width
        and array.shape[-1:] == (width,)
        and array.ndim <= (rank_of(add.outputs[0]) or 0)
    )
    return (add, other) if fits else None


def swapped(value: ir.Value) -> bool:
    """Whether a Transpose of nothing but the last two dimensions makes `value`."""
    made, rank = value.producer(), rank_of(value) or 0
    if made is None or made.op_type != "Transpose" or made.domain or rank < 2:
        return False
    return attr(made, "perm") == [*range(rank - 2), rank - 1, rank - 2]


def turned(node: ir.Node) -> bool:
    """A product of two to four dimensions, not empty, by a transposed right operand."""
    ranks = [rank_of(v) or 0 for v in node.inputs]
    return min(ranks) >= 2 and max(ranks) <= 4 and not empty(node) and swapped(node.inputs[1])


def empty(node: ir.Node) -> bool:
    return any(0 in list(v.shape or ()) for v in node.inputs if v is not None)


@ops.op(
    "MatMul",
    needs=(
        dtype("float"),
        condition("more than 5 dimensions", lambda n: max(rank_of(v) or 0 for v in n.inputs) > 5),
        condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2),
    ),
)
def many_matrices(op, node, x, y):
    """All dimensions but the last two as one."""
    rank = max(rank_of(x), rank_of(y))
    sizes = [[1] * (rank - rank_of(v)) + lengths(op, v) for v in (x, y)]
    batch = [_broadcast(op, *pair) for pair in zip(*(s[:-2] for s in sizes), strict=True)]
    flat = [
        reshape(op, op.Expand(v, vector(op, [*batch, *s[-2:]])), [product(op, batch), *s[-2:]])
        for v, s in zip((x, y), sizes, strict=True)
    ]
    return reshape(op, op.MatMul(*flat), [*batch, sizes[0][-2], sizes[1][-1]])


def _broadcast(op: Any, one: Any, other: Any) -> Any:
    """The length that two lengths are broadcast to."""
    if 1 in (one, other):
        return other if one == 1 else one
    return next((n for n in (one, other) if isinstance(n, int)), None) or op.Max(one, other)


@ops.op("MatMul", needs=(dtype("float"), condition("a transposed right operand", turned)))
def batch_matmul(op, node, x, y):
    """The kernel reads the right operand transposed as well."""
    source = y.producer().inputs[0]
    return op.BatchMatMul(x, source, _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape, adj_y=1)


def _reshaped(node: ir.Node) -> list[int] | None:
    """The static shape of a Reshape's result."""
    asked = const(node.inputs[1])
    known = asked is not None and bool((asked > 0).all())
    return asked.tolist() if known else shape_of(node.outputs[0])


def blocked(node: ir.Node) -> tuple[str, Any, list[Any]] | None:
    """SpaceToBatch or BatchToSpace, its input and block, where Reshape, Transpose and `node` are one."""
    turn = node.inputs[0].producer() if node.inputs[0] is not None else None
    cut = turn.inputs[0].producer() if turn is not None and turn.op_type == "Transpose" else None
    if cut is None or cut.op_type != "Reshape" or turn.domain or cut.domain:
        return None
    shapes = [shape_of(cut.inputs[0]), shape_of(cut.outputs[0]), _reshaped(node)]
    if any(s is None or 0 in s for s in shapes):
        return None
    before, between, after = shapes
    rank, perm = len(before), attr(turn, "perm")
    count = len(between) - rank
    if count not in (1, 2) or rank != count + 2 or len(after) != rank:
        return None
    pairs = list(range(1, 2 * count, 2))
    if perm == [*(i + 1 for i in pairs), 0, *pairs, 2 * count + 1]:
        block = [between[i + 1] for i in pairs]  # type: ignore[index]
        whole = [between[0], *(between[i] * b for i, b in zip(pairs, block, strict=True)), between[-1]]  # type: ignore[index]
        parts = [between[0] * math.prod(block), *(between[i] for i in pairs), between[-1]]  # type: ignore[index]
        return ("SpaceToBatch", cut.inputs[0], block) if (before, after) == (whole, parts) else None
    if perm == [count, *(v for i in range(count) for v in (count + 1 + i, i)), 2 * count + 1]:
        block, rest = between[:count], between[count:]  # type: ignore[index]
        whole = [rest[0], *(r * b for r, b in zip(rest[1:-1], block, strict=True)), rest[-1]]
        parts = [rest[0] * math.prod(block), *rest[1:]]
        return ("BatchToSpace", cut.inputs[0], block) if (before, after) == (parts, whole) else None
    return None


@ops.op(
    "Reshape", needs=(condition("blocks moved between space and batch", lambda n: blocked(n) is not None),)
)
def blocks(op, node, x, shape):
    word, source, block = blocked(node)
    if source.dtype not in BATCH_TYPES:
        return NotImplemented
    return op.node(
        word, source, _domain=TFLITE, _dtype=source.dtype, _shape=node.outputs[0].shape, block=block
    )


def odd(node: ir.Node) -> bool:
    return (
        attr(node, "size") % 2 == 1 and rank_of(node.inputs[0]) == 4 and 0 not in list(node.inputs[0].shape)
    )


@ops.op("LRN", needs=(condition("four dimensions and an odd size", odd), dtype("float")))
def local_response(op, node, x):
    """LiteRT sums along the last dimension; its alpha is of each element, ONNX's of their mean."""
    size = attr(node, "size")
    turned = op.Transpose(x, perm=[0, 2, 3, 1])
    made = op.LRN(
        turned,
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=turned.shape,
        radius=size // 2,
        alpha=attr(node, "alpha") / size,
        beta=attr(node, "beta"),
        bias=attr(node, "bias"),
    )
    return op.Transpose(made, perm=[0, 3, 1, 2])


@ops.op(f"{NHWC}::Conv", f"{NHWC}::MaxPool", f"{NHWC}::AveragePool")
def padding(op, node, x, *rest):
    """Padding becomes what auto_pad alone says, with a Pad before where that is too little: of zeros where they
    change no maximum, which XNNPACK fuses."""
    plan = pad_plan(node, list(x.shape[1:-1]))
    own = node.op_type == "Conv" and dilated(node)
    if plan is None or (padded(node) and plan[0] == attr(node, "auto_pad") and not own):
        return NotImplemented
    word, pads = plan
    dropped = ("pads", "auto_pad", "ceil_mode", "count_include_pad")
    kept = {name: attr(node, name) for name in node.attributes if name not in dropped}
    if word == "VALID" and any(pads):
        table = np.array([[0, 0], *np.reshape(pads, (2, -1)).T, [0, 0]], np.int32)
        below = node.op_type == "MaxPool" and not never_negative(node.inputs[0])
        lowest = op.const(np.finfo(np.float32).min) if below else None
        dims = [d + int(sum(t)) if isinstance(d, int) else None for d, t in zip(x.shape, table, strict=True)]
        x = op.Pad(x, op.const(table), lowest, _domain=TFLITE, _dtype=x.dtype, _shape=dims)
    made = ir.Node(
        TFLITE if own else NHWC,
        node.op_type,
        [x, *rest],
        ir.convenience.convert_attributes({**kept, "auto_pad": word}),
        overload="" if own else node.overload,
        num_outputs=1,
    )
    made.outputs[0].type, made.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    return op.insert(made)


def pad_plan(node: ir.Node, sizes: list) -> tuple[str, list[int]] | None:
    """auto_pad: SAME_UPPER, or VALID after padding by [top, left, bottom, right], with front and back in volumes;
    None for what LiteRT cannot say.

    Of lengths known at run time alone SAME_UPPER is what auto_pad says; how much that is stays open.
    """
    if same_at_run_time(node, sizes):
        return "SAME_UPPER", []
    window, pads = window_of(node), pads_of(node, sizes, ceil=True)
    if window is None or pads is None or any(min(pair) < 0 for pair in pads):
        return None
    flat = [pair[side] for side in (0, 1) for pair in pads]
    if not any(flat):
        return "VALID", flat
    same = is_same(pads, window, sizes)
    if node.op_type != "AveragePool":
        return ("SAME_UPPER" if same else "VALID"), flat
    if pads != pads_of(node, sizes):
        return None
    if attr(node, "count_include_pad"):
        return None if attr(node, "ceil_mode") else ("VALID", flat)
    return ("SAME_UPPER", flat) if same else None


@ops.op(f"{NHWC}::ConvTranspose")
def conv_transpose(op, node, x, weights, bias=None):
    """TRANSPOSE_CONV to a size that it is told; what its padding cannot say is cut off behind it."""
    word, sizes, cut = transposed_plan(node, list(x.shape[1:-1]))
    channels = shape_of(weights)[1]
    batch = x.shape[0] if isinstance(x.shape[0], int) else op.Shape(x, end=1)
    shape = vector(op, [batch, *sizes, channels])
    made = op.TransposeConv(
        x,
        weights,
        op.const(const(shape).astype(np.int32)) if const(shape) is not None else op.Cast(shape, to=INT32),
        bias,
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=[x.shape[0], *sizes, channels],
        strides=attr(node, "strides") or [1] * len(sizes),
        auto_pad=word,
        output_shape=sizes,
    )
    if cut is None:
        return made
    begins, kept = cut
    ends = [first + length for first, length in zip(begins, kept, strict=True)]
    return op.Slice(made, begins, ends, [*range(1, len(sizes) + 1)])


def transposed_plan(node: ir.Node, sizes: list) -> tuple[str, list[int], Any] | None:
    """auto_pad (SAME_UPPER or VALID), the size to compute, and what to keep of it: (begin, lengths), None for all.

    None instead of a plan for what TRANSPOSE_CONV does not compute.
    """
    kernel = (shape_of(node.inputs[1]) or [])[2:]
    rank = len(sizes)
    strides, more = attr(node, "strides") or [1] * rank, attr(node, "output_padding") or [0] * rank
    pairs = transposed_pads(node, sizes)
    if pairs is None or any(min(pair) < 0 for pair in pairs):
        return None
    pads = [pair[side] for side in (0, 1) for pair in pairs]
    full = [(n - 1) * s + k for n, k, s in zip(sizes, kernel, strides, strict=True)]
    out = [f - pads[i] - pads[i + rank] + more[i] for i, f in enumerate(full)]
    if min(out) < 1 or out != (attr(node, "output_shape") or out):
        return None
    same = [max((n - 1) * s + k - o, 0) // 2 for n, k, s, o in zip(sizes, kernel, strides, out, strict=True)]
    if same == pads[:rank] and all(-(-o // s) == n for n, s, o in zip(sizes, strides, out, strict=True)):
        return "SAME_UPPER", out, None
    whole = [max(f, pads[i] + out[i]) for i, f in enumerate(full)]
    if any((w - k + s) // s != n for n, w, k, s in zip(sizes, whole, kernel, strides, strict=True)):
        return None
    return "VALID", whole, None if whole == out else (pads[:rank], out)


images = OpTable()


def resized(node: ir.Node) -> bool:
    """What RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR compute."""
    x, y = shape_of(node.inputs[0]), plain_resize(node)
    if x is None or y is None or len(x) != 4 or x[:2] != y[:2]:
        return False
    mode, how = attr(node, "coordinate_transformation_mode"), attr(node, "mode")
    if how == "linear":
        return mode in ("half_pixel", "asymmetric", "align_corners")
    return how == "nearest" and mode == "asymmetric" and attr(node, "nearest_mode") == "floor"


STATIC_IMAGE = condition(
    "an image of known size, which RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR resizes", resized
)


@images.op("Resize", needs=(dtype("float"), STATIC_IMAGE))
def resize(op, node, x, *rest):
    """To a constant size, channels last."""
    mode = attr(node, "coordinate_transformation_mode")
    size = shape_of(node.outputs[0])
    made = op.node(
        "ResizeBilinear" if attr(node, "mode") == "linear" else "ResizeNearestNeighbor",
        op.Transpose(x, perm=to_last(4)),
        op.const(np.array(size[2:], np.int32)),
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=[size[0], *size[2:], size[1]],
        align_corners=int(mode == "align_corners"),
        half_pixel_centers=int(mode == "half_pixel"),
    )
    return op.Transpose(made, perm=to_first(4))


def as_image(node: ir.Node) -> bool:
    """Nodes a channels-last kernel of two spatial dimensions computes, convolutions of three among them."""
    x = node.inputs[0] if node.inputs else None
    claim = IMAGES.get(node.op_type)
    ranks = (4, 5) if node.op_type in VOLUMES else (4,)
    if claim is None or node.domain or x is None or rank_of(x) not in ranks:
        return False
    moved = node.op_type in ("DepthToSpace", "SpaceToDepth") and x.dtype in BLOCK_TYPES
    return (moved or x.dtype == ir.DataType.FLOAT) and claim(node, x)


def _window(node: ir.Node, x: Any) -> bool:
    unused = all(not (o.uses() or o.is_graph_output()) for o in node.outputs[1:])
    undilated = set(attr(node, "dilations") or [1]) == {1} or node.op_type == "Conv"
    return unused and undilated and 0 not in list(x.shape) and pad_plan(node, list(x.shape[2:])) is not None


def _conv(node: ir.Node, x: Any) -> bool:
    bias = input_at(node, 2)
    constant = const(node.inputs[1]) is not None and (bias is None or const(bias) is not None)
    single = rank_of(x) == 4 or attr(node, "group") == 1
    return constant and single and isinstance(x.shape[1], int) and _window(node, x)


def _transposed(node: ir.Node, x: Any) -> bool:
    weights, bias = node.inputs[1], input_at(node, 2)
    constant = const(weights) is not None and (bias is None or const(bias) is not None)
    plain = attr(node, "group") == 1 and set(attr(node, "dilations") or [1]) == {1}
    sizes = list(x.shape[2:])
    known = all(isinstance(d, int) and d > 0 for d in sizes)
    return constant and plain and known and transposed_plan(node, sizes) is not None


def _blocks(node: ir.Node, x: Any) -> bool:
    return attr(node, "mode") == "DCR" and 0 not in list(x.shape)


VOLUMES = ("Conv", "ConvTranspose")
IMAGES = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "MaxPool": _window,
    "AveragePool": _window,
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
}


ACTIVATIONS = {"Relu": "Relu", f"{TFLITE}::Relu6": "Relu6"}
HOSTS = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    f"{NHWC}::Conv",
    *(f"{TFLITE}::{name}" for name in ("Conv", "FullyConnected", "TransposeConv")),
)


class FuseActivations(ir.passes.InPlacePass):
    """1. A Relu or Relu6 that alone reads an Add, Sub, Mul, Div, convolution or fully connected layer becomes the
    attribute `activation` of its form in TFLite's own domain.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = any([_fuse(model.graph, node) for node in list(model.graph)])
        if changed:
            give(model)
        return ir.passes.PassResult(model, changed)


def _fuse(graph: ir.Graph, node: ir.Node) -> bool:
    activation, inner = ACTIVATIONS.get(hub.qualified(node)), node.inputs[0] if node.inputs else None
    host = inner.producer() if activation is not None and inner is not None else None
    if inner is None or host is None or hub.qualified(host) not in HOSTS or inner.dtype != ir.DataType.FLOAT:
        return False
    if len(inner.uses()) > 1 or inner.is_graph_output() or attr(host, "activation") is not None:
        return False
    made = ir.Node(
        TFLITE,
        host.op_type,
        host.inputs,
        [*host.attributes.values(), ir.AttrString("activation", str(activation))],
        num_outputs=1,
        name=host.name,
        metadata_props=dict(host.metadata_props),
    )
    result, outer = made.outputs[0], node.outputs[0]
    result.type, result.shape = inner.type, inner.shape
    graph.insert_before(host, made)
    result.name, outer.name = outer.name, None
    ir.convenience.replace_all_uses_with(outer, result, replace_graph_outputs=True)
    graph.remove([node, host], safe=True)
    return True
