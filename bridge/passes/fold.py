"""Nodes of constants become constants."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from bridge import hub
from bridge.hub import input_at, subgraphs
from bridge.limits import memory
from bridge.passes.pads import cuts_all
from bridge.signature import NodeProto
from bridge.traits import RANDOM

__all__ = ["FoldConstants"]

LIMIT = 2**24
NUMPY: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Sqrt": np.sqrt,
    "Neg": np.negative,
    "Exp": np.exp,
    "Log": np.log,
    "Floor": np.floor,
    "Reciprocal": lambda x: (1 / x).astype(x.dtype),
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
    "Where": np.where,
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes.ravel().tolist())),
    "Identity": lambda x: x,
}
MOVES = frozenset(
    ["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Split", "Slice", "Gather", "Concat"]
)
"""What changes no element."""
LARGE = 2**20
"""Elements from which constants that are only moved are computed when they are read."""
IN_PART = frozenset(
    [
        "AveragePool",
        "GRU",
        "GroupNormalization",
        "LSTM",
        "LayerNormalization",
        "LpPool",
        "MaxPool",
        "RNN",
        "RoiAlign",
    ]
)
"""Operators of which the reference evaluator computes a part, or loses digits: attributes of recurrences and
windows that it passes over, variances as E[x²] - E[x]²."""
UNFOLDED = RANDOM | IN_PART | {"DequantizeLinear", "QuantizeLinear"}


class FoldConstants(ir.passes.InPlacePass):
    """1. A node whose inputs are all initializers is computed by the reference evaluator, up to 16 Mi
    elements; what only moves more than 1 Mi of them, when its result is read.

    2. Shape and Size of a value with a static shape are constants, and so are known lengths picked from any
       Shape.
    3. All that is computed stays within a sixteenth of the memory allowed.
    4. What has no elements is a constant, whatever computes it; so is a Pad that cuts away all of its input.
    5. What reads a new constant, or a value whose lengths became known, has its own lengths inferred again.
    6. Random operators, quantization of weights, and those the reference evaluator computes in part are not
    computed; operators with subgraphs stay.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        self._bytes = memory() // 16
        return ir.passes.PassResult(model, self._graph(model.graph, set()))

    def _graph(self, graph: ir.Graph, news: set[ir.Value | None]) -> bool:
        changed = False
        for node in list(graph):
            inner = subgraphs(node)
            for subgraph in inner:
                changed |= self._graph(subgraph, news)
            if not news.isdisjoint(node.inputs):
                news.update(_refined(node))
            if inner or node.domain:
                continue
            arrays: list[Any] | None = _empty_outputs(node) or _shape_facts(node)
            if arrays is None and self._bytes > 0 and node.op_type not in UNFOLDED:
                arrays = _filling(node) or evaluate(node)
                self._bytes -= sum(a.nbytes for a in arrays or ())
            if arrays is not None:
                news.update(_replace(graph, node, arrays))
                changed = True
        return changed


def _refined(node: ir.Node) -> list[ir.Value]:
    """Outputs whose lengths are known now; what the source declares of the graph's own stays as it was."""
    before = {v: v.shape for v in node.outputs if not v.is_graph_output() and hub.shape_of(v) is None}
    for value in before:
        value.shape = None
    if before:
        hub.infer_node(node)
    refined = [v for v in before if hub.shape_of(v) is not None]
    for value in before.keys() - set(refined):
        value.shape = before[value]
    return refined


def _empty_outputs(node: ir.Node) -> list[np.ndarray] | None:
    """Arrays without elements, where every output is one of a known dtype."""
    arrays = []
    for output in node.outputs:
        shape = hub.shape_of(output)
        if (
            shape is None
            or 0 not in shape
            or min(shape) < 0
            or output.dtype is None
            or output.dtype == ir.DataType.STRING
            or not isinstance(output.type, ir.TensorType)
        ):
            return None
        arrays.append(np.zeros(shape, output.dtype.numpy()))
    return arrays or None


def _shape_facts(node: ir.Node) -> list[np.ndarray] | None:
    shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    if node.op_type == "Shape" and shape is not None:
        return _lengths(list(shape)[hub.attr(node, "start") : hub.attr(node, "end")])
    if node.op_type == "Size" and shape is not None and shape.is_static():
        return [np.array(np.prod(hub.shape_of(node.inputs[0]) or [], dtype=np.int64), np.int64)]
    if node.op_type in ("Gather", "Slice"):
        return _picked(node)
    return None


def _filling(node: ir.Node) -> list[np.ndarray] | None:
    """The value of a Pad whose negative amounts leave nothing of its input."""
    if node.op_type != "Pad" or hub.attr(node, "mode") != "constant":
        return None
    shape, dtype = hub.shape_of(node.outputs[0]), node.inputs[0].dtype  # type: ignore[union-attr]
    value = input_at(node, 2)
    number = hub.const(value)
    if (
        not shape
        or dtype is None
        or _count(node.outputs[0]) > LIMIT
        or (value is not None and number is None)
    ):
        return None
    return [np.full(shape, 0 if number is None else number.item(), dtype.numpy())] if cuts_all(node) else None


def _lengths(dims: Any) -> list[np.ndarray] | None:
    dims = np.asarray(dims, object)
    known = all(isinstance(d, int) for d in dims.ravel())
    return [dims.astype(np.int64)] if known else None


def _picked(node: ir.Node) -> list[np.ndarray] | None:
    """Known lengths picked from a Shape of which others are unknown."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    if producer is None or producer.op_type != "Shape" or producer.domain or producer.inputs[0].shape is None:
        return None
    dims = list(producer.inputs[0].shape)[hub.attr(producer, "start") : hub.attr(producer, "end")]
    arguments: list[Any] = [None if v is None else hub.const(v) for v in list(node.inputs)[1:]]
    if any(r is None for r, v in zip(arguments, list(node.inputs)[1:], strict=True) if v is not None):
        return None
    entries = np.empty(len(dims), object)
    entries[:] = dims
    if node.op_type == "Gather":
        return _lengths(entries[arguments[0]])
    step = int(arguments[3][0]) if len(arguments) > 3 and arguments[3] is not None else 1
    return (
        _lengths(entries[int(arguments[0][0]) : int(arguments[1][0]) : step])
        if len(arguments[0]) == 1
        else None
    )


def evaluate(node: ir.Node) -> list[Any] | None:
    """Results of a node of constants; None for any other, and for more than 16 Mi elements."""
    values = [v for v in node.inputs if v is not None]
    if (
        not values
        or node.inputs[0] is None
        or any(v.const_value is None or v.is_graph_input() for v in values)
    ):
        return None
    if any(v.const_value.size > LIMIT for v in values if v.const_value is not None):
        return None
    if any(isinstance(o.shape, ir.Shape) and o.shape.is_static() and _count(o) > LIMIT for o in node.outputs):
        return None
    if _output_size(node) > LIMIT:
        return None
    if node.op_type in MOVES and max(v.const_value.size for v in values if v.const_value is not None) > LARGE:
        return _when_read(node)
    function = NUMPY.get(node.op_type)
    strings = any(v.dtype == ir.DataType.STRING for v in values)
    if function is not None and not node.attributes and not strings:
        try:
            with np.errstate(all="ignore"):
                return [function(*(hub.const(v) for v in values))]
        except ValueError:
            return None
    if node.op_type == "GatherElements":
        return _gathered(node)
    inputs = {f"i{n}": hub.const(v) for n, v in enumerate(node.inputs) if v is not None}
    try:
        results = _run(_single(node), inputs)
    except Exception:
        return None
    return results if all(isinstance(r, (np.ndarray, np.generic)) for r in results) else None


def _gathered(node: ir.Node) -> list[np.ndarray] | None:
    """Elements of constants at constant places; the reference evaluator takes 32 places at most."""
    data, places = (hub.const(value) for value in node.inputs)
    assert data is not None
    assert places is not None
    if data.ndim != places.ndim or not data.ndim:
        return None
    axis = hub.attr(node, "axis") % data.ndim
    region = tuple(slice(None if n == axis else length) for n, length in enumerate(places.shape))
    try:
        return [np.take_along_axis(data[region], places, axis)]
    except (IndexError, ValueError):
        return None


def _run(proto: onnx.ModelProto, inputs: dict[str, Any]) -> list[Any]:
    from onnx.reference import ReferenceEvaluator  # takes 0.1 s, which most models do without

    return list(ReferenceEvaluator(proto).run(None, inputs))


def _when_read(node: ir.Node) -> list[ir.LazyTensor] | None:
    """Results of a node that moves constants, computed when one is read; None where their types are not
    known."""
    proto = _single(node)
    held = {f"i{n}": v.const_value for n, v in enumerate(node.inputs) if v is not None}

    @functools.cache
    def results() -> list[Any]:
        return _run(proto, {name: tensor.numpy() for name, tensor in held.items() if tensor is not None})

    def tensor(index: int) -> ir.Tensor:
        return ir.Tensor(np.asarray(results()[index]))

    types = [(output.dtype, hub.shape_of(output)) for output in node.outputs]
    if any(dtype is None or dtype == ir.DataType.STRING or shape is None for dtype, shape in types):
        return None
    return [
        ir.LazyTensor(functools.partial(tensor, index), dtype, ir.Shape(shape), cache=True)  # type: ignore[arg-type]
        for index, (dtype, shape) in enumerate(types)
    ]


def _output_size(node: ir.Node) -> float:
    """Number of elements an operator makes, where its constants tell."""
    if node.op_type not in ("Range", "ConstantOfShape", "Expand", "Tile"):
        return 0.0
    arrays = [hub.const(v) for v in node.inputs]
    if node.op_type == "Range":
        start, limit, step = (float(a.reshape(())) for a in arrays if a is not None)
        return (limit - start) / step if step else np.inf
    sizes = arrays[-1]
    times = float(np.prod(sizes, dtype=np.float64)) if sizes is not None else 0.0
    return times * (arrays[0].size if node.op_type == "Tile" and arrays[0] is not None else 1)


def _count(value: ir.Value) -> int:
    return math.prod(hub.shape_of(value) or [0])


def _single(node: ir.Node) -> Any:
    named = NodeProto(node)
    types = [onnx.helper.make_value_info(name, tensor_type) for name, tensor_type in named.types.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in named.proto.output]
    graph = onnx.helper.make_graph([named.proto], "fold", types, outputs)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", hub.HUB_OPSET)])


def _replace(graph: ir.Graph, node: ir.Node, arrays: list[Any]) -> list[ir.Value]:
    """Put constants in place of a node's outputs; those constants, none where one is not of the dtype
    declared."""
    constants: list[ir.Value] = []
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    for old, array in zip(node.outputs, arrays, strict=True):
        if not (old.uses() or old.is_graph_output()):
            continue
        array = array if isinstance(array, ir.LazyTensor) else np.asarray(array)
        told = array.dtype.numpy() if isinstance(array, ir.LazyTensor) else array.dtype
        if old.dtype is not None and old.dtype != ir.DataType.STRING and told != old.dtype.numpy():
            return constants
        new = op.const(array)
        constants.append(new)
        if old.is_graph_output():
            new = op.Identity(new)
            new.name, old.name = old.name, None
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return constants
