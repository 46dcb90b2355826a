"""Layers returned to float, the most harmful first, until a quantized model keeps what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from bridge import hub
from bridge.quantize.accuracy import worst
from bridge.quantize.place import plan

if TYPE_CHECKING:
    from bridge.quantize.core import Work

__all__ = ["layers_of", "returned_layers"]

OVERHEAD = 1024
"""Bytes that any layer is taken to cost: one without weights is not free."""


def layers_of(work: Work) -> list[list[str]]:
    """The layers of a model that a scheme quantizes, each the names of the nodes of one kernel, in order."""
    model, holding = work.model, work.holding
    if not work.scheme.is_static:
        nodes = [n for n in hub.all_nodes(model) if not n.domain and n.op_type in holding.kernels]
        return [[node.name or ""] for node in nodes if any(map(_bytes, node.inputs))]
    ranges = {v: work.ranges[v.name or ""] for v in _values(model) if v.name in work.ranges}
    found = plan(model.graph, holding, work.scheme, ranges, set(), "minmax")
    groups: dict[ir.Node, list[str]] = {}
    heads: dict[ir.Node, ir.Node] = {}
    for node in found.kernels:
        above = next((v.producer() for v in node.inputs if v is not None and v in found.inner), None)
        heads[node] = node if above is None else heads[above]
        groups.setdefault(heads[node], []).append(node.name or "")
    return list(groups.values())


def _values(model: ir.Model) -> list[ir.Value]:
    return [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]


def _bytes(value: ir.Value | None) -> int:
    tensor = hub.held(value)
    return 0 if tensor is None else tensor.nbytes


def returned_layers(work: Work) -> list[str]:
    """The least number of layers, in the order of the noise that each alone adds to the worst output per byte
    that its float weights take, without which the model keeps what is asked of it."""
    nodes = {node.name: node for node in hub.all_nodes(work.model)}
    ranked = []
    for layer in layers_of(work):
        kept = worst(work.measure(work.without(only=layer)))
        noise = 0.0 if kept is None else 10 ** (-kept.sqnr / 10)
        size = OVERHEAD + sum(_bytes(v) for name in layer for v in nodes[name].inputs)
        ranked.append((noise / size, layer))
    ranked.sort(key=lambda pair: -pair[0])
    order = [layer for harm, layer in ranked if harm > 0]
    fewest, most = 1, len(order)
    while fewest < most:
        middle = (fewest + most) // 2
        returned = [name for layer in order[:middle] for name in layer]
        if work.asked.holds(work.measure(work.without(returned))):
            most = middle
        else:
            fewest = middle + 1
    return [name for layer in order[:fewest] for name in layer]
