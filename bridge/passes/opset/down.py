"""Bring hub operators to an older opset: steps for forms that changed, function bodies for what is newer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bridge import facts, hub
from bridge.dims import on_last_axis
from bridge.errors import UnsupportedModel
from bridge.hub import attr, input_at, subgraphs
from bridge.passes.constants import LiftConstants
from bridge.passes.decompose import Decompose
from bridge.passes.expand import ExpandFunctions
from bridge.passes.groups import CentredGroups
from bridge.passes.masks import MasksOfQueries
from bridge.passes.names import NameValues
from bridge.passes.opset.up import REDUCTIONS
from bridge.passes.pads import PadsAtRunTime
from bridge.passes.rewrite import replace
from bridge.passes.time_major import TimeMajor
from bridge.report import Blocker

ML = "ai.onnx.ml"
TWO = np.float32(2.0)
NARROW = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
CENTRED = ("LayerNormalization", "GroupNormalization")
"""Operators whose function bodies compute a variance as E[x²] - E[x]²."""
SINGLE = onnx.defs.OpSchema.FormalParameterOption.Single
TENSORS = {dtype: f"tensor({dtype.name.lower()})" for dtype in ir.DataType}
ML_OPSETS = (3, 4)
"""Opsets of ai.onnx.ml that runtimes older than the hub's take, where all of a model is as it was in them."""
RUNTIME_OPSET = 26
RUNTIME_IR_VERSION = 13
LATE_KERNELS = frozenset(
    f"{name}{like}"
    for name in ("GlobalLpPool", "MaxRoiPool", "Multinomial", "RandomNormal", "RandomUniform", "RoiAlign")
    for like in ("", "Like")
)
"""Operators whose opset 22 only added dtypes, and which ONNX Runtime has up to opset 21."""

STEPS: dict[str, list[tuple[int, Callable]]] = {}


def below(version: int, *names: str) -> Callable:
    """Register the decorated step for targets below `version`; like those of `up`, to older forms."""

    def register(step: Callable) -> Callable:
        for name in names:
            STEPS.setdefault(name, []).append((version, step))
        return step

    return register


def to_attribute(node: ir.Node, index: int, name: str, scalar: bool = False) -> None:
    """Turn a constant input into an attribute; leave the node alone when it is not constant."""
    if input_at(node, index) is None:
        return
    value = hub.const(node.inputs[index])
    if value is None:
        return
    node.attributes[name] = (
        ir.AttrInt64(name, int(value.item())) if scalar else ir.AttrInt64s(name, [int(v) for v in value.flat])
    )
    node.resize_inputs(index)


@below(13, "Squeeze", "Unsqueeze")
@below(13, "ReduceSum")
@below(18, *(f"Reduce{name}" for name in REDUCTIONS))
def axes(op: Any, node: ir.Node, x: Any, axes: Any = None) -> Any:
    reduces = node.op_type.startswith("Reduce")
    constant = hub.const(axes)
    empty = axes is None or (constant is not None and constant.size == 0)
    if reduces and empty and attr(node, "noop_with_empty_axes", 0):
        return (
            op.Identity(x)
            if node.op_type in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd")
            else None
        )
    if reduces:
        node.attributes.pop("noop_with_empty_axes", None)
        if empty:
            node.resize_inputs(1)
    to_attribute(node, 1, "axes")
    return None


@below(18, "Split")
def split_count(op: Any, node: ir.Node, x: Any, sizes: Any = None) -> None:
    count = attr(node, "num_outputs")
    if count is None or sizes is not None:
        return
    shape = x.shape
    length = shape[attr(node, "axis", 0)] if shape is not None else None
    if isinstance(length, int) and length % count:
        each = -(-length // count)
        sizes = [each] * (count - 1) + [length - each * (count - 1)]
        node.resize_inputs(2)
        node.replace_input_with(1, op.const(np.array(sizes, np.int64)))
    if isinstance(length, int):
        node.attributes.pop("num_outputs")


@below(13, "Split")
def split_sizes(op: Any, node: ir.Node, x: Any, sizes: Any = None) -> None:
    to_attribute(node, 1, "split")


@below(20, "GridSample")
def grid_sample(op: Any, node: ir.Node, x: Any, grid: Any) -> None:
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = attr(node, "mode", "linear")
    if hub.rank_of(x) == 4:
        node.attributes["mode"] = ir.AttrString("mode", names.get(mode, mode))


@below(23, "RMSNormalization")
def rms_normalization(op: Any, node: ir.Node, x: Any, scale: Any) -> Any:
    """In the words that ONNX Runtime fuses."""
    rank = hub.rank_of(x)
    if rank is None or x.dtype not in NARROW:
        return None
    wide = _wide(op, x)
    mean = op.ReduceMean(op.Pow(wide, TWO), _from(attr(node, "axis"), rank), keepdims=1)
    normal = op.Div(wide, op.Sqrt(op.Add(mean, np.float32(attr(node, "epsilon")))))
    return op.Mul(op.Cast(normal, to=x.dtype) if normal.dtype != x.dtype else normal, scale)


@below(17, "LayerNormalization")
def layer_normalization(op: Any, node: ir.Node, x: Any, scale: Any, bias: Any = None) -> Any:
    """In the words that ONNX Runtime fuses."""
    rank = hub.rank_of(x)
    if rank is None or x.dtype not in NARROW or len(node.outputs) > 1:
        return None
    axes, wide = _from(attr(node, "axis"), rank), _wide(op, x)
    apart = op.Sub(wide, op.ReduceMean(wide, axes, keepdims=1))
    variance = op.ReduceMean(op.Pow(apart, TWO), axes, keepdims=1)
    normal = op.Div(apart, op.Sqrt(op.Add(variance, np.float32(attr(node, "epsilon")))))
    scaled = op.Mul(op.Cast(normal, to=x.dtype) if normal.dtype != x.dtype else normal, scale)
    return scaled if bias is None else op.Add(scaled, bias)


def _wide(op: Any, x: Any) -> Any:
    """The dtype a normalization computes in: float32."""
    return x if x.dtype == ir.DataType.FLOAT else op.Cast(x, to=ir.DataType.FLOAT)


def _from(axis: int, rank: int) -> np.ndarray:
    return np.arange(axis % rank, rank)


@below(20, "Gelu")
def gelu(op: Any, node: ir.Node, x: Any) -> Any:
    """In the words that ONNX Runtime fuses."""
    if attr(node, "approximate") != "none" or x.dtype != ir.DataType.FLOAT:
        return None
    one = op.Add(op.Erf(op.Div(x, np.float32(2.0**0.5))), np.float32(1.0))
    return op.Mul(op.Mul(x, one), np.float32(0.5))


@below(20, "DFT")
def dft(op: Any, node: ir.Node, x: Any, length: Any = None, axis: Any = None) -> None:
    rank = hub.rank_of(x)
    if rank is None:
        return
    constant = hub.const(axis)
    if axis is None:
        node.attributes["axis"] = ir.AttrInt64("axis", rank - 2)
    elif constant is not None:
        node.attributes["axis"] = ir.AttrInt64("axis", int(constant.item()) % rank)
        node.resize_inputs(2)


@below(13, "Softmax", "LogSoftmax", "Hardmax")
def softmax(op: Any, node: ir.Node, x: Any) -> Any:
    """Below 13 everything from `axis` on is one axis: the same thing for the last axis alone."""
    axis, rank = attr(node, "axis", -1), hub.rank_of(x)
    if axis == -1 or rank is None or axis % rank == rank - 1:
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        return None
    return on_last_axis(op, x, axis, lambda v: op.node(node.op_type, v, axis=-1))


@below(12, "Dropout")
def dropout(op: Any, node: ir.Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    flag = hub.const(training)
    if not (training is None or (flag is not None and not flag.any())):
        return None
    mask = node.outputs[1] if len(node.outputs) > 1 else None
    if mask is None or not (mask.uses() or mask.is_graph_output()):
        return op.Identity(x)
    return op.Identity(x), op.ConstantOfShape(op.Shape(x), value=ir.tensor(np.ones(1, bool)))


@below(hub.HUB_OPSET, "Pad")
def pad_axes(op: Any, node: ir.Node, x: Any, pads: Any, value: Any = None, axes: Any = None) -> None:
    """Every axis has its pads. Of some between transpositions ONNX Runtime 1.31 says that they are all."""
    amounts, along, rank = hub.const(pads), hub.const(axes), hub.rank_of(x)
    if along is None or rank is None:
        return
    places = np.full(2 * rank, 2 * along.size)
    for index, axis in enumerate(along.flat):
        places[[axis % rank, rank + axis % rank]] = index, along.size + index
    if amounts is not None:
        whole = op.const(np.append(amounts, 0)[places].astype(np.int64))
    else:
        whole = op.Gather(op.Concat(pads, np.zeros(1, np.int64), axis=0), op.const(places), axis=0)
    node.replace_input_with(1, whole)
    node.resize_inputs(2 if value is None else 3)


@below(hub.HUB_OPSET, "Resize")
def resize_all(
    op: Any, node: ir.Node, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None
) -> None:
    """Every axis is named. Of two sizes between transpositions ONNX Runtime 1.31 says that there are none."""
    axes, rank = attr(node, "axes"), hub.rank_of(x)
    stretches = attr(node, "keep_aspect_ratio_policy", "stretch") == "stretch"
    if not axes or rank is None or roi is not None or not stretches:
        return
    index, values = (3, sizes) if scales is None else (2, scales)
    entry_of_axis = {axis % rank: rank + place for place, axis in enumerate(axes)}
    order = np.array([entry_of_axis.get(n, n) for n in range(rank)])
    known = hub.shape_of(x) if scales is None else [1.0] * rank
    array = hub.const(values)
    if array is not None and known is not None:
        ordered = op.const(np.concatenate([np.array(known, array.dtype), array])[order])
    else:
        own = op.Shape(x) if known is None else op.const(np.array(known, values.dtype.numpy()))
        ordered = op.Gather(op.Concat(own, values, axis=0), order, axis=0)
    node.replace_input_with(index, ordered)
    node.attributes.pop("axes")


@below(13, "Resize")
def resize(op: Any, node: ir.Node, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> None:
    """Below 13 roi and scales are always given, empty where they do not matter."""
    node.resize_inputs(max(3, len(node.inputs)))
    for index, value in ((1, roi), (2, scales)):
        if value is None:
            node.replace_input_with(index, op.const(np.zeros(0, np.float32)))


@below(15, "Shape")
def shape(op: Any, node: ir.Node, x: Any) -> Any:
    start, end = attr(node, "start", 0), attr(node, "end")
    if not start and end is None:
        return None
    bounds = (np.array([v], np.int64) for v in (start, 2**31 - 1 if end is None else end))
    return op.Slice(op.Shape(x), *bounds)


@below(16, "RoiAlign")
def roi_align(op: Any, node: ir.Node, *inputs: Any) -> None:
    if attr(node, "coordinate_transformation_mode") == "output_half_pixel":
        node.attributes.pop("coordinate_transformation_mode")
        facts.OUTPUT_HALF_PIXEL.set(node, True)


@dataclass(frozen=True)
class Limit:
    """A form that no schema rules out and that meant something else, or nothing, below an opset."""

    below: int
    reason: str
    holds: Callable[[ir.Node], bool]


def has(name: str, *values: str) -> Callable[[ir.Node], bool]:
    """The condition that an attribute is one of `values`."""
    return lambda node: attr(node, name) in values


RANK_UNKNOWN = Limit(
    13, "needs a known rank", lambda n: hub.rank_of(n.inputs[0]) is None and attr(n, "axis") != -1
)
PER_AXIS = Limit(13, "is per tensor before opset 13", lambda n: hub.rank_of(n.inputs[1]) != 0)
EXTREMES = Limit(18, "has no reduction by max or min before opset 18", has("reduction", "max", "min"))
LIMITS = {
    "RoiAlign": Limit(
        16, "means half_pixel, which came with opset 16", lambda n: not facts.OUTPUT_HALF_PIXEL.get(n)
    ),
    "DFT": Limit(
        20, "needs a known rank or axis", lambda n: "axis" not in n.attributes and len(n.inputs) < 3
    ),
    "GridSample": Limit(
        20, "is of four dimensions before opset 20", lambda n: hub.rank_of(n.inputs[0]) not in (None, 4)
    ),
    "LabelEncoder": Limit(4, "finds no missing number before version 4", lambda n: _names_nan(n)),
    "Pad": Limit(19, "has no mode=wrap before opset 19", has("mode", "wrap")),
    "Resize": Limit(
        19,
        "has no half_pixel_symmetric before opset 19",
        has("coordinate_transformation_mode", "half_pixel_symmetric"),
    ),
    "ScatterElements": EXTREMES,
    "ScatterND": EXTREMES,
    "QuantizeLinear": PER_AXIS,
    "DequantizeLinear": PER_AXIS,
    "Softmax": RANK_UNKNOWN,
    "LogSoftmax": RANK_UNKNOWN,
    "Hardmax": RANK_UNKNOWN,
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operator as its schema has it."""

    name: str
    types: frozenset[str]
    variable: str
    homogeneous: bool
    needed: bool


@functools.cache
def _parameters(schema: onnx.defs.OpSchema) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """The inputs and the outputs of an operator."""
    inputs, outputs = (
        tuple(
            Parameter(p.name, frozenset(p.types), p.type_str, p.is_homogeneous, p.option == SINGLE)
            for p in formals
        )
        for formals in (schema.inputs, schema.outputs)
    )
    return inputs, outputs


@functools.cache
def _attribute_names(schema: onnx.defs.OpSchema) -> frozenset[str]:
    return frozenset(schema.attributes)


def keeps(model: ir.Model, target: int) -> bool:
    """True where every node of a model is, as it stands, a node of opset `target`."""
    return not model.functions and not any(
        any(target < version for version, _ in STEPS.get(node.op_type, ())) or valid(node, target, drop=False)
        for node in hub.all_nodes(model)
        if not node.domain
    )


def _names_nan(node: ir.Node) -> bool:
    """True for a table that has an entry for what is not a number."""
    keys = attr(node, "keys_floats"), attr(node, "keys_tensor")
    held = keys[1].numpy() if keys[1] is not None else np.array(keys[0] or [], np.float32)
    return held.dtype.kind == "f" and bool(np.isnan(held).any())


def valid(node: ir.Node, target: int, drop: bool = True) -> str | None:
    """Why `node` is no node of opset `target`, or None when it is one. Redundant attributes are dropped where
    `drop` is given."""
    schema = hub.schema(node, target)
    if schema is None or schema.deprecated:
        return f"is newer than opset {target}"
    limit = LIMITS.get(node.op_type)
    if limit is not None and target < limit.below and limit.holds(node):
        return limit.reason
    newest = hub.schema(node)
    for name in list(node.attributes.data):
        if name in _attribute_names(schema):
            continue
        if newest is None or not _is_default(newest, node.attributes[name]):
            return f"has no {name} at opset {target}"
        if drop:
            node.attributes.pop(name)
    if len(node.inputs) > schema.max_input or len(node.inputs) < schema.min_input:
        return f"has {schema.max_input} inputs at opset {target}"
    if len(node.outputs) > schema.max_output:
        return f"has {schema.max_output} outputs at opset {target}"
    inputs, outputs = _parameters(schema)
    for parameter, value in zip(inputs, node.inputs, strict=False):
        if value is None and parameter.needed:
            return f"needs {parameter.name} at opset {target}"
    bound: dict[str, str] = {}
    for parameters, values in ((inputs, node.inputs), (outputs, node.outputs)):
        for index, value in enumerate(values):
            parameter = parameters[min(index, len(parameters) - 1)]
            dtype = type_string(value)
            if dtype and dtype not in parameter.types:
                return f"takes no {dtype} at opset {target}"
            if dtype and parameter.homogeneous and bound.setdefault(parameter.variable, dtype) != dtype:
                return f"takes no {dtype} beside {bound[parameter.variable]} at opset {target}"
    return None


def _is_default(schema: Any, attribute: ir.Attr) -> bool:
    declared = schema.attributes.get(attribute.name)
    if declared is None or not declared.default_value.type:
        return False
    return bool(ir.serde.deserialize_attribute(declared.default_value).value == attribute.value)


def type_string(value: ir.Value | None) -> str | None:
    """A value's type as schemas write it, `tensor(float)`; None when unknown."""
    if value is None or value.type is None:
        return None
    return _type_string(value.type)


def _type_string(value_type: Any) -> str:
    if isinstance(value_type, ir.SequenceType):
        return f"seq({_type_string(value_type.elem_type)})"
    if isinstance(value_type, ir.OptionalType):
        return f"optional({_type_string(value_type.elem_type)})"
    return TENSORS[value_type.dtype]


def lower(model: ir.Model, target: int) -> None:
    """To opset `target` in place; raises UnsupportedModel listing every operator that has no form there."""
    blockers = restamp(model, target)
    if blockers:
        raise UnsupportedModel(
            f"{len(blockers)} operators cannot be written at opset {target}:",
            blockers,
            "Ask for a newer opset=.",
        )


def restamp(model: ir.Model, target: int) -> list[Blocker]:
    """To opset `target` in place, as far as operators allow; the ones that have no form there."""
    _steps(model.graph, target)
    if any(_blocks(node, target) for node in hub.all_nodes(model)):
        Decompose(lambda node: node.op_type not in CENTRED or not _blocks(node, target))(model)
        while ExpandFunctions(lambda node: not _blocks(node, target))(model).modified:
            pass
        LiftConstants()(model)
        NameValues()(model)
        _steps(model.graph, target)
    for function in model.functions.values():
        _steps(function, target)
        function.opset_imports[""] = target
    model.graph.opset_imports[""] = target
    for node in hub.all_nodes(model):
        if node.domain in hub.STANDARD_OPSETS:
            model.graph.opset_imports.setdefault(node.domain, hub.STANDARD_OPSETS[node.domain])
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    learned = [node for graph in graphs for node in hub.nodes_of(graph) if node.domain == ML]
    oldest = next(
        (v for v in ML_OPSETS if not any(valid(node, v, drop=False) for node in learned)), hub.ML_OPSET
    )
    for graph in graphs:
        if ML in graph.opset_imports:
            graph.opset_imports[ML] = oldest
    NameValues()(model)
    return [
        hub.blocker(node, reason)
        for graph in graphs
        for node in hub.nodes_of(graph)
        if (reason := _blocks(node, target))
    ]


def _blocks(node: ir.Node, target: int) -> str | None:
    return valid(node, target) if node.domain == "" else None


def lower_from(graph: ir.Graph | ir.Function, source: int, target: int) -> None:
    """Restamp a graph newer than the hub whose operators did not change since; else UnsupportedModel."""
    blockers = [
        Blocker(
            node.op_type, node.name or "", "", f"is from opset {source}; opset {target} is the newest known"
        )
        for node in graph
        if node.domain in ("", "ai.onnx") and _changed_since(node, source, target)
    ]
    if blockers:
        raise UnsupportedModel(f"The model is at opset {source}:", blockers, "Export it at an older opset.")


def _changed_since(node: ir.Node, source: int, target: int) -> bool:
    newest = hub.schema(node, source)
    return newest is None or newest.since_version > target


def _steps(graph: ir.Graph | ir.Function, target: int) -> None:
    for node in list(graph):
        for subgraph in subgraphs(node):
            _steps(subgraph, target)
        _step(graph, node, target)


def _step(graph: ir.Graph | ir.Function, node: ir.Node, target: int) -> None:
    for version, step in STEPS.get(node.op_type, ()) if not node.domain else ():
        if target >= version:
            continue
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        results = step(op, node, *node.inputs)
        if results is not None:
            replace(graph, node, results, op)
            for made in op.nodes:
                _step(graph, made, target)
            break


def for_runtime(model: ir.Model) -> ir.Model:
    """A copy, weights shared, at an opset and IR version ONNX Runtime admits."""
    copy = model.clone()
    PadsAtRunTime()(copy)
    TimeMajor()(copy)
    CentredGroups()(copy)
    MasksOfQueries()(copy)
    restamp(copy, runtime_opset(model))
    copy.ir_version = RUNTIME_IR_VERSION
    return copy


def runtime_opset(model: ir.Model) -> int:
    """The newest opset at which ONNX Runtime has kernels for what a hub model consists of, and runs it: of
    int8 it makes uint8, and from 21 on refuses its own QuantizeLinear with the zero points of those."""
    inner = (node for function in model.functions.values() for node in function)
    names = {n.op_type for n in (*hub.all_nodes(model), *inner) if not n.domain}
    limits = [20] * ("QuantizeLinear" in names) + [21] * (not names.isdisjoint(LATE_KERNELS))
    return next((opset for opset in limits if not restamp(model.clone(), opset)), RUNTIME_OPSET)
