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


def written_blobs(network: Any) -> list[str]:
    """Names of the blobs that a network and its inner networks write, in order."""
    names = {}
    for layer in network.layers:
        names.update(dict.fromkeys(layer.output))
        for inner in nested(layer):
            names.update(dict.fromkeys(written_blobs(inner)))
    return list(names)


def common_shape(a: ir.Shape | None, b: ir.Shape | None) -> ir.Shape | None:
    """Shape that both satisfy, unequal lengths unknown; None where ranks differ or are unknown."""
    if a is None or b is None or len(a) != len(b):
        return None
    return ir.Shape([m if isinstance(m, int) and m == n else None for m, n in zip(a, b, strict=True)])


def drop_inputs(graph: ir.Graph) -> None:
    """Detach the nodes of an unused graph from the outer values that they read."""
    for node in hub.nodes_of(graph):
        for i in range(len(node.inputs)):
            node.replace_input_with(i, None)


@ops.op("branch")
def branch(op, layer, flag):
    """If. Its outputs are the blobs that both networks write, and those that one writes and that exist
    already."""
    scope, networks = layer.scope, (layer.params.ifBranch, layer.params.elseBranch)
    written = [written_blobs(s) for s in networks]
    names = [
        n
        for n in dict.fromkeys([*written[0], *written[1]])
        if scope.has(n) or (n in written[0] and n in written[1])
    ]
    if not names:
        return ()
    graphs = []
    for network in networks:
        graph, network_scope = scope.inside(network)
        network_scope.run(network.layers)
        graph.outputs.extend(network_scope.op.Identity(network_scope.value(n)) for n in names)
        graphs.append(graph)
    condition = op.Reshape(as_bool(op, flag), op.const([]))
    results = op.If(condition, then_branch=graphs[0], else_branch=graphs[1], _outputs=len(names))
    results = results if isinstance(results, tuple) else (results,)
    for name, value, *networks in zip(names, results, graphs[0].outputs, graphs[1].outputs, strict=True):
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
        value.shape = common_shape(networks[0].shape, networks[1].shape)
        scope.values[name] = value
    return ()


JUMPS = ("loopBreak", "loopContinue")


@ops.op(*JUMPS)
def jump(op, layer):
    """Refuse a jump outside of a loop: `lower_jumps` replaces those inside of one."""
    return NotImplemented


def has_jump(network: Any) -> bool:
    """True if a network ends a step of its loop early."""
    return any(
        layer.WhichOneof("layer") in JUMPS
        or (layer.WhichOneof("layer") == "branch" and any(has_jump(n) for n in nested(layer)))
        for layer in network.layers
    )


def lower_jumps(layers: list[Any], flags: dict[str, str]) -> list[Any]:
    """Replace jumps by flags: a jump sets its flag, and the layers after a branch that may have jumped run
    only if no flag is set."""
    lowered: list[Any] = []
    for i, layer in enumerate(layers):
        layer_type = layer.WhichOneof("layer")
        if layer_type in JUMPS:
            set_flag = type(layer)(name=layer.name, output=[flags[layer_type]])
            set_flag.loadConstantND.shape.append(1)
            set_flag.loadConstantND.data.floatValue.append(1.0)
            return [*lowered, set_flag]
        if layer_type != "branch" or not any(has_jump(n) for n in nested(layer)):
            lowered.append(layer)
            continue
        copy = type(layer)()
        copy.CopyFrom(layer)
        for side in nested(copy):
            inner = lower_jumps(list(side.layers), flags)
            del side.layers[:]
            side.layers.extend(inner)
        any_flag = type(layer)(name=layer.name, input=[flags[k] for k in JUMPS], output=[flags["either"]])
        any_flag.addBroadcastable.SetInParent()
        remaining_layers = type(layer)(name=layer.name, input=[flags["either"]])
        remaining_layers.branch.ifBranch.SetInParent()
        remaining_layers.branch.elseBranch.layers.extend(lower_jumps(list(layers[i + 1 :]), flags))
        return [*lowered, copy, any_flag, remaining_layers]
    return lowered


@ops.op("loop")
def loop(op, layer, limit=None):
    """Loop. Its carried values are the blobs that a step writes and that existed before."""
    scope, p = layer.scope, layer.params
    condition, body = p.conditionNetwork, p.bodyNetwork
    has_condition = bool(p.conditionVar) and len(condition.layers) > 0
    if has_condition:
        scope.run(condition.layers)
    names = [n for n in dict.fromkeys([*written_blobs(body), *written_blobs(condition)]) if scope.has(n)]
    shapes = [scope.value(n).shape for n in names]
    if scope.depth > DEPTH:
        shapes = [None if s is None else ir.Shape([None] * len(s)) for s in shapes]
    graph = loop_body(op, layer, names, shapes)
    while (
        common_shapes := [common_shape(a, v.shape) for a, v in zip(shapes, graph.outputs[1:], strict=True)]
    ) != shapes:
        drop_inputs(graph)
        shapes = common_shapes
        graph = loop_body(op, layer, names, shapes)
    trip_count = None
    if limit is not None:
        trip_count = op.Reshape(as_int64(op, limit), op.const([]))
    elif p.maxLoopIterations or not has_condition:
        trip_count = op.const(np.array(p.maxLoopIterations, np.int64))
    initial_condition = (
        op.Reshape(as_bool(op, scope.value(p.conditionVar)), op.const([])) if has_condition else None
    )
    results = op.Loop(
        trip_count,
        initial_condition,
        *(scope.value(n) for n in names),
        body=graph,
        _outputs=max(len(names), 1),
    )
    for name, value, shape in zip(
        names, results if isinstance(results, tuple) else (results,), shapes, strict=False
    ):
        value.type, value.shape = value.type or ir.TensorType(ir.DataType.FLOAT), shape
        scope.values[name] = value
    return ()


def loop_body(op: hub.Builder, layer: Any, names: list[str], shapes: list[ir.Shape | None]) -> ir.Graph:
    """Body of a Loop that carries the blobs `names` of the given shapes."""
    p = layer.params
    carried = [
        ir.Value(name=hub.fresh_name(op.graph, "carried"), type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
        for shape in shapes
    ]
    iteration = ir.Value(
        name=hub.fresh_name(op.graph, "count"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([])
    )
    condition_in = ir.Value(
        name=hub.fresh_name(op.graph, "going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([])
    )
    graph, inner = layer.scope.inside(p.bodyNetwork)
    graph.inputs.extend([iteration, condition_in, *carried])
    inner.values.update(zip(names, carried, strict=True))
    flags = {k: f"{layer.layer.name}/{k}" for k in (*JUMPS, "either")}
    inner.values.update((flags[k], inner.op.const(np.zeros(1, np.float32))) for k in JUMPS)
    inner.run(lower_jumps(list(p.bodyNetwork.layers), flags))
    condition_out = inner.op.Identity(condition_in)
    if p.conditionVar and len(p.conditionNetwork.layers):
        inner.run(p.conditionNetwork.layers)
        condition_out = inner.op.Reshape(as_bool(inner.op, inner.value(p.conditionVar)), inner.op.const([]))
    if has_jump(p.bodyNetwork):
        has_broken = inner.op.Reshape(as_bool(inner.op, inner.value(flags["loopBreak"])), inner.op.const([]))
        condition_out = inner.op.And(condition_out, inner.op.Not(has_broken))
    graph.outputs.extend([condition_out, *(inner.op.Identity(inner.value(n)) for n in names)])
    return graph
