"""Steps of branches and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from bridge.testing.graphs.growth import Graph, step

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@step(1)
def branch(g: Graph, src: str, x: np.ndarray) -> str:
    """If of what the length of an axis, or a value, says."""
    if g.maybe():
        longer = g.add("Greater", g.length(src, g.axis(x)), g.ints(g.pick(1, 2, 4)))
    else:
        longer = g.add("Greater", g.add("ReduceMax", src, keepdims=0), np.float32(g.pick(0.05, 1.3)))
    branches = {
        f"{name}_branch": g.body([helper.make_node(op, [src], ["r"])], [], [("r", FLOAT, None)])
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    return g.add("If", longer, **branches)


@step(0)
def loop(g: Graph, src: str, x: np.ndarray) -> str:
    """A few rounds that read the value around them."""
    nodes = [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Identity", ["go"], ["on"]),
        helper.make_node("Mul", ["s", "half"], ["h"]),
        helper.make_node("Add", ["h", src], ["t"]),
    ]
    body = g.body(
        nodes,
        [("i", INT64, []), ("go", BOOL, []), ("s", FLOAT, None)],
        [("on", BOOL, []), ("t", FLOAT, None)],
    )
    return g.add("Loop", np.array(g.pick(0, 1, 3), np.int64), np.array(True), src, body=body)


@step(1)
def loop_until(g: Graph, src: str, x: np.ndarray) -> Any:
    """Rounds until a condition, or as many as a length; what each made, in a row."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value_int=g.pick(1, 2)),
        helper.make_node("Less", ["i", "two"], ["on"]),
        helper.make_node("Add", ["s", src], ["t"]),
        helper.make_node("Neg", ["t"], ["each"]),
    ]
    body = g.body(
        nodes,
        [("i", INT64, []), ("go", BOOL, []), ("s", FLOAT, None)],
        [("on", BOOL, []), ("t", FLOAT, None), ("each", FLOAT, None)],
    )
    most: Any = np.array(g.pick(2, 5), np.int64)
    if g.maybe(0.4):
        most = g.add("Squeeze", g.length(src, 0))
    return g.add("Loop", most, np.array(True), src, body=body, outputs=2)


@step(2)
def scan(g: Graph, src: str, x: np.ndarray) -> Any:
    """A state along an axis, in either direction."""
    nodes = [helper.make_node("Tanh", ["s"], ["u"]), helper.make_node("Add", ["u", "e"], ["t"]),
             helper.make_node("Mul", ["t", "e"], ["each"])]  # fmt: skip
    each = [FLOAT, [None] * (x.ndim - 1)]
    body = g.body(nodes, [("s", *each), ("e", *each)], [("t", *each), ("each", *each)])
    axis = int(g.rng.integers(x.ndim))
    start = g.add("Mul", g.add("ReduceMean", src, g.ints(axis), keepdims=0), np.float32(0.5))
    directions: dict[str, Any] = {
        "scan_input_directions": [g.pick(0, 1)],
        "scan_output_directions": [g.pick(0, 1)],
    }
    axes = {"scan_input_axes": [axis], "scan_output_axes": [g.pick(0, 1)]}
    return g.add("Scan", start, src, body=body, num_scan_inputs=1, outputs=2, **axes, **directions)
