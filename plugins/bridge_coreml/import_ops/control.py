"""Branches, loops, lists, states, chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import as_int64
from bridge.ops import OpTable
from bridge_coreml.import_ops.sequence import pristine

ops = OpTable()


@ops.op("cond")
def cond(op, node, pred):
    branches = [node.branch(block) for block in node.operation.blocks]
    flag = op.Reshape(pred, op.const([]))
    made = op.If(flag, then_branch=branches[0], else_branch=branches[1], _outputs=len(node.outputs))
    return made


@ops.op("while_loop")
def while_loop(op, node):
    """A list that nobody wrote yet takes the shape that one step, done beforehand, gives it. A loop that
    counts to a number has that many steps, and lists written at the count alone do not grow."""
    condition, body = node.operation.blocks
    inputs = node.values("loop_vars")
    if any(pristine(v) for v in inputs):
        once = node.scope.inner(op).block(body, inputs)
        inputs = [
            op.Expand(op.const(0, v.dtype), op.Shape(w)) if pristine(v) else v
            for v, w in zip(inputs, once, strict=True)
        ]
    place = counter(condition, body)
    if place is None:
        go = op.Reshape(node.scope.inner(op).block(condition, inputs)[0], op.const([]))
        loop = node.loop(condition, body, inputs)
        return op.Loop(None, go, *inputs, body=loop, _outputs=len(inputs))
    test = next(o for o in condition.operations if o.type != "const")
    bound = node.scope.inner(op).after(condition, inputs).bound(test.inputs["y"].arguments[0])
    steps = op.Max(op.Sub(as_int64(op, bound), as_int64(op, inputs[place])), op.const(np.int64(0)))
    loop = node.loop(None, body, inputs, keeps(node, body, place, const(bound), inputs))
    return op.Loop(op.Reshape(steps, op.const([])), None, *inputs, body=loop, _outputs=len(inputs))


def counter(condition: Any, body: Any) -> int | None:
    """Which loop variable the condition holds below a number, one more after every step; None for any other
    loop."""
    tests = [o for o in condition.operations if o.type != "const"]
    if len(tests) != 1 or tests[0].type != "less" or list(condition.outputs) != [tests[0].outputs[0].name]:
        return None
    names, read = [i.name for i in condition.inputs], tests[0].inputs
    if read["x"].arguments[0].name not in names or read["y"].arguments[0].name in names:
        return None
    place = names.index(read["x"].arguments[0].name)
    own, result = body.inputs[place].name, body.outputs[place]
    ones = {o.outputs[0].name for o in body.operations if o.type == "const" and _is_one(o.attributes["val"])}
    for each in body.operations:
        if each.type == "add" and each.outputs[0].name == result:
            sides = [each.inputs[n].arguments[0] for n in ("x", "y")]
            one = [s.name in ones or (s.HasField("value") and _is_one(s.value)) for s in sides]
            return place if (sides[0].name == own and one[1]) or (sides[1].name == own and one[0]) else None
    return None


def _is_one(value: Any) -> bool:
    held = value.immediateValue.tensor
    return list(held.ints.values) == [1] and not value.type.tensorType.rank


def keeps(node: Any, body: Any, place: int, bound: np.ndarray | None, inputs: list[ir.Value]) -> bool:
    """Whether the lists of a loop that counts to a known number keep their lengths."""
    writes = [o for o in body.operations if o.type in ("list_write", "list_scatter")]
    plain = all(
        o.type == "list_write" and o.inputs["index"].arguments[0].name == body.inputs[place].name
        for o in writes
    )
    lists = [v for v, i in zip(inputs, body.inputs, strict=True) if i.type.WhichOneof("type") == "listType"]
    known = all(
        v.shape is not None and isinstance(v.shape[0], int) and bound is not None and v.shape[0] >= bound
        for v in lists
    )
    return plain and known and not any(o.blocks for o in body.operations)
