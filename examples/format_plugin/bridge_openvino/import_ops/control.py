"""Branches and loops: bodies become subgraphs that read the values around them."""

from __future__ import annotations

from bridge.needs import condition
from bridge.ops import OpTable
from bridge_openvino.document import Layer

ops = OpTable()


@ops.op("If")
def branch(op, layer, test, *values):
    """Values around are read by name, so the parameters of a branch are these values."""
    graphs = {}
    for kind in ("then", "else"):
        body = layer.bodies[f"{kind}_"]
        given = {int(e["internal_layer_id"]): values[int(e["external_port_id"]) - 1] for e in body.inputs}
        first = len(layer.inputs)
        order = {int(e["external_port_id"]) - first: int(e["internal_layer_id"]) for e in body.outputs}
        graphs[f"{kind}_branch"] = op.graph_of(body, given, [], [order[i] for i in sorted(order)])
    return op.If(op.Reshape(test, []), _outputs=len(layer.outputs), **graphs)


def _plain(layer: Layer) -> bool:
    """Everything a loop hands out at its end is a state, or is stacked one a step along the first dimension,
    from first to last."""
    body = layer.bodies[""]
    scans = [e for e in (*body.inputs, *body.outputs) if "axis" in e]
    taken = {"axis": "0", "start": "0", "end": "-1", "stride": "1", "part_size": "1"}
    states = {int(to) for _, to in body.back_edges}
    carried = [int(e["internal_layer_id"]) for e in body.inputs if int(e["internal_layer_id"]) in states]
    return all(e in body.outputs and taken.items() <= e.items() for e in scans) and len(carried) <= len(
        states
    )


PLAIN = condition("outputs that are states, or stacked one a step along the first dimension", _plain)


@ops.op("Loop", needs=(PLAIN,))
def loop(op, layer, count, test, *values):
    body = layer.bodies[""]
    back = {to: source for source, to in body.back_edges}
    entries = {int(e["internal_layer_id"]): e for e in body.inputs}
    step = next((p for p, e in entries.items() if e.get("purpose") == "current_iteration"), None)
    going = next((p for p, e in entries.items() if e["external_port_id"] == "1"), None)
    outside = {
        p: values[int(e["external_port_id"]) - 2]
        for p, e in entries.items()
        if int(e["external_port_id"]) > 1
    }
    states = [p for p in outside if p in back]
    given = {p: v for p, v in outside.items() if p not in back}
    condition_ = next(
        int(e["internal_layer_id"]) for e in body.outputs if e.get("purpose") == "execution_condition"
    )
    handed = {int(e["external_port_id"]): e for e in body.outputs if "purpose" not in e}
    scans = [int(e["internal_layer_id"]) for _, e in sorted(handed.items()) if "axis" in e]
    results = [condition_, *(back[p] for p in states), *scans]
    graph = op.graph_of(body, given, [step, going, *states], results, squeezed=1 + len(states))
    made = op.Loop(
        op.Cast(op.Reshape(count, []), to=7),
        op.Reshape(test, []),
        *(outside[p] for p in states),
        body=graph,
        _outputs=len(states) + len(scans),
    )
    made = made if isinstance(made, tuple) else (made,)
    at = {back[p]: made[i] for i, p in enumerate(states)} | {
        s: made[len(states) + i] for i, s in enumerate(scans)
    }
    return tuple(at[int(e["internal_layer_id"])] for _, e in sorted(handed.items()))
