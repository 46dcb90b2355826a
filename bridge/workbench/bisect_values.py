"""Every value of a hub model on given inputs, some of them handed in; branches and loops as the steps they
take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import BridgeError
from bridge.hub import attr, numpy_dtype
from bridge.passes import settle
from bridge.passes.branches import InlineKnownIf
from bridge.passes.decompose import control
from bridge.passes.rewrite import Rewrite
from bridge.runtime import HubSession

__all__ = ["Values", "stepwise", "values_in"]

DTYPES = frozenset(
    [
        *(ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BOOL),
        *(ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64),
        *(ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64),
    ]
)
DEPTH = 8
LARGEST = 1 << 26
"""Elements of a value that is looked at."""

Values = dict[ir.Value, list[np.ndarray]]


def _is_shown(value: ir.Value) -> bool:
    known = hub.shape_of(value)
    return (
        isinstance(value.type, ir.TensorType)
        and value.dtype in DTYPES
        and (known is None or int(np.prod(known)) <= LARGEST)
    )


def values_in(
    model: ir.Model, inputs: list[dict[str, Any]], given: Mapping[ir.Value, list[np.ndarray]] | None = None
) -> Values:
    """The values that nodes of the model's graph compute on each of `inputs`, what reads a value of `given`
    reading that instead. Raises as HubSession does."""
    shown = model.clone()
    graph = shown.graph
    named = {v.name: v for node in graph for v in node.outputs}
    asked = [v for node in model.graph for v in node.outputs if v.name and _is_shown(v)]
    places: dict[ir.Value, str] = {}
    for number, value in enumerate(given or {}):
        places[value] = f"given_{number}"
        place = ir.Value(name=places[value], type=value.type)
        own = named[value.name]
        ir.convenience.replace_all_uses_with(own, place, replace_graph_outputs=True)
        graph.inputs.append(place)
    graph.outputs[:] = [named[v.name] for v in asked]
    session = HubSession(shown)
    found: Values = {value: [] for value in asked}
    for index, arrays in enumerate(inputs):
        with np.errstate(over="ignore"):
            handed = {places[v]: a[index].astype(numpy_dtype(v.dtype)) for v, a in (given or {}).items()}
        answer = session.run({**arrays, **handed})
        for value in asked:
            found[value].append(np.asarray(answer[value.name or ""]))
    return found


def stepwise(model: ir.Model, inputs: dict[str, Any]) -> ir.Model:
    """The model as it runs on these inputs: the branches it takes in place of If, the steps it takes in place
    of Loop and Scan, as far as they are few; itself where it has none."""
    if not any(hub.subgraphs(node) for node in model.graph):
        return model
    taken = model.clone()
    for _ in range(DEPTH):
        Rewrite(control.ops)(taken)
        settle(taken)
        waiting = [n for n in taken.graph if n.op_type in ("If", "Loop") and not n.domain]
        if not waiting or not _decided(taken, waiting, inputs):
            break
        InlineKnownIf()(taken)
    settle(taken)
    return taken


def _decided(model: ir.Model, waiting: list[ir.Node], inputs: dict[str, Any]) -> bool:
    """Give conditions and numbers of steps the values they have on these inputs; False where that changes
    nothing."""
    counted = model.clone()
    nodes = {n.name: n for n in counted.graph}
    asked: list[Any] = []
    for node in waiting:
        own = nodes[node.name]
        asked.append(own.inputs[0] if own.op_type == "If" else _counter(own))
    counted.graph.outputs[:] = list(dict.fromkeys(v for v in asked if v.const_value is None))
    try:
        answer = HubSession(counted).run(inputs) if counted.graph.outputs else {}
    except BridgeError:
        return False
    changed = False
    op = hub.Builder(model.graph)
    for node, value in zip(waiting, asked, strict=True):
        if node.op_type == "If":
            if value.const_value is None:
                node.replace_input_with(0, op.const(np.array(bool(answer[value.name].reshape(())))))
            changed = True
        elif not control.runs_all_steps(node) or hub.const(node.inputs[0]) is None:
            node.replace_input_with(0, op.const(np.array(len(answer[value.name]), np.int64)))
            if len(node.inputs) > 1:
                node.replace_input_with(1, None)
            body = attr(node, "body")
            body.outputs[0] = body.inputs[1]
            changed = True
    return changed


def _counter(loop: Any) -> ir.Value:
    """An output of a Loop with an element for every step."""
    body = attr(loop, "body")
    body.outputs.append(hub.Builder(body).Identity(body.inputs[0]))
    loop.resize_outputs(len(loop.outputs) + 1)
    counter = loop.outputs[-1]
    counter.name = hub.fresh_name(loop.graph, "steps")
    counter.type, counter.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([None])
    return counter
