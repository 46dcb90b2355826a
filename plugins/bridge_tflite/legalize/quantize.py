"""What quantization a model holds, before anything else is rewritten: which values are integers in TFLite, and by which integers
a constant stands.

The float graph goes through every other pass between its quantizations; `integer.py` then finds the operators left between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.facts import QUANTIZED
from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.quant import QuantParams, is_dequantize, is_quantize, quant_params
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.legalize.bodies import give
from bridge_tflite.legalize.nn import added_bias

T = ir.DataType
KINDS = (T.INT8, T.UINT8, T.INT16)
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
WEIGHTS = "bridge.quantization"


@dataclass(frozen=True)
class Weights:
    """The integers a constant was dequantized from, per tensor or per axis."""

    integers: np.ndarray
    params: QuantParams

    def transpose(self, perm: list[int]) -> Weights:
        """With the dimensions in the order of `perm`."""
        return Weights(np.ascontiguousarray(self.integers.transpose(perm)), self.params.transpose(perm))


def kernel_params(node: ir.Node) -> QuantParams | None:
    """The parameters of a QuantizeLinear or DequantizeLinear that TFLite's kernels compute with: int8, uint8 or
    int16 per tensor, known before run time; None for any other."""
    params = quant_params(node)
    if (
        params is None
        or not params.per_tensor
        or params.scale.dtype != np.float32
        or params.dtype not in KINDS
    ):
        return None
    if attr(node, "precision") or (
        is_dequantize(node) and attr(node, "output_dtype") not in (0, int(T.FLOAT))
    ):
        return None
    valid = np.isfinite(params.scale) and params.scale > 0 and (params.dtype != T.INT16 or params.symmetric)
    return params if valid else None


def kept(node: ir.Node) -> bool:
    """Whether a quantization stands between the operators of a quantized graph."""
    return bool(QUANTIZED.get(node))


def kept_input(value: ir.Value | None) -> bool:
    return value is not None and is_dequantize(value.producer()) and kept(value.producer())


class QuantizedWeights(ir.passes.InPlacePass):
    """1. A dequantized constant becomes a float constant that remembers its integers, transposed where it is.

    2. uint8 becomes int8, 128 lower, where the weights it meets are symmetric; where they are not, uint8 stays.
    3. The quantizations of a quantized graph are marked: what reads integers, what makes them from numbers that came from
       integers, and what makes them to be read again.
    4. A Gemm or MatMul by such weights becomes a fully connected layer.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        if not any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in graph):
            return ir.passes.PassResult(model, False)
        for node in list(graph):
            if is_dequantize(node):
                _remember(graph, node)
            elif node.op_type == "Transpose" and WEIGHTS in node.inputs[0].meta:
                _turned(graph, node)
        if _symmetric(graph):
            for value in [v for n in graph for v in n.outputs] + list(graph.inputs):
                _signed(graph, value)
        _mark(graph)
        for node in list(graph):
            if node.op_type in ("Gemm", "MatMul") and not node.domain:
                _fully_connected(graph, node)
        give(model)
        return ir.passes.PassResult(model, True)


def _remember(graph: ir.Graph, node: ir.Node) -> None:
    array, params = const(node.inputs[0]), quant_params(node)
    if array is None or params is None or node.outputs[0].is_graph_output():
        return
    if params.scale.dtype != np.float32 or attr(node, "output_dtype") not in (0, 1) or params.block_size:
        return
    if params.dtype not in (*KINDS, T.INT32):
        return
    made = hub.Builder(graph, before=node, source=hub.origin(node)).const(params.dequantize(array))
    if params.dtype == T.UINT8 and (params.zero_point == 128).all() and array.ndim > 1:
        array = (array.astype(np.int16) - 128).astype(np.int8)
        params = QuantParams.of(params.scale, None, T.INT8, params.axis)
    made.meta[WEIGHTS] = Weights(array, params)
    ir.convenience.replace_all_uses_with(node.outputs[0], made)
    graph.remove(node, safe=True)


def _turned(graph: ir.Graph, node: ir.Node) -> None:
    """Weights whose axes are put in another order before they are used."""
    held, array = node.inputs[0].meta[WEIGHTS], const(node.inputs[0])
    perm = attr(node, "perm") or list(range(array.ndim))[::-1]
    if node.outputs[0].is_graph_output() or held.integers.ndim < 1:
        return
    made = hub.Builder(graph).const(np.ascontiguousarray(array.transpose(perm)))
    made.meta[WEIGHTS] = held.transpose(perm)
    ir.convenience.replace_all_uses_with(node.outputs[0], made)
    graph.remove(node, safe=True)


def _symmetric(graph: ir.Graph) -> bool:
    """Whether there are layers, and the quantized weights of all of them lie around zero."""
    nodes = [n for n in graph if n.op_type in LAYERS and not n.domain]
    weights = [n.inputs[1].meta.get(WEIGHTS) for n in nodes if n.inputs[1] is not None]
    return bool(nodes) and all(w is None or w.params.symmetric for w in weights)


def _agreed(value: ir.Value) -> QuantParams | None:
    """What every quantization that makes or reads `value` says of it."""
    nodes = [use.node for use in value.uses() if is_dequantize(use.node) and use.idx == 0]
    made = value.producer()
    found = {kernel_params(n) for n in ([*nodes, made] if is_quantize(made) else nodes)}
    return found.pop() if len(found) == 1 else None


def _signed(graph: ir.Graph, value: ir.Value) -> None:
    given = _agreed(value) if value.dtype == T.UINT8 else None
    if given is None:
        return
    readers = [use.node for use in value.uses() if is_dequantize(use.node)]
    made = value.producer()
    outside = value.is_graph_output() or len(readers) < len(value.uses())
    if not outside and is_quantize(made):
        _retyped(graph, [made, *readers], value, given)  # type: ignore[list-item]
    elif is_quantize(made):
        op = hub.Builder(graph, before=made, source=hub.origin(made))
        low = _low(op, made.inputs[0], given)
        made.replace_input_with(0, op.DequantizeLinear(low, *low.producer().inputs[1:]))
        _reread(graph, readers, low)
    elif readers:
        op = hub.Builder(graph, before=readers[0], source=hub.origin(readers[0]))
        _reread(graph, readers, _low(op, given.dequantize_linear(op, value), given))


def _low(op: hub.Builder, x: ir.Value, given: QuantParams) -> ir.Value:
    """`x` quantized as `given` says, in int8."""
    made = QuantParams.of(given.scale, int(given.zero_point) - 128, T.INT8).quantize_linear(op, x)
    made.type, made.shape = ir.TensorType(T.INT8), x.shape
    return made


def _reread(graph: ir.Graph, readers: list[ir.Node], low: ir.Value) -> None:
    for reader in readers:
        reader.replace_input_with(0, low)
        _with_zero(graph, reader, low.producer().inputs[2])


def _retyped(graph: ir.Graph, nodes: list[ir.Node], value: ir.Value, given: QuantParams) -> None:
    zero = hub.Builder(graph).const(np.array(int(given.zero_point) - 128, np.int8))
    for node in nodes:
        _with_zero(graph, node, zero)
        node.attributes.pop("output_dtype", None)
    value.type = ir.TensorType(T.INT8)


def _with_zero(graph: ir.Graph, node: ir.Node, zero: ir.Value | None) -> None:
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, zero)


def _mark(graph: ir.Graph) -> None:
    flowing: set[ir.Value] = set()
    for node in graph:
        if is_dequantize(node):
            if const(node.inputs[0]) is None and _agreed(node.inputs[0]) is not None:
                QUANTIZED.set(node, True)
                flowing.update(node.outputs)
        elif is_quantize(node):
            read = any(is_dequantize(use.node) for use in node.outputs[0].uses())
            whole = node.inputs[0].dtype == T.FLOAT and _agreed(node.outputs[0]) is not None
            if whole and (read or node.inputs[0] in flowing):
                QUANTIZED.set(node, True)
        elif any(v in flowing for v in node.inputs):
            flowing.update(node.outputs)


def _fully_connected(graph: ir.Graph, node: ir.Node) -> None:
    x, weights = node.inputs[:2]
    bias = input_at(node, 2)
    held = weights.meta.get(WEIGHTS)
    plain = node.op_type == "MatMul" or (
        attr(node, "alpha") == attr(node, "beta") == 1.0 and not attr(node, "transA")
    )
    if held is None or held.integers.ndim != 2 or not plain or not kept_input(x) or (rank_of(x) or 0) < 2:
        return
    turned = attr(node, "transB")
    width = held.integers.shape[0 if turned else 1]
    if held.params.axis not in (None, 0 if turned else 1):
        return
    result, replaced = node.outputs[0], [node]
    if node.op_type == "MatMul" and (found := added_bias(node, width)) is not None:
        add, bias = found
        result, replaced = add.outputs[0], [add, node]
    if bias is not None and (const(bias) is None or shape_of(bias) is None or const(bias).size != width):
        return
    op = hub.Builder(graph, before=replaced[0], source=hub.origin(node))
    array = const(weights)
    table = op.const(np.ascontiguousarray(array if turned else array.T))
    table.meta[WEIGHTS] = held if turned else held.transpose([1, 0])
    if bias is not None and rank_of(bias) != 1:
        flat = op.const(const(bias).reshape(-1))
        flat.meta.update(bias.meta)
        bias = flat
    made = op.FullyConnected(x, table, bias, _domain=TFLITE, _dtype=T.FLOAT, _shape=result.shape)
    made.name, result.name = result.name, None
    ir.convenience.replace_all_uses_with(result, made, replace_graph_outputs=True)
    graph.remove(replaced, safe=True)
