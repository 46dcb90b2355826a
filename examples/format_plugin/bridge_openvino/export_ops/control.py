"""Branches and loops, whose bodies are graphs inside a layer."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_openvino.document import Body
from bridge_openvino.layers import VALUES, Layers, captured

ops = OpTable()


def body_of(ov: Layers, graph: ir.Graph, inputs: list[ir.Value], stacked: int | None = None) -> Body:
    """`graph` as a body whose parameters are its own inputs, then `inputs` of the graphs around."""
    inner = Layers(graph, [*graph.inputs, *inputs], ov.ops)
    inner.fill(graph, stacked)
    return Body(inner.net)


def ends(body: Body, kind: str) -> list[str]:
    """Numbers of the layers where a body begins or ends."""
    return [str(n) for n, layer in enumerate(body.net.layers) if layer.type == kind]


def _held(node: ir.Node) -> bool:
    return all(VALUES.holds(v) for v in captured(node))


HELD = condition("bodies that read what OpenVINO's CPU computes", _held)


@ops.op("If", needs=(HELD,))
def branch(ov, node, test):
    read = captured(node)
    made = ov.If(ov.scalar(test), *read, _outputs=len(node.outputs))
    results = made if isinstance(made, tuple) else (made,)
    for kind in ("then", "else"):
        body = body_of(ov, attr(node, f"{kind}_branch"), read)
        joins = enumerate(ends(body, "Parameter"), 1)
        body.inputs = [{"external_port_id": str(p), "internal_layer_id": layer} for p, layer in joins]
        joins = enumerate(ends(body, "Result"), 1 + len(read))
        body.outputs = [{"external_port_id": str(p), "internal_layer_id": layer} for p, layer in joins]
        results[0].layer.bodies[f"{kind}_"] = body
    return results


@ops.op("Loop", needs=(HELD,))
def loop(ov, node, count=None, test=None, *states):
    graph: ir.Graph = attr(node, "body")
    read = captured(node)
    count = ov.const(np.array(-1)) if count is None else ov.scalar(count)
    start = ov.const(np.array(True)) if test is None else ov.scalar(test)
    made = ov.Loop(count, start, *states, *read, _outputs=len(node.outputs))
    results = made if isinstance(made, tuple) else (made,)
    layer = results[0].layer
    body = layer.bodies[""] = body_of(ov, graph, read, 1 + len(states))
    begins, finishes = ends(body, "Parameter"), ends(body, "Result")
    step, going, *places = begins
    joins = enumerate(places, 2)
    body.inputs = [{"external_port_id": "-1", "internal_layer_id": step, "purpose": "current_iteration"}]
    body.inputs += [{"external_port_id": "1", "internal_layer_id": going}]
    body.inputs += [{"external_port_id": str(p), "internal_layer_id": layer} for p, layer in joins]
    first = len(layer.inputs)
    body.outputs = [
        {"external_port_id": "-1", "internal_layer_id": finishes[0], "purpose": "execution_condition"}
    ]
    for index, result in enumerate(finishes[1:]):
        entry = {"external_port_id": str(first + index), "internal_layer_id": result}
        scanned = {"axis": "0", "start": "0", "end": "-1", "stride": "1", "part_size": "1"}
        body.outputs.append(entry if index < len(states) else scanned | entry)
    body.back_edges = [
        (int(r), int(p)) for r, p in zip(finishes[: 1 + len(states)], [going, *places], strict=False)
    ]
    return results
