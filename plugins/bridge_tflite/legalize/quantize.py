"""DequantizeLinear → operator → QuantizeLinear as one integer kernel, scales and zero points kept.

The float graph goes through every other pass between its quantizations; what is left between a DequantizeLinear and a
QuantizeLinear at the end is the operator as TFLite has it, and becomes its integer form in the domain of INTEGER.
Such a node says in its attributes what each of its tensors is quantized by: `scales` and `zeros` of its data inputs, then of
its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of, shape_of
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.export_ops.quantize import INTEGER

T = ir.DataType
WEIGHTS = "bridge.quantization"
MOVERS = frozenset(
    [
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        f"{TFLITE}::Reshape",
        f"{TFLITE}::ExpandDims",
        f"{TFLITE}::Pad",
        f"{TFLITE}::StridedSlice",
        f"{hub.NHWC}::MaxPool",
        f"{hub.NHWC}::DepthToSpace",
        f"{hub.NHWC}::SpaceToDepth",
    ]
)
ELEMENTWISE = frozenset(
    ["Add", "Sub", "Mul", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Relu", f"{TFLITE}::Relu6"]
)
SOFTMAX = (np.float32(1 / 256), -128)


@dataclass(frozen=True)
class Weights:
    """The integers a constant was dequantized from: one scale, or one for each place of `axis`."""

    integers: np.ndarray
    scale: np.ndarray
    axis: int


def parameters(node: ir.Node) -> tuple[np.float32, int] | None:
    """Scale and zero point of a quantization of all elements alike to 8 bits, known before run time."""
    scale = const(node.inputs[1])
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    if scale is None or scale.size != 1 or scale.dtype != np.float32 or attr(node, "block_size", 0):
        return None
    if (
        attr(node, "output_dtype", 0)
        or attr(node, "precision", 0)
        or not np.isfinite(scale).all()
        or scale.item() <= 0
    ):
        return None
    if zero is None or const(zero) is None:
        return None
    return np.float32(scale.reshape(())), int(const(zero).reshape(()))  # type: ignore[union-attr]


def is_quantize(node: ir.Node | None, kind: str) -> bool:
    return node is not None and node.op_type == f"{kind}Linear" and not node.domain


def kept(node: ir.Node) -> bool:
    """Quantizations of int8 that stand between operators of a quantized graph."""
    if is_quantize(node, "Dequantize"):
        return (
            node.inputs[0].dtype == T.INT8 and const(node.inputs[0]) is None and parameters(node) is not None
        )
    if (
        not is_quantize(node, "Quantize")
        or node.outputs[0].dtype != T.INT8
        or node.inputs[0].dtype != T.FLOAT
    ):
        return False
    above = node.inputs[0].producer()
    fed = above is not None and any(
        v is not None and is_quantize(v.producer(), "Dequantize") for v in above.inputs
    )
    read = any(is_quantize(use.node, "Dequantize") for use in node.outputs[0].uses())
    return parameters(node) is not None and (fed or read)


class QuantizedWeights(ir.passes.InPlacePass):
    """1. A dequantized constant becomes a float constant; one of symmetric int8 (or int32, for a bias) remembers its integers.

    2. uint8 between a QuantizeLinear and its DequantizeLinears becomes int8, 128 lower.
    3. A Gemm or MatMul by such weights becomes a fully connected layer.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if is_quantize(node, "Dequantize"):
                changed |= _remember(model.graph, node)
            elif is_quantize(node, "Quantize"):
                changed |= _signed(model.graph, node)
        for node in list(model.graph):
            if node.op_type in ("Gemm", "MatMul") and not node.domain:
                changed |= _fully_connected(model.graph, node)
        return ir.passes.PassResult(model, changed)


def _remember(graph: ir.Graph, node: ir.Node) -> bool:
    array, scale = const(node.inputs[0]), const(node.inputs[1])
    zero = (
        const(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1, np.int8)
    )
    if (
        array is None
        or scale is None
        or zero is None
        or attr(node, "block_size", 0)
        or node.outputs[0].is_graph_output()
    ):
        return False
    if (
        scale.dtype != np.float32
        or attr(node, "output_dtype", 0)
        or (zero.size and array.dtype == np.int32 and zero.any())
    ):
        return False
    if array.dtype == np.uint8 and (zero == 128).all():
        array, zero = (array.astype(np.int16) - 128).astype(np.int8), np.zeros(1, np.int8)
    if array.dtype not in (np.int8, np.uint8, np.int32) or scale.ndim > 1 or zero.size not in (1, scale.size):
        return False
    axis = attr(node, "axis", 1) % max(array.ndim, 1)
    shape = [1] * array.ndim
    if scale.size > 1:
        shape[axis] = -1
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    offset = zero.astype(np.int32).reshape(shape if zero.size > 1 else [])
    made = op.const((array.astype(np.int32) - offset).astype(np.float32) * scale.reshape(shape))
    if not zero.any() and array.dtype != np.uint8:
        made.meta[WEIGHTS] = Weights(array, scale.reshape(-1), axis)
    ir.convenience.replace_all_uses_with(node.outputs[0], made)
    graph.remove(node, safe=True)
    return True


def _signed(graph: ir.Graph, node: ir.Node) -> bool:
    value = node.outputs[0]
    readers = [use.node for use in value.uses()]
    if value.dtype != T.UINT8 or value.is_graph_output() or not readers:
        return False
    if not all(is_quantize(r, "Dequantize") for r in readers) or any(
        parameters(n) is None for n in (node, *readers)
    ):
        return False
    op = hub.Builder(graph, before=node)
    for each in (node, *readers):
        each.replace_input_with(2, op.const(np.array(parameters(each)[1] - 128, np.int8)))  # type: ignore[index]
    value.type = ir.TensorType(T.INT8)
    return True


def _fully_connected(graph: ir.Graph, node: ir.Node) -> bool:
    x, weights = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    held = weights.meta.get(WEIGHTS)
    plain = attr(node, "alpha", 1.0) == attr(node, "beta", 1.0) == 1.0 and not attr(node, "transA", 0)
    if held is None or held.integers.ndim != 2 or not plain or x.dtype != T.FLOAT or (rank_of(x) or 0) < 2:
        return False
    turned = attr(node, "transB", 0)
    width = held.integers.shape[0 if turned else 1]
    if (
        held.integers.dtype != np.int8
        or (bias is not None and shape_of(bias) != [width])
        or not kept_input(x)
    ):
        return False
    if held.scale.size > 1 and held.axis != (0 if turned else 1):
        return False
    if bias is not None and const(bias) is None:
        return False
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    array = const(weights)
    table = op.const(np.ascontiguousarray(array if turned else array.T))
    table.meta[WEIGHTS] = Weights(
        np.ascontiguousarray(held.integers if turned else held.integers.T), held.scale, 0
    )
    result = op.FullyConnected(x, table, bias, _domain=TFLITE, _dtype=T.FLOAT, _shape=node.outputs[0].shape)
    result.name, node.outputs[0].name = node.outputs[0].name, None
    ir.convenience.replace_all_uses_with(node.outputs[0], result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True


def kept_input(value: ir.Value | None) -> bool:
    return value is not None and is_quantize(value.producer(), "Dequantize") and kept(value.producer())  # type: ignore[arg-type]


class IntegerKernels(ir.passes.InPlacePass):
    """1. A QuantizeLinear rises over an operator that only moves elements, and a DequantizeLinear sinks below one.

    2. Quantizing what was just dequantized alike is nothing.
    3. An operator between dequantized inputs and a quantized output, which LiteRT computes on integers with these
       parameters, is computed so.
    4. What quantization is left between float and int8 is QUANTIZE or DEQUANTIZE.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        changed = any(
            [_raise(graph, node) for node in reversed(list(graph)) if is_quantize(node, "Quantize")]
        )
        for node in list(graph):
            if node.graph is graph:
                changed |= _step(graph, node)
        for node in list(graph):
            for kind in ("Quantize", "Dequantize"):
                if is_quantize(node, kind) and kept_at_the_end(node):
                    changed |= _edge(graph, node, kind)
        if changed:
            model.graph.opset_imports[INTEGER] = 1
        return ir.passes.PassResult(model, changed)


def kept_at_the_end(node: ir.Node) -> bool:
    value = node.inputs[0] if is_quantize(node, "Dequantize") else node.outputs[0]
    if is_quantize(node, "Quantize") and not kept(node):
        integer = any(use.node.domain == INTEGER for use in value.uses())
        return integer and parameters(node) is not None
    return value.dtype == T.INT8 and parameters(node) is not None


def _raise(graph: ir.Graph, node: ir.Node) -> bool:
    changed = False
    while True:
        value = node.inputs[0]
        above = value.producer()
        if above is None or not _moves(above) or (not kept(node) and not changed) or len(value.uses()) > 1:
            return changed
        if (
            value.is_graph_output()
            or kept_input(above.inputs[0])
            or parameters(node) is None
            or len(above.inputs) > 2
        ):
            return changed
        if hub.qualified(above).endswith(("MaxPool", "Pad")):
            return changed
        op = hub.Builder(graph, before=above, source=hub.origin(node))
        low = op.QuantizeLinear(above.inputs[0], *node.inputs[1:])
        low.type, low.shape = node.outputs[0].type, above.inputs[0].shape
        _retype(graph, above, node, [low, *above.inputs[1:]], parameters(node), parameters(node))
        node, changed = low.producer(), True


def _moves(node: ir.Node) -> bool:
    return hub.qualified(node) in MOVERS


def _step(graph: ir.Graph, node: ir.Node) -> bool:
    if is_quantize(node, "Quantize"):
        above = node.inputs[0].producer()
        same = is_quantize(above, "Dequantize") and kept(above) and parameters(above) == parameters(node)  # type: ignore[arg-type]
        if not same or node.outputs[0].is_graph_output() or node.outputs[0].dtype != above.inputs[0].dtype:  # type: ignore[union-attr]
            return False
        ir.convenience.replace_all_uses_with(node.outputs[0], above.inputs[0])  # type: ignore[union-attr]
        graph.remove(node, safe=True)
        return True
    if not node.inputs or len(node.outputs) != 1:
        return False
    if _moves(node) and kept_input(node.inputs[0]):
        return _sink(graph, node)
    uses = list(node.outputs[0].uses())
    below = uses[0].node if len(uses) == 1 and not node.outputs[0].is_graph_output() else None
    if below is None or not is_quantize(below, "Quantize") or below.outputs[0].dtype != T.INT8:
        return False
    made = parameters(below)
    inputs = None if made is None else _integer_inputs(graph, node, made)
    if inputs is None:
        return False
    values, given = inputs
    _retype(graph, node, below, values, *given, made)
    return True


def _retype(graph: ir.Graph, node: ir.Node, replaced: ir.Node, inputs: list, *given: Any) -> None:
    """The integer form of `node` in place of `replaced`, which quantized its result (or dequantizes it later)."""
    attributes = [a for a in node.attributes.values()]
    made = ir.Node(
        INTEGER, node.op_type, inputs, attributes, num_outputs=1, metadata_props=dict(node.metadata_props)
    )
    made.attributes["scales"] = ir.AttrFloat32s("scales", [float(g[0]) for g in given])
    made.attributes["zeros"] = ir.AttrInt64s("zeros", [g[1] for g in given])
    if hub.origin(node):
        made.metadata_props.setdefault(hub.SOURCE, hub.origin(node))
    new, old = made.outputs[0], replaced.outputs[0]
    new.type, new.shape = ir.TensorType(T.INT8), node.outputs[0].shape
    graph.insert_before(replaced, made)
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(replaced, safe=True)
    if node is not replaced and not node.outputs[0].uses():
        graph.remove(node, safe=True)


def _sink(graph: ir.Graph, node: ir.Node) -> bool:
    dequantize = node.inputs[0].producer()
    given = parameters(dequantize)  # type: ignore[arg-type]
    rest = list(node.inputs[1:])
    if hub.qualified(node) == f"{TFLITE}::Pad" and len(rest) > 1:
        value = const(rest[1])
        if value is None or value.item() > -3e38:
            return False
        rest[1] = hub.Builder(graph).const(np.array(-128, np.int8))
    old = node.outputs[0]
    made = ir.Node(
        INTEGER,
        node.op_type,
        [dequantize.inputs[0], *rest],  # type: ignore[union-attr]
        list(node.attributes.values()),
        num_outputs=1,
        metadata_props=dict(node.metadata_props),
    )
    made.attributes["scales"] = ir.AttrFloat32s("scales", [float(given[0])] * 2)  # type: ignore[index]
    made.attributes["zeros"] = ir.AttrInt64s("zeros", [given[1]] * 2)  # type: ignore[index]
    made.outputs[0].type, made.outputs[0].shape = ir.TensorType(T.INT8), old.shape
    graph.insert_before(node, made)
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    result = op.DequantizeLinear(made.outputs[0], *dequantize.inputs[1:])  # type: ignore[union-attr]
    result.type, result.shape = old.type, old.shape
    result.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True


def _integer_inputs(graph: ir.Graph, node: ir.Node, made: tuple) -> Any:
    """Integer inputs and their parameters where LiteRT has the operator on them; None otherwise."""
    name = hub.qualified(node)
    data = node.inputs if name in ELEMENTWISE or name in ("MatMul", "Concat") else node.inputs[:1]
    if not all(kept_input(v) for v in data):
        return None
    given = [parameters(v.producer()) for v in data]  # type: ignore[union-attr, arg-type]
    values = [v.producer().inputs[0] for v in data]  # type: ignore[union-attr]
    if name in ELEMENTWISE or (name == "MatMul" and min(rank_of(v) or 0 for v in data) >= 2):
        return (values, given) if max(rank_of(v) or 0 for v in data) <= 4 else None
    if name == "ReduceMean":
        axes = node.inputs[1] if len(node.inputs) > 1 else None
        return ([*values, axes], given) if axes is not None and const(axes) is not None else None
    if name == "Softmax":
        return (values, given) if made == SOFTMAX and (rank_of(data[0]) or 9) <= 4 else None
    if name == f"{hub.NHWC}::AveragePool":
        return (values, given) if given[0] == made else None
    if name == "Concat":
        return (values, given) if all(g == made for g in given) else None
    if name in (f"{hub.NHWC}::Conv", f"{TFLITE}::FullyConnected"):
        return _layer(graph, node, values, given)
    return None


def _layer(graph: ir.Graph, node: ir.Node, values: list, given: list) -> Any:
    """Weights of symmetric int8 and a bias of int32 by the product of both scales."""
    held = node.inputs[1].meta.get(WEIGHTS)  # type: ignore[union-attr]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if held is None or held.integers.dtype != np.int8 or (held.scale.size > 1 and held.axis != 0):
        return None
    scale = np.float32(given[0][0]) * held.scale
    width = held.integers.shape[0]
    integers = np.zeros(width, np.int64)
    if bias is not None:
        own = bias.meta.get(WEIGHTS)
        if (
            own is not None
            and own.integers.dtype == np.int32
            and np.allclose(own.scale, scale, rtol=1e-6, atol=0)
        ):
            integers = own.integers.astype(np.int64)
        else:
            integers = np.rint(np.asarray(const(bias), np.float64).reshape(-1) / scale.astype(np.float64))
    if np.abs(integers).max(initial=0) >= 2**31 - 1:
        return None
    op = hub.Builder(graph)
    node.attributes["weight_scales"] = ir.AttrFloat32s("weight_scales", [float(s) for s in held.scale])
    return [*values, op.const(held.integers), op.const(integers.astype(np.int32).reshape(-1))], given


def _edge(graph: ir.Graph, node: ir.Node, kind: str) -> bool:
    scale, zero = parameters(node)  # type: ignore[misc]
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    old = node.outputs[0]
    result = op.node(
        kind,
        node.inputs[0],
        _domain=INTEGER,
        _dtype=old.dtype,
        _shape=old.shape,
        scales=[float(scale)],
        zeros=[zero],
    )
    result.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True
