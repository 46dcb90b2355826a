"""Operators that ask for channels move to `bridge.nhwc`, where channels come last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import onnx
import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.passes.rewrite import Accepts, Rewrite

__all__ = ["ChannelsLast"]

OPERATORS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "DepthToSpace", "SpaceToDepth")

_table = OpTable()


class ChannelsLast(ir.passes.InPlacePass):
    """1. Conv, ConvTranspose, MaxPool, AveragePool, DepthToSpace and SpaceToDepth that `takes` holds for
    become their `bridge.nhwc` twins between two Transposes; weights keep their ONNX layout.

    2. Each twin has a function body per rank (its overload), so the hub still runs, whatever attributes a
       twin has.
    """

    followed_by = ("SinkTransposes",)

    def __init__(self, takes: Accepts = lambda node: True) -> None:
        super().__init__()
        self.takes = takes

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = Rewrite(_table, keep=lambda node: not self.takes(node))(model).modified
        for node in hub.all_nodes(model):
            if node.domain == hub.NHWC and node.op_identifier() not in model.functions:
                body = _body(node)
                model.functions[body.identifier()] = body
        if modified:
            model.graph.opset_imports[hub.NHWC] = 1
        return ir.passes.PassResult(model, modified)


def to_last(rank: int) -> list[int]:
    """Permutation from N, C, spatial to N, spatial, C."""
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    """Permutation from N, spatial, C to N, C, spatial."""
    return [0, rank - 1, *range(1, rank - 1)]


def permuted(shape: ir.Shape | None, perm: Sequence[int]) -> ir.Shape | None:
    """`shape` with its dimensions in the order of `perm`."""
    return None if shape is None else ir.Shape([shape[i] for i in perm])


@_table.op(*OPERATORS)
def twin(op, node, x, *others):
    rank = hub.rank_of(x)
    if rank is None or rank < 3 or (any(o.uses() or o.is_graph_output() for o in node.outputs[1:])):
        return NotImplemented
    last = op.Transpose(x, perm=to_last(rank))
    layer = ir.Node(
        hub.NHWC,
        node.op_type,
        [last, *others],
        list(node.attributes.values()),
        overload=f"rank{rank}",
        num_outputs=1,
    )
    layer.outputs[0].type = node.outputs[0].type
    layer.outputs[0].shape = permuted(node.outputs[0].shape, to_last(rank))
    return op.Transpose(op.insert(layer), perm=to_first(rank))


def _body(node: ir.Node) -> ir.Function:
    rank = int(node.overload.removeprefix("rank"))
    count = onnx.defs.get_schema(node.op_type, hub.HUB_OPSET).max_input
    inputs = [ir.Value(name=f"x{i}") for i in range(count)]
    graph = ir.Graph(inputs, [], nodes=[], opset_imports={"": hub.HUB_OPSET})
    op = hub.Builder(graph)
    first = op.Transpose(inputs[0], perm=to_first(rank))
    schema = onnx.defs.get_schema(node.op_type, hub.HUB_OPSET)
    types = {name: ir.AttributeType(cast(int, a.type)) for name, a in schema.attributes.items()}
    references = [ir.RefAttr(name, name, each) for name, each in types.items()]
    inner = op.insert(ir.Node("", node.op_type, [first, *inputs[1:]], references, num_outputs=1))
    graph.outputs.append(op.Transpose(inner, perm=to_last(rank)))
    for index, value in enumerate(v for n in graph for v in n.outputs):
        value.name = f"v{index}"
    attributes = [ir.Attr(name, each, None) for name, each in types.items()]
    return ir.Function(hub.NHWC, node.op_type, node.overload, graph=graph, attributes=attributes)
