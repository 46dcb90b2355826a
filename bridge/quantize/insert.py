"""QuantizeLinear and DequantizeLinear put where a plan wants them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

from bridge import hub
from bridge.hub import attr, const, held, input_at
from bridge.quant import QuantParams, limits, quant_params
from bridge.quantize.place import Plan, moves, range_params
from bridge.quantize.schemes import Holding, Scheme
from bridge.quantize.standard import bounds
from bridge.quantize.weights import LAYERS, channel_axis, quantized, symmetric_params

__all__ = ["insert"]

LARGEST_BIAS = 2.0**30
"""Steps of a bias of 32 bits, at most: the sum of products is added to it."""


@dataclass
class Insertion:
    """A graph whose kernels are to read and give integers."""

    graph: ir.Graph
    plan: Plan
    holding: Holding
    scheme: Scheme
    made: dict[tuple[ir.Value, QuantParams, str], ir.Value] = field(default_factory=dict)

    def through(self, value: ir.Value, params: QuantParams, source: ir.Node) -> ir.Value:
        """A value quantized and dequantized again."""
        if (value, params, "") not in self.made:
            op = hub.Builder(self.graph, source=hub.origin(value.producer() or source))
            self.made[value, params, ""] = params.dequantize_linear(op, params.quantize_linear(op, value))
        return self.made[value, params, ""]

    def stored(self, value: ir.Value, params: QuantParams, node: ir.Node) -> ir.Value:
        """A constant held as integers."""
        key = (value, params, "stored")
        if key not in self.made:
            op = hub.Builder(self.graph, source=hub.origin(node))
            array = const(value)
            assert array is not None
            self.made[key] = params.dequantize_linear(op, op.const(quantized(array, params)))
        return self.made[key]

    def kernel(self, node: ir.Node) -> None:
        """Make the data of one kernel quantized."""
        data = self.plan.params.get(node.inputs[0])  # type: ignore[arg-type]
        gives = self.plan.params.get(node.outputs[0]) if moves(node, self.holding) else None
        for index, value in list(self.plan.reads(node)):
            if held(value) is not None:
                params = gives or self._constant(node, index, value, data)
                node.replace_input_with(index, self.stored(value, params, node))
                continue
            result = self.through(value, self.plan.params[value], node)
            if gives is not None and gives != self.plan.params[value]:
                result = self.through(result, gives, node)
            node.replace_input_with(index, result)
        if node.op_type in LAYERS and data is not None:
            self._bias(node, data)

    def _constant(self, node: ir.Node, index: int, value: ir.Value, data: QuantParams | None) -> QuantParams:
        """The parameters of a constant: of weights, or of its own range."""
        array = const(value)
        assert array is not None
        if node.op_type in LAYERS and index == 1:
            axis = channel_axis(node) if node.op_type in self.holding.per_channel else None
            return symmetric_params(array, self.scheme.weights, axis, _least(node, axis, data))
        assert self.scheme.activations is not None
        return range_params(float(array.min()), float(array.max()), self.scheme.activations)

    def _bias(self, node: ir.Node, data: QuantParams) -> None:
        """Hold a bias as integers of the product of the scales of data and weights."""
        bias, weights = input_at(node, 2), node.inputs[1].producer()  # type: ignore[union-attr]
        array, own = const(bias), None if weights is None else quant_params(weights)
        if array is None or own is None or data.dtype == ir.DataType.INT16:
            return
        if node.op_type == "Gemm" and (attr(node, "beta"), attr(node, "alpha")) != (1.0, 1.0):
            return
        scale = own.scale * data.scale
        if array.ndim != 1 or (scale.ndim and scale.size != array.size):
            return
        if np.abs(array / scale.astype(np.float64)).max(initial=0) <= LARGEST_BIAS:
            params = QuantParams.of(scale, None, ir.DataType.INT32, 0)
            node.replace_input_with(2, self.stored(bias, params, node))

    def drop_clip(self, node: ir.Node) -> None:
        """Take a Clip away that is part of a kernel, where saturation does the same within half a step."""
        if node.op_type != "Clip" or node.inputs[0] not in self.plan.inner:
            return
        params, ends = self.plan.params[node.outputs[0]], bounds(node)
        assert ends is not None
        low, high = (
            float(params.dequantize(np.array(n, params.dtype.numpy()))) for n in limits(params.dtype)
        )
        if low >= ends[0] - params.scale / 2 and high <= ends[1] + params.scale / 2:
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])  # type: ignore[arg-type]
            self.graph.remove(node, safe=True)

    def results(self) -> None:
        """Have everybody else read the results of kernels as they are after quantization."""
        for value in list(self.plan.results()):
            params = self.plan.params[value]
            node = value.producer()
            assert node is not None
            result = self.through(value, params, node)
            quantize = result.producer().inputs[0].producer()  # type: ignore[union-attr]
            for use in list(value.uses()):
                if use.node is not quantize:
                    use.node.replace_input_with(use.idx, result)
            if value.is_graph_output():
                self._replace_output(value, result)

    def _replace_output(self, value: ir.Value, result: ir.Value) -> None:
        result.metadata_props.update(value.metadata_props)
        for index, output in enumerate(self.graph.outputs):
            if output is value:
                self.graph.outputs[index] = result
        result.shape, result.name, value.name = value.shape, value.name, None


def _least(node: ir.Node, axis: int | None, data: QuantParams | None) -> np.ndarray | None:
    """The least scales of weights with which the bias has no more steps than 32 bits hold."""
    bias = const(input_at(node, 2))
    if bias is None or data is None or data.dtype == ir.DataType.INT16:
        return None
    least = np.abs(bias.astype(np.float64)).reshape(-1) / LARGEST_BIAS / float(data.scale)
    channels = None if axis is None else node.inputs[1].shape[axis]  # type: ignore[union-attr,index]
    return least if least.size == channels else least.max(initial=0)


def insert(model: ir.Model, plan: Plan, holding: Holding, scheme: Scheme) -> None:
    """Put the quantizations of a plan into the graph of a model."""
    work = Insertion(model.graph, plan, holding, scheme)
    for node in plan.kernels:
        work.kernel(node)
    work.results()
    for node in plan.kernels:
        work.drop_clip(node)
    TopologicalSortPass()(model)
