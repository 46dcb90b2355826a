"""Branches and loops as functional If and While."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable

ops = OpTable()


@ops.op("If")
def if_(tf, node, condition):
    then, otherwise = (attr(node, name) for name in ("then_branch", "else_branch"))
    scalar = tf.Reshape(condition, np.zeros(0, np.int32))
    outputs = tf.api.cond(scalar, lambda: _branch(tf, then), lambda: _branch(tf, otherwise))
    return list(outputs)


def _branch(tf: Any, graph: ir.Graph) -> list[Any]:
    return [tf.api.identity(t) for t in tf.fill_subgraph(graph, [])]


def _has_known_elements(node: ir.Node) -> bool:
    collected = list(attr(node, "body").outputs)[len(node.inputs) - 1 :]
    return all(v.dtype is not None and v.shape is not None for v in collected)


@ops.op("Loop", needs=(condition("collected values of known rank", _has_known_elements),))
def loop(tf, node, max_trip_count=None, cond=None, *states):
    """A While over the step, the condition, the carried values, and one TensorArray per collected output."""
    api, body = tf.api, attr(node, "body")
    scalar_shape = np.zeros(0, np.int32)
    count = len(states)
    collected = list(body.outputs)[count + 1 :]
    bound = None if max_trip_count is None else tf.Reshape(max_trip_count, scalar_shape)
    initial = [
        api.constant(0, api.int64),
        api.constant(True) if cond is None else tf.Reshape(cond, scalar_shape),
    ]
    carried = [_of_known_shape(api, tf, v) for v in states]
    lists = [
        api.TensorArray(
            tf.dtype(v.dtype),
            0,
            dynamic_size=True,
            clear_after_read=False,
            infer_shape=False,
            element_shape=_static_shape(api, v),
        )
        for v in collected
    ]

    shapes = [
        _invariant_shape(api, t, a, b)
        for t, a, b in zip(carried, list(body.inputs)[2:], list(body.outputs)[1:], strict=False)
    ]

    def keep_going(step: Any, on: Any, *rest: Any) -> Any:
        return on if bound is None else api.logical_and(on, step < bound)

    def body_step(step: Any, on: Any, *rest: Any) -> Any:
        results = tf.fill_subgraph(body, [step, on, *rest[:count]])
        updated = [api.ensure_shape(t, s) for t, s in zip(results[1 : count + 1], shapes, strict=True)]
        written = [
            array.write(api.cast(step, api.int32), t)
            for array, t in zip(rest[count:], results[count + 1 :], strict=True)
        ]
        return [step + 1, tf.Reshape(results[0], scalar_shape), *updated, *written]

    invariants = [api.TensorShape([]), api.TensorShape([]), *shapes, *(api.TensorShape([]) for _ in lists)]
    outputs = api.while_loop(keep_going, body_step, [*initial, *carried, *lists], shape_invariants=invariants)
    return [*outputs[2 : count + 2], *(each.stack() for each in outputs[count + 2 :])]


def _of_known_shape(api: Any, tf: Any, value: ir.Value) -> Any:
    """The tensor of a value, with the lengths that the hub knows and TensorFlow does not infer."""
    tensor = api.convert_to_tensor(tf.tensor(value))
    if value.shape is None or tensor.shape.is_fully_defined():
        return tensor
    return api.ensure_shape(tensor, _static_shape(api, value))


def _static_shape(api: Any, value: ir.Value) -> Any:
    return api.TensorShape([d if isinstance(d, int) else None for d in value.shape])


def _invariant_shape(api: Any, first: Any, before: ir.Value, after: ir.Value) -> Any:
    """The dimensions a carried value has at every step."""
    known = [v.shape for v in (before, after) if v.shape is not None]
    if len(known) < 2 or first.shape.rank is None or len({first.shape.rank, *map(len, known)}) > 1:
        return api.TensorShape(None)
    triples = zip(first.shape.as_list(), *known, strict=True)
    return api.TensorShape([a if isinstance(a, int) and a == b == c else None for a, b, c in triples])
