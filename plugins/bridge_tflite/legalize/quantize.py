"""Quantization of a model before any other rewrite: marks on quantized values, integers kept for constants.

The other passes work on the float graph between the quantizations. `quantize_integer.py` then finds the
operators between them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.facts import QUANTIZED
from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.quant import QuantParams, is_dequantize, is_quantize, quant_params
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.kept_weights import WEIGHTS, Weights, keep
from bridge_tflite.legalize.bodies import add_bodies
from bridge_tflite.legalize.nn import added_bias

T = ir.DataType
QUANTIZED_DTYPES = (T.INT8, T.UINT8, T.INT16)
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
INTEGER_PRODUCTS = ("ConvInteger", "MatMulInteger")


def kernel_params(node: ir.Node) -> QuantParams | None:
    """Parameters that TFLite's kernels compute with: constant, int8, uint8 or int16, per tensor. None for any
    others."""
    params = quant_params(node)
    if (
        params is None
        or not params.per_tensor
        or params.scale.dtype != np.float32
        or params.dtype not in QUANTIZED_DTYPES
    ):
        return None
    if attr(node, "precision") or (
        is_dequantize(node) and attr(node, "output_dtype") not in (0, int(T.FLOAT))
    ):
        return None
    valid = np.isfinite(params.scale) and params.scale > 0 and (params.dtype != T.INT16 or params.symmetric)
    return params if valid else None


def is_marked(node: ir.Node) -> bool:
    """True for a QuantizeLinear or DequantizeLinear that belongs to a quantized graph."""
    return bool(QUANTIZED.get(node))


def has_marked_producer(value: ir.Value | None) -> bool:
    return value is not None and is_dequantize(value.producer()) and is_marked(value.producer())


class QuantizedWeights(ir.passes.InPlacePass):
    """1. A dequantized constant becomes a float constant that keeps its integers as metadata, also through a
       Transpose.

    2. uint8 becomes int8, lowered by 128, if the weights of the layers are symmetric; else uint8 stays.
    3. The quantizations of a quantized graph are marked: a DequantizeLinear of run-time integers, and a
       QuantizeLinear whose input comes from one or whose output is dequantized again.
    4. A Gemm or MatMul by such weights becomes a fully connected layer.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        if not any(n.op_type in ("QuantizeLinear", "DequantizeLinear") for n in graph):
            return ir.passes.PassResult(model, False)
        for node in list(graph):
            if is_dequantize(node):
                _fold_dequantize(graph, node)
            elif node.op_type == "Transpose" and WEIGHTS in node.inputs[0].meta:
                _transpose_weights(graph, node)
        if _has_symmetric_weights(graph):
            for value in [v for n in graph for v in n.outputs] + list(graph.inputs):
                _convert_to_int8(graph, value)
        _mark(graph)
        for node in list(graph):
            if node.op_type in ("Gemm", "MatMul") and not node.domain:
                _to_fully_connected(graph, node)
        add_bodies(model)
        return ir.passes.PassResult(model, True)


def _fold_dequantize(graph: ir.Graph, node: ir.Node) -> None:
    array, params = const(node.inputs[0]), quant_params(node)
    if array is None or params is None or node.outputs[0].is_graph_output():
        return
    if params.scale.dtype != np.float32 or attr(node, "output_dtype") not in (0, 1) or params.block_size:
        return
    if params.dtype not in (*QUANTIZED_DTYPES, T.INT32):
        return
    weights = hub.Builder(graph, before=node, source=hub.origin(node)).const(params.dequantize(array))
    if params.dtype == T.UINT8 and (params.zero_point == 128).all() and array.ndim > 1:
        array = (array.astype(np.int16) - 128).astype(np.int8)
        params = QuantParams.of(params.scale, None, T.INT8, params.axis)
    keep(graph, weights, Weights(array, params))
    ir.convenience.replace_all_uses_with(node.outputs[0], weights)
    graph.remove(node, safe=True)


def _transpose_weights(graph: ir.Graph, node: ir.Node) -> None:
    """Fold a Transpose of quantized weights into their integers."""
    stored, array = node.inputs[0].meta[WEIGHTS], const(node.inputs[0])
    perm = attr(node, "perm") or list(range(array.ndim))[::-1]
    if node.outputs[0].is_graph_output() or stored.integers.ndim < 1:
        return
    weights = hub.Builder(graph).const(np.ascontiguousarray(array.transpose(perm)))
    weights.meta[WEIGHTS] = stored.transpose(perm)
    ir.convenience.replace_all_uses_with(node.outputs[0], weights)
    graph.remove(node, safe=True)


def _has_symmetric_weights(graph: ir.Graph) -> bool:
    """True if there are layers and all their quantized weights are symmetric."""
    nodes = [n for n in graph if n.op_type in LAYERS and not n.domain]
    weights = [n.inputs[1].meta.get(WEIGHTS) for n in nodes if n.inputs[1] is not None]
    return bool(nodes) and all(w is None or w.params.symmetric for w in weights)


def _common_params(value: ir.Value) -> QuantParams | None:
    """Parameters on which all quantizations that write or read `value` agree, or None."""
    nodes = [use.node for use in value.uses() if is_dequantize(use.node) and use.idx == 0]
    producer = value.producer()
    candidates = {kernel_params(n) for n in ([*nodes, producer] if is_quantize(producer) else nodes)}
    return candidates.pop() if len(candidates) == 1 else None


def _convert_to_int8(graph: ir.Graph, value: ir.Value) -> None:
    params = _common_params(value) if value.dtype == T.UINT8 else None
    if params is None:
        return
    readers = [use.node for use in value.uses() if is_dequantize(use.node)]
    producer = value.producer()
    is_shared = value.is_graph_output() or len(readers) < len(value.uses())
    if not is_shared and is_quantize(producer):
        _retype(graph, [producer, *readers], value, params)  # type: ignore[list-item]
    elif is_quantize(producer):
        op = hub.Builder(graph, before=producer, source=hub.origin(producer))
        low = _quantize_int8(op, producer.inputs[0], params)
        producer.replace_input_with(0, op.DequantizeLinear(low, *low.producer().inputs[1:]))
        _redirect_readers(graph, readers, low)
    elif readers:
        op = hub.Builder(graph, before=readers[0], source=hub.origin(readers[0]))
        _redirect_readers(graph, readers, _quantize_int8(op, params.dequantize_linear(op, value), params))


def _quantize_int8(op: hub.Builder, x: ir.Value, params: QuantParams) -> ir.Value:
    """`x` quantized to int8 by the uint8 parameters `params`, zero point lowered by 128."""
    quantized = QuantParams.of(params.scale, int(params.zero_point) - 128, T.INT8).quantize_linear(op, x)
    quantized.type, quantized.shape = ir.TensorType(T.INT8), x.shape
    return quantized


def _redirect_readers(graph: ir.Graph, readers: list[ir.Node], low: ir.Value) -> None:
    for reader in readers:
        reader.replace_input_with(0, low)
        _set_zero_point(graph, reader, low.producer().inputs[2])


def _retype(graph: ir.Graph, nodes: list[ir.Node], value: ir.Value, params: QuantParams) -> None:
    zero = hub.Builder(graph).const(np.array(int(params.zero_point) - 128, np.int8))
    for node in nodes:
        _set_zero_point(graph, node, zero)
        node.attributes.pop("output_dtype", None)
    value.type = ir.TensorType(T.INT8)


def _set_zero_point(graph: ir.Graph, node: ir.Node, zero: ir.Value | None) -> None:
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, zero)


def _mark(graph: ir.Graph) -> None:
    flowing: set[ir.Value] = set()
    for node in graph:
        if is_dequantize(node):
            if held(node.inputs[0]) is None and _common_params(node.inputs[0]) is not None:
                QUANTIZED.set(node, True)
                flowing.update(node.outputs)
        elif is_quantize(node):
            read = any(is_dequantize(use.node) for use in node.outputs[0].uses())
            is_uniform = node.inputs[0].dtype == T.FLOAT and _common_params(node.outputs[0]) is not None
            if is_uniform and (read or node.inputs[0] in flowing):
                QUANTIZED.set(node, True)
        elif any(v in flowing for v in node.inputs):
            flowing.update(node.outputs)


def _to_fully_connected(graph: ir.Graph, node: ir.Node) -> None:
    x, weights = node.inputs[:2]
    bias = input_at(node, 2)
    stored = weights.meta.get(WEIGHTS)
    is_product = node.op_type == "MatMul" or (
        attr(node, "alpha") == attr(node, "beta") == 1.0 and not attr(node, "transA")
    )
    if (
        stored is None
        or stored.integers.ndim != 2
        or not is_product
        or not has_marked_producer(x)
        or (rank_of(x) or 0) < 2
    ):
        return
    trans_b = attr(node, "transB")
    width = stored.integers.shape[0 if trans_b else 1]
    if stored.params.axis not in (None, 0 if trans_b else 1):
        return
    result, replaced = node.outputs[0], [node]
    if node.op_type == "MatMul" and (match := added_bias(node, width)) is not None:
        add, bias = match
        result, replaced = add.outputs[0], [add, node]
    if bias is not None and (held(bias) is None or shape_of(bias) is None or const(bias).size != width):
        return
    op = hub.Builder(graph, before=replaced[0], source=hub.origin(node))
    array = const(weights)
    transposed = op.const(np.ascontiguousarray(array if trans_b else array.T))
    transposed.meta[WEIGHTS] = stored if trans_b else stored.transpose([1, 0])
    if bias is not None and rank_of(bias) != 1:
        flat = op.const(const(bias).reshape(-1))
        flat.meta.update(bias.meta)
        bias = flat
    layer = op.FullyConnected(x, transposed, bias, _domain=TFLITE, _dtype=T.FLOAT, _shape=result.shape)
    layer.name, result.name = result.name, None
    ir.convenience.replace_all_uses_with(result, layer, replace_graph_outputs=True)
    graph.remove(replaced, safe=True)
