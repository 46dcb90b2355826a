"""Steps that lift one operator across an opset that changed its form or meaning.

A step named at opset N turns the form valid below N into the form valid from N on. It takes (op, node,
*inputs) and returns replacements, or None when it edited the node in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.hub import attr, subgraphs
from bridge.passes.rewrite import replace

STEPS: dict[tuple[str, int], Callable] = {}
TYPED: dict[str, int] = {}
"""Operators whose steps read types and shapes, with the last opset of such a step."""

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")


def at(version: int, *names: str, typed: bool = False) -> Callable:
    """Register the decorated step for `names` at `version`; `typed` if it reads types or shapes of inputs."""

    def register(step: Callable) -> Callable:
        for name in names:
            STEPS[name, version] = step
            if typed:
                TYPED[name] = max(version, TYPED.get(name, 0))
        return step

    return register


def lift(graph: ir.Graph | ir.Function) -> None:
    """Bring a graph or function of an opset before the hub's to it, in place."""
    imports = graph.opset_imports
    if "ai.onnx" in imports:
        imports[""] = imports.pop("ai.onnx")
    versions: dict[str, int] = {d: imports[d] for d in ("", "ai.onnx.ml") if d in imports}
    _lift_graph(graph, versions)
    for domain in versions:
        imports[domain] = hub.STANDARD_OPSETS[domain]


def _lift_graph(graph: ir.Graph | ir.Function, versions: dict[str, int]) -> None:
    originals = list(graph)
    for node in originals:
        for subgraph in subgraphs(node):
            _lift_graph(subgraph, versions)
    pending = [
        (node, versions.get("" if node.domain == "ai.onnx" else node.domain, 0))
        for node in reversed(originals)
    ]
    while pending:
        node, version = pending.pop()
        if node.domain == "ai.onnx":
            node.domain = ""
        node.version = None
        if version:
            pending.extend(_lift_node(graph, node, version))


def _lift_node(graph: ir.Graph | ir.Function, node: ir.Node, version: int) -> list[tuple[ir.Node, int]]:
    """Take `node` over every opset above `version` that changed it; nodes that replace it, with their
    opset."""
    node.attributes.pop("consumed_inputs", None)
    for opset in range(version + 1, hub.STANDARD_OPSETS[node.domain] + 1):
        step = STEPS.get((node.op_type, opset))
        if step is None:
            continue
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        results = step(op, node, *node.inputs)
        if results is not None:
            replace(graph, node, results, op)
            return [(created, opset) for created in reversed(op.nodes)]
    return []


def refuse(node: ir.Node, reason: str) -> None:
    """Raise UnsupportedModel for a form that later opsets cannot say."""
    raise UnsupportedModel(
        f"An operator cannot be lifted to opset {hub.HUB_OPSET}:", [hub.blocker(node, reason)]
    )


def pop(node: ir.Node, name: str, default: Any = None) -> Any:
    """Remove an attribute and return its value."""
    value = attr(node, name, default)
    node.attributes.pop(name, None)
    return value


def put(op: hub.Builder, node: ir.Node, index: int, value: Any, dtype: Any = np.int64) -> None:
    """Make a constant the input `index` of `node`; None leaves the input out."""
    if value is None:
        return
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, op.const(np.asarray(value, dtype)))


def rank(node: ir.Node, index: int = 0) -> int:
    known = hub.rank_of(node.inputs[index])
    if known is None:
        refuse(node, f"needs a known rank of input {index}")
    return known or 0


@at(7, *ARITHMETIC, typed=True)
def broadcast(op, node, a, b):
    axis, is_broadcast = pop(node, "axis"), pop(node, "broadcast", 0)
    if is_broadcast and axis is not None:
        trailing = rank(node) - axis % rank(node) - rank(node, 1)
        if trailing > 0:
            new_axes = list(range(rank(node, 1), rank(node, 1) + trailing))
            node.replace_input_with(1, op.Unsqueeze(b, op.const(np.array(new_axes, np.int64))))


@at(7, "PRelu", typed=True)
def prelu(op, node, x, slope):
    if rank(node, 1) == 1 and rank(node) > 2:
        new_axes = list(range(1, rank(node) - 1))
        node.replace_input_with(1, op.Unsqueeze(slope, op.const(np.array(new_axes, np.int64))))


@at(7, "Gemm")
def gemm(op, node, *inputs):
    node.attributes.pop("broadcast", None)


@at(6, "Cast")
def cast(op, node, x):
    to = attr(node, "to")
    if isinstance(to, str):
        node.attributes["to"] = ir.AttrInt64("to", onnx.TensorProto.DataType.Value(to.upper()))


@at(4, "Concat")
def concat(op, node, *inputs):
    if "axis" not in node.attributes:
        node.attributes["axis"] = ir.AttrInt64("axis", 1)


@at(5, "Reshape")
def reshape(op, node, x):
    put(op, node, 1, pop(node, "shape"))


@at(6, "Tile", typed=True)
def tile(op, node, x, tiles=None, axis=None):
    count, along = hub.const(tiles), hub.const(axis)
    if count is None or along is None:
        refuse(node, "needs constant tiles and axis")
        return
    repeats = np.ones(rank(node), np.int64)
    repeats[int(along.item())] = int(count.item())
    node.resize_inputs(2)
    put(op, node, 1, repeats)


@at(2, "Pad")
def pad_names(op, node, x):
    if "paddings" in node.attributes:
        node.attributes["pads"] = ir.AttrInt64s("pads", pop(node, "paddings"))


@at(11, "Pad", typed=True)
def pad(op, node, x):
    put(op, node, 1, pop(node, "pads"))
    value = pop(node, "value", 0.0)
    if value:
        put(op, node, 2, value, x.dtype.numpy() if x.dtype else np.float32)


@at(13, "Split")
def split(op, node, x, sizes=None):
    put(op, node, 1, pop(node, "split"))


@at(18, "Split")
def split_count(op, node, x, sizes=None):
    if sizes is None:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


@at(9, "Upsample")
def upsample_scales(op, node, x):
    put(op, node, 1, pop(node, "scales"), np.float32)


@at(11, "Upsample")
def upsample(op, node, x, scales):
    mode = attr(node, "mode", "nearest")
    return resize_below_11(op, x, scales, mode)


@at(11, "Resize")
def resize(op, node, x, scales):
    return resize_below_11(op, x, scales, attr(node, "mode", "nearest"))


def resize_below_11(op: Any, x: ir.Value, scales: ir.Value, mode: str) -> ir.Value:
    return op.Resize(
        x,
        None,
        scales,
        mode="linear" if mode == "bilinear" else mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@at(10, "Slice")
def slice_inputs(op, node, x):
    starts, ends, axes = pop(node, "starts"), pop(node, "ends"), pop(node, "axes")
    put(op, node, 1, starts)
    put(op, node, 2, ends)
    put(op, node, 3, axes)


@at(10, "TopK")
def top_k(op, node, x):
    put(op, node, 1, [pop(node, "k")])


@at(11, "Clip", typed=True)
def clip(op, node, x):
    dtype = x.dtype.numpy() if x.dtype else np.float32
    put(op, node, 1, pop(node, "min"), dtype)
    put(op, node, 2, pop(node, "max"), dtype)


@at(13, "Softmax", "LogSoftmax", "Hardmax", typed=True)
def softmax(op, node, x):
    axis, size = attr(node, "axis", 1), hub.rank_of(x)
    if axis == -1 or (size and axis % size == size - 1):
        return op.node(node.op_type, x, axis=-1)
    flat = op.node(node.op_type, op.Flatten(x, axis=axis), axis=-1)
    return op.Reshape(flat, op.Shape(x))


@at(13, "Squeeze", "Unsqueeze", "ReduceSum")
@at(18, *(f"Reduce{name}" for name in REDUCTIONS))
def axes_input(op, node, x):
    put(op, node, 1, pop(node, "axes"))


@at(11, "Scatter")
def scatter(op, node, data, indices, updates):
    return op.ScatterElements(data, indices, updates, axis=attr(node, "axis", 0))


@at(12, "Dropout", typed=True)
def dropout(op, node, x):
    mask = node.outputs[1] if len(node.outputs) > 1 else None
    if mask is None or not (mask.uses() or mask.is_graph_output()):
        return op.Identity(x)
    ones = op.ConstantOfShape(op.Shape(x), value=ir.tensor(np.ones(1, bool)))
    if mask.dtype is not None and mask.dtype != ir.DataType.BOOL:
        ones = op.Cast(ones, to=int(mask.dtype))
    return op.Identity(x), ones


@at(7, "Dropout", "BatchNormalization")
def training_flag(op, node, *inputs):
    """Below 7 `is_test` is 0 unless given; BatchNormalization then trains when its statistics are asked
    for."""
    training = pop(node, "is_test", 0) == 0
    if training and (node.op_type == "Dropout" or len(node.outputs) > 1):
        refuse(node, "is in training mode (is_test=0)")


@at(9, "BatchNormalization")
def batch_normalization(op, node, *inputs):
    if pop(node, "spatial", 1) == 0:
        refuse(node, "normalizes each activation by itself (spatial=0)")


@at(14, "BatchNormalization")
def batch_normalization_outputs(op, node, *inputs):
    if any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        refuse(node, "is in training mode")
    if len(node.outputs) > 1:
        attributes = {k: a.value for k, a in node.attributes.items() if k in ("epsilon", "momentum")}
        return op.BatchNormalization(*inputs, **attributes)
    return None


@at(7, "RNN", "GRU", "LSTM")
def output_sequence(op, node, *inputs):
    node.attributes.pop("output_sequence", None)


@at(16, "RoiAlign")
def roi_align(op, node, *inputs):
    name = "coordinate_transformation_mode"
    node.attributes[name] = ir.AttrString(name, "output_half_pixel")


@at(20, "DFT")
def dft(op, node, x, length=None):
    axis = pop(node, "axis", 1)
    put(op, node, 2, axis)


@at(20, "GridSample")
def grid_sample(op, node, x, grid):
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = attr(node, "mode", "bilinear")
    node.attributes["mode"] = ir.AttrString("mode", names.get(mode, mode))


@at(21, "GroupNormalization", typed=True)
def group_normalization(op, node, x, scale, bias):
    """Below 21 scale and bias have one element a group; from 21 on one a channel."""
    channels, groups = x.shape[1] if x.shape is not None else None, attr(node, "num_groups")
    if isinstance(channels, int):
        wide = op.const(np.array([1, channels // groups], np.int64))
    else:
        each = op.Div(op.Shape(x, start=1, end=2), op.const(np.array([groups], np.int64)))
        wide = op.Concat(op.const(np.array([1], np.int64)), each, axis=0)
    for index, value in ((1, scale), (2, bias)):
        column = op.Unsqueeze(value, op.const(np.array([1], np.int64)))
        node.replace_input_with(
            index, op.Reshape(op.Expand(column, wide), op.const(np.array([-1], np.int64)))
        )


@at(9, "Scan", typed=True)
def scan(op, node, lengths, *inputs):
    """Scan-8 scans axis 1 of batched inputs: an outer Scan over the batch around a Scan-9."""
    if lengths is not None or any(attr(node, "directions", [])):
        refuse(node, "has sequence lengths or directions at opset 8")
    count = attr(node, "num_scan_inputs")
    body = attr(node, "body")
    states = len(inputs) - count
    names = [f"{node.name or 'scan'}.batch.{i}" for i in range(len(inputs))]
    slices = [
        ir.Value(name=name, type=v.type, shape=None if v.shape is None else ir.Shape(v.shape[1:]))
        for name, v in zip(names, inputs, strict=True)
    ]
    inner = ir.Node(
        "",
        "Scan",
        slices,
        [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", count)],
        num_outputs=len(node.outputs),
    )
    for index, output in enumerate(inner.outputs):
        output.name = f"{node.name or 'scan'}.item.{index}"
        output.type = body.outputs[index].type
        inside = body.outputs[index].shape
        if inside is not None:
            output.shape = inside if index < states else ir.Shape([None, *inside])
    node.attributes.pop("body")
    outer = ir.Graph(slices, inner.outputs, nodes=[inner], name="batch")
    batch_scan = ir.Node(
        "",
        "Scan",
        list(inputs),
        [ir.AttrGraph("body", outer), ir.AttrInt64("num_scan_inputs", len(inputs))],
        num_outputs=len(node.outputs),
    )
    return op.insert(batch_scan)


@at(2, "LabelEncoder", typed=True)
def label_encoder(op, node, x):
    classes = list(pop(node, "classes_strings"))
    ids = list(range(len(classes)))
    if x.dtype == ir.DataType.STRING:
        return op.LabelEncoder(
            x,
            _domain=node.domain,
            keys_strings=classes,
            values_int64s=ids,
            default_int64=attr(node, "default_int64", -1),
        )
    return op.LabelEncoder(
        x,
        _domain=node.domain,
        keys_int64s=ids,
        values_strings=classes,
        default_string=attr(node, "default_string", "_Unused"),
    )
