"""States, which persist from one prediction to the next."""

from __future__ import annotations

from typing import Any

from bridge.needs import condition
from bridge.ops import OpTable

ops = OpTable()


def state_name(node: Any) -> str:
    return node.bindings("input")[0].name


AT_TOP_LEVEL = condition("a state that is not written inside a branch or loop", lambda n: n.scope.depth == 0)


@ops.op("read_state")
def read_state(op, node):
    return op.Identity(node.scope.states[state_name(node)])


@ops.op("write_state", needs=(AT_TOP_LEVEL,))
def write_state(op, node, data):
    node.scope.states[state_name(node)] = op.Identity(data)
    return ()


@ops.op("coreml_update_state", needs=(AT_TOP_LEVEL,))
def update_state(op, node, value):
    node.scope.states[node.bindings("state")[0].name] = op.Identity(value)
    return op.Identity(value)
