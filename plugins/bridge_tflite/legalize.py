"""Hub → what TFLite holds: the visible list of passes, and the table of rewrites."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of, shape_of
from bridge.ops import OpTable
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.channels_last import ChannelsLast
from bridge.passes.gelu import RaiseGelu
from bridge.passes.recurrent import unroll
from bridge.passes.rewrite import Rewrite
from bridge.passes.transposes import SinkTransposes
from bridge_tflite.export_ops import FUSED

TFLITE = "bridge.tflite"
I64_MAX = 2**62

generic = OpTable("TFLite legalisation")
native = OpTable("TFLite operators")
generic.op("LSTM")(unroll)


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: patterns raised while whole; operators LiteRT lacks; channels last; what has a TFLite form; fusing."""
    boundary = [NativeLayout()] if options["layout"] == "native" else []
    return [
        FoldBatchNormalization(),
        RaiseGelu(),
        Rewrite(generic),
        ChannelsLast(),
        SinkTransposes(),
        *boundary,
        SinkTransposes(),
        Rewrite(native),
        FuseActivations(),
    ]


def axes_of(values) -> np.ndarray:
    return np.asarray(values, np.int64)


@generic.op("GlobalAveragePool")
def global_average_pool(op, node, x):
    return op.ReduceMean(x, op.const(axes_of(range(2, rank_of(x)))))


@generic.op("GlobalMaxPool")
def global_max_pool(op, node, x):
    return op.ReduceMax(x, op.const(axes_of(range(2, rank_of(x)))))


@generic.op("BatchNormalization")
def batch_normalization(op, node, x, scale, bias, mean, variance):
    if attr(node, "training_mode", 0) or any(const(v) is None for v in (scale, bias, mean, variance)):
        return NotImplemented
    factor = const(scale) / np.sqrt(const(variance) + np.float32(attr(node, "epsilon", 1e-5)))
    offset = const(bias) - const(mean) * factor
    column = (-1, *[1] * (rank_of(x) - 2))
    shifted = op.Mul(x, op.const(factor.reshape(column).astype(np.float32)))
    return op.Add(shifted, op.const(offset.reshape(column).astype(np.float32)))


@generic.op("LayerNormalization")
def layer_normalization(op, node, x, scale, bias=None):
    rank = rank_of(x)
    if (
        rank is None
        or len(node.outputs) > 1
        or attr(node, "stash_type", 1) != 1
        or x.dtype != ir.DataType.FLOAT
    ):
        return NotImplemented
    axes = op.const(axes_of(range(attr(node, "axis", -1) % rank, rank)))
    centred = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.Mul(centred, centred), axes)
    deviation = op.Sqrt(op.Add(variance, attr(node, "epsilon", 1e-5)))
    scaled = op.Mul(op.Div(centred, deviation), scale)
    return scaled if bias is None else op.Add(scaled, bias)


@generic.op("HardSigmoid")
def hard_sigmoid(op, node, x):
    line = op.Add(op.Mul(x, attr(node, "alpha", 0.2)), attr(node, "beta", 0.5))
    return op.Min(op.Max(line, 0.0), 1.0)


@generic.op("Reciprocal")
def reciprocal(op, node, x):
    return op.Div(1.0, x)


@generic.op("Softplus")
def softplus(op, node, x):
    """max(x, 0) + log1p(e), e = exp(-|x|), where log1p(e) = e · log(w) / (w - 1) for w = 1 + e ≠ 1."""
    if x.dtype != ir.DataType.FLOAT:
        return NotImplemented
    e = op.Exp(op.Neg(op.Abs(x)))
    w = op.Add(e, 1.0)
    rounded = op.Equal(w, 1.0)
    excess = op.Where(rounded, 1.0, op.Sub(w, 1.0))
    return op.Add(op.Max(x, 0.0), op.Where(rounded, e, op.Div(op.Mul(e, op.Log(w)), excess)))


@native.op("Clip")
def clip(op, node, x, low=None, high=None):
    bounds = tuple(None if const(v) is None else const(v).item() for v in (low, high))
    if bounds == (0.0, 6.0) and x.dtype == ir.DataType.FLOAT:
        return op.Relu6(x, _domain=TFLITE)
    if low is not None:
        x = op.Max(x, low)
    if high is not None:
        x = op.Min(x, high)
    return x


@generic.op("Sum", "Max", "Min")
def variadic(op, node, *inputs):
    if len(inputs) == 2 and node.op_type != "Sum":
        return NotImplemented
    binary = "Add" if node.op_type == "Sum" else node.op_type
    result = inputs[0]
    for value in inputs[1:]:
        result = op.node(binary, result, value)
    return result


@generic.op("Softmax", "LogSoftmax")
def softmax(op, node, x):
    rank = rank_of(x)
    if not rank or attr(node, "axis", -1) % rank == rank - 1:
        return NotImplemented
    axis = attr(node, "axis", -1) % rank
    order = [*range(axis), *range(axis + 1, rank), axis]
    inverse = [order.index(i) for i in range(rank)]
    return op.Transpose(op.node(node.op_type, op.Transpose(x, perm=order), axis=-1), perm=inverse)


@generic.op("ArgMax", "ArgMin")
def arg_max(op, node, x):
    if not attr(node, "keepdims", 1) or rank_of(x) is None:
        return NotImplemented
    kept = {"axis": attr(node, "axis", 0), "select_last_index": attr(node, "select_last_index", 0)}
    return op.Unsqueeze(
        op.node(node.op_type, x, keepdims=0, **kept), op.const(axes_of([kept["axis"] % rank_of(x)]))
    )


@generic.op("Gemm")
def gemm(op, node, a, b, c=None):
    if attr(node, "transA", 0):
        a = op.Transpose(a, perm=[1, 0])
    alpha, beta = attr(node, "alpha", 1.0), attr(node, "beta", 1.0)
    weights = const(b)
    if weights is not None:
        turned = weights.T if attr(node, "transB", 0) else weights
        product = op.MatMul(
            a, op.const(np.ascontiguousarray(turned * turned.dtype.type(alpha)) if alpha != 1 else turned)
        )
    else:
        product = op.MatMul(a, op.Transpose(b, perm=[1, 0]) if attr(node, "transB", 0) else b)
        product = product if alpha == 1 else op.Mul(product, alpha)
    if c is None:
        return product
    return op.Add(product, c if beta == 1 else op.Mul(c, beta))


@generic.op("Conv", "MaxPool", "AveragePool", "ConvTranspose")
def one_dimension(op, node, x, *rest):
    """One spatial dimension becomes two."""
    if rank_of(x) != 3 or len(node.outputs) > 1:
        return NotImplemented
    two = op.const(axes_of([2]))
    wide = {"kernel_shape": [1], "strides": [1], "dilations": [1], "output_padding": [0], "output_shape": [1]}
    kept = {name: attr(node, name) for name in node.attributes}
    for name, value in kept.items():
        if name in wide:
            kept[name] = wide[name] + value
    if "pads" in kept:
        kept["pads"] = [0, kept["pads"][0], 0, kept["pads"][1]]
    weights = [op.Unsqueeze(w, two) if i == 0 and w is not None else w for i, w in enumerate(rest)]
    if weights and const(rest[0]) is not None:
        weights[0] = op.const(const(rest[0])[:, :, None, :])
    return op.Squeeze(op.node(node.op_type, op.Unsqueeze(x, two), *weights, **kept), two)


@generic.op("Gather")
def gather(op, node, x, indices):
    """LiteRT takes no negative index."""
    rank = rank_of(x)
    if not rank:
        return NotImplemented
    axis = attr(node, "axis", 0) % rank
    length, array = x.shape[axis], const(indices)
    if array is not None and (isinstance(length, int) or (array >= 0).all()):
        return op.Gather(
            x,
            op.const(
                np.where(array < 0, array + length, array).astype(np.int32)
                if (array < 0).any()
                else array.astype(np.int32)
            ),
            _domain=TFLITE,
            axis=axis,
        )
    if not isinstance(length, int) or indices.dtype is None:
        return NotImplemented
    wrapped = op.Where(op.Less(indices, 0), op.Add(indices, length), indices)
    return op.Gather(x, wrapped, _domain=TFLITE, axis=axis)


@generic.op("GatherElements")
def gather_elements(op, node, x, indices):
    shape = shape_of(indices)
    if shape is None or not isinstance(length := x.shape[attr(node, "axis", 0)], int):
        return NotImplemented
    axis = attr(node, "axis", 0) % len(shape)
    wrapped = op.Where(op.Less(indices, 0), op.Add(indices, length), indices)
    grid = np.indices(shape, np.int64)
    column = op.const(axes_of([len(shape)]))
    parts = [op.Cast(wrapped, to=7) if a == axis else op.const(grid[a]) for a in range(len(shape))]
    return op.GatherND(x, op.Concat(*[op.Unsqueeze(p, column) for p in parts], axis=-1), _domain=TFLITE)


@generic.op("GatherND")
def gather_nd(op, node, x, indices):
    """LiteRT takes no negative index."""
    width = shape_of(indices)[-1] if shape_of(indices) else None
    lengths = x.shape[:width] if x.shape is not None and width is not None else [None]
    if attr(node, "batch_dims", 0) or not all(isinstance(d, int) for d in lengths):
        return NotImplemented
    wrapped = op.Where(op.Less(indices, 0), op.Add(indices, op.const(axes_of(lengths))), indices)
    return op.GatherND(x, wrapped, _domain=TFLITE)


BROADCASTING = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "And",
    "Or",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Equal",
    "Max",
    "Min",
    "Where",
    "Mod",
]


@native.op(*BROADCASTING)
def collapse(op, node, *inputs):
    """Broadcasts of more than 4 dimensions: neighbours that broadcast alike become one dimension."""
    shapes, result = [shape_of(v) for v in inputs], shape_of(node.outputs[0])
    if None in shapes or result is None or len(result) <= 4 or all(s == result for s in shapes):
        return NotImplemented
    wide = [[1] * (len(result) - len(s)) + s for s in shapes]
    groups: list[tuple[tuple, int]] = []
    for axis, length in enumerate(result):
        pattern = tuple(w[axis] == length for w in wide)
        if length == 1 and groups:
            continue
        if groups and groups[-1][0] == pattern:
            groups[-1] = (pattern, groups[-1][1] * length)
        else:
            groups.append((pattern, length))
    if len(groups) > 4:
        return NotImplemented
    flat = [
        op.Reshape(v, op.const(axes_of([n if pattern[i] else 1 for pattern, n in groups])))
        for i, v in enumerate(inputs)
    ]
    kept = {name: attr(node, name) for name in node.attributes}
    return op.Reshape(op.node(node.op_type, *flat, **kept), op.const(axes_of(result)))


@native.op(*(f"Reduce{name}" for name in ("Mean", "Sum", "Prod", "Max", "Min")))
def runtime_axes(op, node, x, axes=None):
    """LiteRT takes axes as int32."""
    if axes is None or const(axes) is not None or axes.dtype != ir.DataType.INT64:
        return NotImplemented
    kept = {name: attr(node, name) for name in node.attributes}
    return op.node(node.op_type, x, op.Cast(axes, to=6), **kept)


SMALL = (ir.DataType.INT8, ir.DataType.INT16, ir.DataType.UINT8)


@generic.op("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Max", "Min")
def small_integers(op, node, *inputs):
    """Kernels of 8- and 16-bit integers ask for quantization: 32 bits compute the same."""
    if inputs[0].dtype not in SMALL or len(inputs) != 2:
        return NotImplemented
    result = op.node(node.op_type, *(op.Cast(v, to=6) for v in inputs))
    return op.Cast(result, to=int(inputs[0].dtype)) if node.op_type in ("Max", "Min") else result


@generic.op("Dropout")
def dropout(op, node, x, ratio=None, training=None):
    mask = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
    if (training is not None and (const(training) is None or const(training).any())) or mask:
        return NotImplemented
    return op.Identity(x)


@generic.op("Trilu")
def trilu(op, node, x, k=None):
    shape = shape_of(x)
    if (
        shape is None
        or (k is not None and const(k) is None)
        or 0 in shape
        or x.dtype not in (ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64)
    ):
        return NotImplemented
    side = np.triu if attr(node, "upper", 1) else np.tril
    mask = side(np.ones(shape[-2:], bool), 0 if k is None else int(const(k).item()))
    return op.Where(op.const(mask), x, op.const(np.zeros((), x.dtype.numpy())))


@native.op("Slice")
def strided_slice(op, node, x, starts, ends, axes=None, steps=None):
    rank = rank_of(x)
    known = [const(v) for v in (starts, ends)] + [None if v is None else const(v) for v in (axes, steps)]
    if (
        rank is None
        or known[0] is None
        or known[1] is None
        or (axes is not None and known[2] is None)
        or (steps is not None and known[3] is None)
    ):
        return NotImplemented
    named = range(len(known[0])) if known[2] is None else [int(a) % rank for a in known[2]]
    each = np.ones(len(known[0]), int) if known[3] is None else known[3]
    begin, end, stride = np.zeros(rank, np.int64), np.zeros(rank, np.int64), np.ones(rank, np.int64)
    begin_mask = end_mask = (1 << rank) - 1
    for axis, first, last, step in zip(named, known[0], known[1], each, strict=True):
        bounds = _bounds(x.shape[axis], int(first), int(last), int(step))
        if bounds is None:
            return NotImplemented
        begin_mask &= ~(1 << axis)
        begin[axis], stride[axis] = bounds[0], step
        if bounds[1] is not None:
            end[axis] = bounds[1]
            end_mask &= ~(1 << axis)
    made = op.StridedSlice(x, begin, end, stride, _domain=TFLITE, begin_mask=begin_mask, end_mask=end_mask)
    return made


def _bounds(length: Any, first: int, last: int, step: int) -> tuple[int, int | None] | None:
    """First index and end (None for "to the end") as LiteRT clamps them; None for what it cannot say."""
    if isinstance(length, int):
        span = range(*slice(first, last, step).indices(length))
        if not span:
            return None
        return span.start, (None if span.stop < 0 or span.stop >= length else span.stop)
    if step < 0 or abs(first) > I64_MAX or first >= 2**31:
        return None
    return first, (None if last >= 2**31 - 1 else last)


@native.op("Pad")
def pad(op, node, x, pads, value=None, axes=None):
    rank, amounts = rank_of(x), const(pads)
    if rank is None or amounts is None or (axes is not None and const(axes) is None):
        return NotImplemented
    named = range(rank) if axes is None else [int(a) % rank for a in const(axes)]
    full = np.zeros((2, rank), np.int64)
    full[:, list(named)] = amounts.reshape(2, -1)
    mode = attr(node, "mode", "constant")
    if (full < 0).any() or (mode == "reflect" and not _mirrors(x, full)):
        return NotImplemented
    if mode == "constant":
        value = None if value is None or (const(value) is not None and not const(value).any()) else value
        return op.Pad(x, full, value, _domain=TFLITE)
    return op.MirrorPad(x, full, _domain=TFLITE) if mode == "reflect" else NotImplemented


def _mirrors(x: ir.Value, full: np.ndarray) -> bool:
    shape = shape_of(x)
    return shape is not None and all(max(column) < d for column, d in zip(full.T, shape, strict=True))


@native.op("MatMul")
def fully_connected(op, node, x, weights):
    """Constant weights make a fully connected layer; a bias added to it alone goes in too."""
    array = const(weights)
    if array is None or array.ndim != 2 or x.dtype != ir.DataType.FLOAT or (rank_of(x) or 0) < 2:
        return NotImplemented
    turned = op.const(np.ascontiguousarray(array.T))
    bias = _bias(node, array.shape[1])
    if bias is None:
        return op.FullyConnected(x, turned, _domain=TFLITE)
    add, value = bias
    made = op.FullyConnected(x, turned, op.const(const(value).reshape(-1)), _domain=TFLITE)
    total = add.outputs[0]
    made.type, made.shape = total.type, total.shape
    add.replace_input_with(0, made)
    ir.convenience.replace_all_uses_with(total, made, replace_graph_outputs=True)
    made.name, total.name = total.name, None
    return made


def _bias(node: ir.Node, width: int) -> tuple[ir.Node, ir.Value] | None:
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


@native.op("bridge.nhwc::Conv", "bridge.nhwc::MaxPool", "bridge.nhwc::AveragePool")
def padding(op, node, x, *rest):
    """Padding becomes SAME or VALID, with a Pad before where it is neither."""
    if "bridge.padding" in node.metadata_props or rank_of(x) != 4:
        return NotImplemented
    kernel = attr(node, "kernel_shape") or list(rest[0].shape[2:])
    strides, dilations = attr(node, "strides") or [1, 1], attr(node, "dilations") or [1, 1]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    lengths = list(x.shape[1:3])
    pads = _pads(node, lengths, spans, strides)
    if pads is None:
        return NotImplemented
    kept = {
        name: attr(node, name) for name in node.attributes if name not in ("pads", "auto_pad", "ceil_mode")
    }
    word = "VALID"
    if pads != [0] * 4:
        word = "SAME" if pads == _same(lengths, spans, strides) else "VALID"
        if node.op_type == "AveragePool" and (word == "VALID" or attr(node, "count_include_pad", 0)):
            if not attr(node, "count_include_pad", 0) or attr(node, "ceil_mode", 0):
                return NotImplemented
            word = "VALID"
        if word == "VALID":
            full = [0, pads[0], pads[1], 0, 0, pads[2], pads[3], 0]
            lowest = np.array([np.finfo(np.float32).min], np.float32) if node.op_type == "MaxPool" else None
            x = op.Pad(x, axes_of(full), lowest, _domain=TFLITE)
            x.type = node.inputs[0].type
            x.shape = ir.Shape(
                [
                    d + a + b if isinstance(d, int) else None
                    for d, a, b in zip(node.inputs[0].shape, full[:4], full[4:], strict=True)
                ]
            )
    made = ir.Node(
        hub.NHWC,
        node.op_type,
        [x, *rest],
        ir.convenience.convert_attributes(kept),
        overload=node.overload,
        num_outputs=1,
    )
    made.metadata_props["bridge.padding"] = word
    return op.insert(made)


def _same(lengths, spans, strides) -> list[int] | None:
    if not all(isinstance(n, int) for n in lengths):
        return (
            None if any(s != 1 for s in strides) else [(k - 1) // 2 for k in spans] + [k // 2 for k in spans]
        )
    total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(lengths, spans, strides, strict=True)]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


def _pads(node, lengths, spans, strides) -> list[int] | None:
    """Explicit padding of the two spatial dimensions, ceil_mode included; None where it depends on run time."""
    mode = attr(node, "auto_pad", "NOTSET")
    if mode == "VALID":
        return [0] * 4
    if mode.startswith("SAME"):
        same = _same(lengths, spans, strides)
        return same if same is None or mode == "SAME_UPPER" else same[2:] + same[:2]
    pads = attr(node, "pads") or [0] * 4
    if not attr(node, "ceil_mode", 0):
        return pads
    if not all(isinstance(n, int) for n in lengths):
        return None
    extra = []
    for i, (n, k, s) in enumerate(zip(lengths, spans, strides, strict=True)):
        padded = n + pads[i] + pads[i + 2]
        count = -(-(padded - k) // s) + 1
        if (count - 1) * s >= n + pads[i]:
            count -= 1
        extra.append(max((count - 1) * s + k - padded, 0))
    if node.op_type == "AveragePool" and any(extra):
        return None
    return [pads[0], pads[1], pads[2] + extra[0], pads[3] + extra[1]]


class FuseActivations(ir.passes.InPlacePass):
    """1. A Relu or Relu6 that alone reads an Add, Sub, Mul, Div, convolution or fully connected layer joins it."""

    hosts = ("Add", "Sub", "Mul", "Div", "bridge.nhwc::Conv", "bridge.tflite::FullyConnected")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            host = (
                node.inputs[0].producer()
                if node.op_type in ("Relu", "Relu6") and node.inputs[0] is not None
                else None
            )
            if (
                host is None
                or hub.qualified(host) not in self.hosts
                or host.outputs[0].dtype != ir.DataType.FLOAT
            ):
                continue
            inner, outer = host.outputs[0], node.outputs[0]
            if len(inner.uses()) > 1 or inner.is_graph_output() or FUSED in host.metadata_props:
                continue
            host.metadata_props[FUSED] = node.op_type
            inner.name, outer.name = outer.name, None
            ir.convenience.replace_all_uses_with(outer, inner, replace_graph_outputs=True)
            model.graph.remove(node, safe=True)
            changed = True
        return ir.passes.PassResult(model, changed)


class NativeLayout(ir.passes.InPlacePass):
    """1. A Transpose between a public image and the graph goes, and the image becomes channels last."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for value in model.graph.inputs:
            readers = [use.node for use in value.uses()]
            perms = {tuple(attr(n, "perm") or ()) if n.op_type == "Transpose" else () for n in readers}
            if len(perms) == 1 and (perm := next(iter(perms))) and not value.is_graph_output():
                value.shape = ir.Shape([value.shape[i] for i in perm])
                for node in readers:
                    ir.convenience.replace_all_uses_with(node.outputs[0], value, replace_graph_outputs=True)
                    model.graph.remove(node, safe=True)
                changed = True
        for value in list(model.graph.outputs):
            node = value.producer()
            if (
                node is not None
                and node.op_type == "Transpose"
                and not value.uses()
                and node.inputs[0].producer() is not None
            ):
                inner = node.inputs[0]
                if inner.is_graph_output():
                    continue
                inner.name, value.name = value.name, None
                ir.convenience.replace_all_uses_with(value, inner, replace_graph_outputs=True)
                model.graph.remove(node, safe=True)
                changed = True
        return ir.passes.PassResult(model, changed)
