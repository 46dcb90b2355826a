"""Branches and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import as_int64
from bridge.ops import OpTable
from bridge_coreml.import_ops.sequence import is_unwritten

ops = OpTable()


@ops.op("cond")
def cond(op, node, pred):
    branches = [node.branch(block) for block in node.operation.blocks]
    condition = op.Reshape(pred, op.const([]))
    result = op.If(condition, then_branch=branches[0], else_branch=branches[1], _outputs=len(node.outputs))
    return result


@ops.op("while_loop")
def while_loop(op, node):
    """Loop. An unwritten list takes its element shape from one step built before the loop. A counting loop
    has a trip count, and lists that it writes at the counter only keep their length."""
    condition, body = node.operation.blocks
    inputs = node.values("loop_vars")
    if any(is_unwritten(v) for v in inputs):
        first_step = node.scope.inner(op).block(body, inputs)
        inputs = [
            op.Expand(op.const(0, v.dtype), op.Shape(w)) if is_unwritten(v) else v
            for v, w in zip(inputs, first_step, strict=True)
        ]
    counter = counter_index(condition, body)
    if counter is None:
        go = op.Reshape(node.scope.inner(op).block(condition, inputs)[0], op.const([]))
        loop_body = node.loop(condition, body, inputs)
        return op.Loop(None, go, *inputs, body=loop_body, _outputs=len(inputs))
    comparison = next(o for o in condition.operations if o.type != "const")
    bound = node.scope.inner(op).after(condition, inputs).bound(comparison.inputs["y"].arguments[0])
    steps = op.Max(op.Sub(as_int64(op, bound), as_int64(op, inputs[counter])), op.const(np.int64(0)))
    loop_body = node.loop(None, body, inputs, lists_keep_length(node, body, counter, const(bound), inputs))
    return op.Loop(op.Reshape(steps, op.const([])), None, *inputs, body=loop_body, _outputs=len(inputs))


def counter_index(condition: Any, body: Any) -> int | None:
    """Index of the loop variable that counts up by 1 while it is less than a bound; None for any other
    loop."""
    tests = [o for o in condition.operations if o.type != "const"]
    if len(tests) != 1 or tests[0].type != "less" or list(condition.outputs) != [tests[0].outputs[0].name]:
        return None
    names, operands = [i.name for i in condition.inputs], tests[0].inputs
    if operands["x"].arguments[0].name not in names or operands["y"].arguments[0].name in names:
        return None
    index = names.index(operands["x"].arguments[0].name)
    name_in, name_out = body.inputs[index].name, body.outputs[index]
    ones = {o.outputs[0].name for o in body.operations if o.type == "const" and _is_one(o.attributes["val"])}
    for operation in body.operations:
        if operation.type == "add" and operation.outputs[0].name == name_out:
            arguments = [operation.inputs[n].arguments[0] for n in ("x", "y")]
            is_one = [s.name in ones or (s.HasField("value") and _is_one(s.value)) for s in arguments]
            return (
                index
                if (arguments[0].name == name_in and is_one[1])
                or (arguments[1].name == name_in and is_one[0])
                else None
            )
    return None


def _is_one(value: Any) -> bool:
    tensor = value.immediateValue.tensor
    return list(tensor.ints.values) == [1] and not value.type.tensorType.rank


def lists_keep_length(
    node: Any, body: Any, counter: int, bound: np.ndarray | None, inputs: list[ir.Value]
) -> bool:
    """True if no list of a counting loop is written past its end."""
    writes = [o for o in body.operations if o.type in ("list_write", "list_scatter")]
    only_at_counter = all(
        o.type == "list_write" and o.inputs["index"].arguments[0].name == body.inputs[counter].name
        for o in writes
    )
    lists = [v for v, i in zip(inputs, body.inputs, strict=True) if i.type.WhichOneof("type") == "listType"]
    long_enough = all(
        v.shape is not None and isinstance(v.shape[0], int) and bound is not None and v.shape[0] >= bound
        for v in lists
    )
    return only_at_counter and long_enough and not any(o.blocks for o in body.operations)
