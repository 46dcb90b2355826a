"""Inputs and outputs of a quantized model as integers, and floats around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.quant import QuantParams, is_dequantize, is_quantize, quant_params

__all__ = ["Interface", "expose_integers", "interface_of"]


@dataclass(frozen=True)
class Interface:
    """The parameters of the inputs and outputs that are integers where those of the float model are floats,
    by name."""

    inputs: Mapping[str, QuantParams]
    outputs: Mapping[str, QuantParams]

    def given(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as the quantized model takes them, of floats."""
        return {n: self.inputs[n].quantize(a) if n in self.inputs else a for n, a in row.items()}

    def floats(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs as numbers, of what the quantized model gives."""
        return {
            n: self.outputs[n].dequantize(np.asarray(a)) if n in self.outputs else a for n, a in found.items()
        }

    def notes(self) -> list[str]:
        """Sentences on the numbers that integers stand for."""
        return [
            f"{side} {name} is {params.dtype.name.lower()}: (integer - {int(params.zero_point)}) × "
            f"{float(params.scale):.7g}"
            for side, ports in (("input", self.inputs), ("output", self.outputs))
            for name, params in ports.items()
        ]


def expose_integers(model: ir.Model) -> None:
    """Take away the QuantizeLinear of inputs that nothing else reads, and the DequantizeLinear that gives an
    output: both are integers then, of the same names."""
    graph = model.graph
    for index, value in enumerate(list(graph.inputs)):
        readers = [use.node for use in value.uses()]
        if len(readers) == 1 and is_quantize(readers[0]) and not value.is_graph_output():
            _replace_input(graph, index, value, readers[0])
    for index, value in enumerate(list(graph.outputs)):
        node = value.producer()
        if is_dequantize(node) and not value.uses() and node.inputs[0] not in graph.inputs:
            integers = node.inputs[0]
            if integers is None or integers.is_graph_output() or integers.const_value is not None:
                continue
            graph.outputs[index] = integers
            integers.shape, name, value.name = value.shape, value.name, None
            integers.name = name
            integers.metadata_props.update(value.metadata_props)
            graph.remove(node, safe=True)


def _replace_input(graph: ir.Graph, index: int, value: ir.Value, quantize: ir.Node) -> None:
    old = quantize.outputs[0]
    graph.inputs[index] = fresh = ir.Value(
        name=value.name,
        shape=value.shape,
        type=ir.TensorType(old.dtype or ir.DataType.INT8),
        doc_string=value.doc_string,
        metadata_props=dict(value.metadata_props),
    )
    ir.convenience.replace_all_uses_with(old, fresh)
    graph.remove(quantize, safe=True)


def interface_of(floats: ir.Model, model: ir.Model) -> Interface:
    """The interface of a quantized model of a float one."""
    kinds = {v.name: v.dtype for v in (*floats.graph.inputs, *floats.graph.outputs)}
    inputs, outputs = {}, {}
    for value in model.graph.inputs:
        reader = next((u.node for u in value.uses() if is_dequantize(u.node)), None)
        if value.dtype != kinds.get(value.name) and reader is not None:
            inputs[value.name or ""] = quant_params(reader)
    for value in model.graph.outputs:
        maker = value.producer()
        if value.dtype != kinds.get(value.name) and is_quantize(maker):
            outputs[value.name or ""] = quant_params(maker)
    return Interface(
        {n: p for n, p in inputs.items() if p is not None},
        {n: p for n, p in outputs.items() if p is not None},
    )
