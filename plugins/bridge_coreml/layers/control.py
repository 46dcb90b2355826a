"""Branches and loops: networks that write blobs of the network around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import as_int64
from bridge.ops import OpTable
from bridge_coreml.layers.common import as_bool, nested

ops = OpTable()

DEPTH = 4


def written(network: Any) -> list[str]:
    """Names of blobs that a network writes, in order, those of networks inside it too."""
    found = {}
    for layer in network.layers:
        found.update(dict.fromkeys(layer.output))
        for inner in nested(layer):
            found.update(dict.fromkeys(written(inner)))
    return list(found)


def common(a: ir.Shape | None, b: ir.Shape | None) -> ir.Shape | None:
    """The shape of what may have either; None where their ranks differ or are unknown."""
    if a is None or b is None or len(a) != len(b):
        return None
    return ir.Shape([m if isinstance(m, int) and m == n else None for m, n in zip(a, b, strict=True)])


def forget(graph: ir.Graph) -> None:
    """Let go of what the nodes of a graph that is not used read of the graphs around it."""
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for i in range(len(node.inputs)):
            node.replace_input_with(i, None)


@ops.op("branch")
def branch(op, layer, flag):
    """What both networks write, or one of them and what was there before."""
    scope, sides = layer.scope, (layer.params.ifBranch, layer.params.elseBranch)
    listed = [written(s) for s in sides]
    names = [
        n
        for n in dict.fromkeys([*listed[0], *listed[1]])
        if scope.has(n) or (n in listed[0] and n in listed[1])
    ]
    if not names:
        return ()
    graphs = []
    for side in sides:
        graph, inner = scope.inside(side)
        inner.run(side.layers)
        graph.outputs.extend(inner.op.Identity(inner.value(n)) for n in names)
        graphs.append(graph)
    condition = op.Reshape(as_bool(op, flag), op.const([]))
    made = op.If(condition, then_branch=graphs[0], else_branch=graphs[1], _outputs=len(names))
    made = made if isinstance(made, tuple) else (made,)
    for name, value, *sides in zip(names, made, graphs[0].outputs, graphs[1].outputs, strict=True):
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
        value.shape = common(sides[0].shape, sides[1].shape)
        scope.values[name] = value
    return ()


JUMPS = ("loopBreak", "loopContinue")


@ops.op(*JUMPS)
def jump(op, layer):
    """Taken care of by the loop around it."""
    return NotImplemented


def jumps(network: Any) -> bool:
    """Whether a network leaves a step of the loop it is in."""
    return any(
        layer.WhichOneof("layer") in JUMPS
        or (layer.WhichOneof("layer") == "branch" and any(jumps(n) for n in nested(layer)))
        for layer in network.layers
    )


def flagged(listed: list[Any], flags: dict[str, str]) -> list[Any]:
    """Layers in which a jump sets its flag, and whatever comes after a branch that may have jumped is done
    unless a flag is set."""
    made: list[Any] = []
    for i, layer in enumerate(listed):
        kind = layer.WhichOneof("layer")
        if kind in JUMPS:
            raised = type(layer)(name=layer.name, output=[flags[kind]])
            raised.loadConstantND.shape.append(1)
            raised.loadConstantND.data.floatValue.append(1.0)
            return [*made, raised]
        if kind != "branch" or not any(jumps(n) for n in nested(layer)):
            made.append(layer)
            continue
        copied = type(layer)()
        copied.CopyFrom(layer)
        for side in nested(copied):
            inner = flagged(list(side.layers), flags)
            del side.layers[:]
            side.layers.extend(inner)
        either = type(layer)(name=layer.name, input=[flags[k] for k in JUMPS], output=[flags["either"]])
        either.addBroadcastable.SetInParent()
        rest = type(layer)(name=layer.name, input=[flags["either"]])
        rest.branch.ifBranch.SetInParent()
        rest.branch.elseBranch.layers.extend(flagged(list(listed[i + 1 :]), flags))
        return [*made, copied, either, rest]
    return made


@ops.op("loop")
def loop(op, layer, limit=None):
    """Blobs that were there before and that a step writes are carried from step to step."""
    scope, p = layer.scope, layer.params
    test, body = p.conditionNetwork, p.bodyNetwork
    tested = bool(p.conditionVar) and len(test.layers) > 0
    if tested:
        scope.run(test.layers)
    names = [n for n in dict.fromkeys([*written(body), *written(test)]) if scope.has(n)]
    shapes = [scope.value(n).shape for n in names]
    if scope.depth > DEPTH:
        shapes = [None if s is None else ir.Shape([None] * len(s)) for s in shapes]
    graph = step(op, layer, names, shapes)
    while (after := [common(a, v.shape) for a, v in zip(shapes, graph.outputs[1:], strict=True)]) != shapes:
        forget(graph)
        shapes = after
        graph = step(op, layer, names, shapes)
    most = None
    if limit is not None:
        most = op.Reshape(as_int64(op, limit), op.const([]))
    elif p.maxLoopIterations or not tested:
        most = op.const(np.array(p.maxLoopIterations, np.int64))
    first = op.Reshape(as_bool(op, scope.value(p.conditionVar)), op.const([])) if tested else None
    made = op.Loop(most, first, *(scope.value(n) for n in names), body=graph, _outputs=max(len(names), 1))
    for name, value, shape in zip(names, made if isinstance(made, tuple) else (made,), shapes, strict=False):
        value.type, value.shape = value.type or ir.TensorType(ir.DataType.FLOAT), shape
        scope.values[name] = value
    return ()


def step(op: hub.Builder, layer: Any, names: list[str], shapes: list[ir.Shape | None]) -> ir.Graph:
    """The body of a loop that carries the blobs `names`, of these shapes."""
    p = layer.params
    carried = [
        ir.Value(name=hub.fresh_name(op.graph, "carried"), type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
        for shape in shapes
    ]
    count = ir.Value(
        name=hub.fresh_name(op.graph, "count"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([])
    )
    going = ir.Value(
        name=hub.fresh_name(op.graph, "going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([])
    )
    graph, inner = layer.scope.inside(p.bodyNetwork)
    graph.inputs.extend([count, going, *carried])
    inner.values.update(zip(names, carried, strict=True))
    flags = {k: f"{layer.layer.name}/{k}" for k in (*JUMPS, "either")}
    inner.values.update((flags[k], inner.op.const(np.zeros(1, np.float32))) for k in JUMPS)
    inner.run(flagged(list(p.bodyNetwork.layers), flags))
    again = inner.op.Identity(going)
    if p.conditionVar and len(p.conditionNetwork.layers):
        inner.run(p.conditionNetwork.layers)
        again = inner.op.Reshape(as_bool(inner.op, inner.value(p.conditionVar)), inner.op.const([]))
    if jumps(p.bodyNetwork):
        left = inner.op.Reshape(as_bool(inner.op, inner.value(flags["loopBreak"])), inner.op.const([]))
        again = inner.op.And(again, inner.op.Not(left))
    graph.outputs.extend([again, *(inner.op.Identity(inner.value(n)) for n in names)])
    return graph
