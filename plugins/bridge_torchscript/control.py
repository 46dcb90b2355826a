"""Conditions and loops: followed where they are known, hub If and Loop where they are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge_torchscript import values
from bridge_torchscript.interpreter import STEPS, Raised, Reader, plain, truth, wrapped
from bridge_torchscript.values import (
    Complex,
    Grows,
    Items,
    Poison,
    Sequence,
    Sym,
    Unsupported,
    Var,
    common_shape,
)

ENDLESS = 2**62


def branch(reader: Reader, op: hub.Builder, node: Any, condition: Any) -> list[Any]:
    """The branch a known condition takes; else an If. A branch that only raises is taken never."""
    then, other = node.blocks()
    decided = truth(op, condition)
    if isinstance(decided, bool):
        return reader.block(op, then if decided else other)
    raising = [any(n.kind() == "prim::RaiseException" for n in b.nodes()) for b in (then, other)]
    if any(raising):
        if all(raising):
            raise Raised("both branches raise")
        reader.notes.append("assertions of the model are taken as true")
        return reader.block(op, other if raising[0] else then)
    shaped = _reshaped(reader, op, node)
    if shaped is not None:
        return [shaped]
    sides = growing(op, lambda: [_side(reader, op, block) for block in (then, other)])
    return _merged(reader, op, decided, sides)


RESHAPING = ("prim::Constant", "prim::ListConstruct", "aten::reshape")


def _reshaped(reader: Reader, op: hub.Builder, node: Any) -> Var | None:
    """`if n > 0: x = x.reshape(n, …)` reshapes always: without elements `x` only gets the rank it has otherwise."""
    from bridge_torchscript.import_ops.shapes import counted

    test, (then, other) = node.inputsAt(0).node(), node.blocks()
    made, outputs = list(then.nodes()), list(then.outputs())
    if test.kind() != "aten::gt" or len(outputs) != 1 or any(n.kind() not in RESHAPING for n in made):
        return None
    last = outputs[0].node()
    kept = next(iter(other.outputs())).debugName()
    if last.kind() != "aten::reshape" or list(other.nodes()) or kept != last.inputsAt(0).debugName():
        return None
    count, parts = test.inputsAt(0).debugName(), last.inputsAt(1).node()
    known_zero = reader.env[test.inputsAt(1).debugName()]
    if known_zero != 0 or count not in [v.debugName() for v in parts.inputs()]:
        return None
    for inner in made[:-1]:
        reader.node(op, inner)
    x = reader.env[last.inputsAt(0).debugName()]
    result = Var(counted(op, x.read(op), reader.env[parts.output().debugName()]))
    result.shared = True
    return result


class Side:
    """One branch, read: its graph, its results as they were returned and as hub values, the tensors and attributes it wrote."""

    def __init__(self, builder: hub.Builder) -> None:
        self.builder = builder
        self.raw: list[Any] = []
        self.results: list[Any] = []
        self.written: dict[Var, Any] = {}
        self.attributes: dict[Any, Any] = {}


def _side(reader: Reader, op: hub.Builder, block: Any) -> Side:
    graph = ir.Graph(
        [], [], nodes=[], name="branch", opset_imports={"": hub.HUB_OPSET}
    )
    side = Side(hub.Builder(graph, source=op.source))
    values.JOURNALS.append({})
    try:
        side.raw = reader.block(side.builder, block)
        changes = values.JOURNALS[-1]
        side.results = [_settled(side.builder, r) for r in side.raw]
        side.attributes = {
            k: _settled(side.builder, k[0].attributes[k[1]]) for k in changes if isinstance(k, tuple)
        }
        outer = len(values.JOURNALS) - 1
        side.written = {
            v: v.value
            for v in _variables(changes)
            if v.base is None and v.depth <= outer and v.version != changes[v][1]
        }
    finally:
        values.restore(values.JOURNALS.pop())
    return side


def _settled(op: hub.Builder, value: Any) -> Any:
    """Tensors as they are now, before what the branch wrote is undone."""
    if isinstance(value, Var):
        return Var(value.read(op), quantization=value.quantization)
    if isinstance(value, Items) and value.held is not None:
        return Sequence(value.held.read(op), value.shape)
    if isinstance(value, tuple):
        return tuple(_settled(op, v) for v in value)
    return [_settled(op, v) for v in value] if isinstance(value, list) else value


def _merged(reader: Reader, op: hub.Builder, condition: ir.Value, sides: list[Side]) -> list[Any]:
    outputs: list[tuple[Any, Any]] = []

    def place(one: Any, two: Any) -> Any:
        if one is two or (type(one) is type(two) and isinstance(one, (bool, int, float, str)) and one == two):
            return lambda made: one
        if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)) and len(one) == len(two):
            parts = [place(a, b) for a, b in zip(one, two, strict=True)]
            return lambda made: type(one)(p(made) for p in parts)
        pair = [as_value(s.builder, v) for s, v in zip(sides, (one, two), strict=True)]
        if pair[0] is None or pair[1] is None:
            return lambda made: Poison("has a value in one branch and none in the other")
        index, symbolic = len(outputs), not isinstance(one, (Var, Sequence))
        outputs.append((pair[0], pair[1]))
        return lambda made: Sym(made[index]) if symbolic else wrapped(made[index])

    placed, lent = [], []
    for raw, settled in zip(
        zip(*(s.raw for s in sides), strict=True), zip(*(s.results for s in sides), strict=True), strict=True
    ):
        if raw[0] is raw[1]:
            placed.append(lambda made, same=raw[0]: same)
            continue
        for value in raw:
            if isinstance(value, Var) and value.depth <= len(values.JOURNALS):
                lent.append(value)
        placed.append(place(*settled))
    keys = list(dict.fromkeys([*sides[0].attributes, *sides[1].attributes]))
    kept = [place(*(s.attributes.get(k, k[0].attributes.get(k[1])) for s in sides)) for k in keys]
    changed = list(dict.fromkeys([*sides[0].written, *sides[1].written]))
    first = len(outputs)
    for var in changed:
        outputs.append(tuple(s.written.get(var) or var.value for s in sides))  # type: ignore[arg-type]
    made = [] if not outputs else _if(op, condition, [s.builder for s in sides], outputs)
    for var, value in zip(changed, made[first:], strict=True):
        var.write(op, value)
    for (owner, name), merged in zip(keys, kept, strict=True):
        reader.set_attribute(owner, name, merged(made))
    results = [p(made) for p in placed]
    for var in [*lent, *(r for r in results if isinstance(r, Var) and lent)]:
        var.root().shared = True
    return results


def _variables(changes: dict[Any, Any]) -> list[Var]:
    return [key for key in changes if isinstance(key, Var)]


def as_value(op: hub.Builder, value: Any) -> ir.Value | None:
    """A tensor, sequence or number as a hub value; None for anything else."""
    from bridge_torchscript.import_ops.common import tensor

    if isinstance(value, Var):
        if value.quantization is not None:
            raise Unsupported("gives a quantized tensor; dequantize it before")
        return value.read(op)
    if isinstance(value, (Sequence, Complex)):
        return value.value
    if isinstance(value, (bool, int, float, Sym)):
        kind = ir.DataType.DOUBLE if isinstance(value, float) else None
        return tensor(op, value, kind if not isinstance(value, Sym) else value.value.dtype)
    return None


def sequence(op: hub.Builder, items: Any, dtype: ir.DataType | None = None) -> ir.Value | None:
    """A list of tensors as a hub sequence; an empty one of `dtype`. None where it holds anything else."""
    values = [v.read(op) for v in items if isinstance(v, Var)]
    if len(values) < len(items) or not (values or dtype):
        return None
    if dtype is not None:
        values = [v if v.dtype == dtype else op.Cast(v, to=int(dtype)) for v in values]
    return op.SequenceConstruct(*values) if values else op.SequenceEmpty(dtype=int(dtype))  # type: ignore[arg-type]


def _if(
    op: hub.Builder, condition: ir.Value, builders: list[hub.Builder], outputs: list[tuple[Any, Any]]
) -> list[ir.Value]:
    for index, builder in enumerate(builders):
        builder.graph.outputs.extend(builder.Identity(pair[index]) for pair in outputs)
    attributes = [
        ir.AttrGraph(n, b.graph) for n, b in zip(("then_branch", "else_branch"), builders, strict=True)
    ]
    flag = condition if not condition.shape else op.Reshape(condition, np.array([1]))
    made = ir.Node("", "If", [flag], attributes, num_outputs=len(outputs))
    for output, (one, two) in zip(made.outputs, outputs, strict=True):
        if one.dtype != two.dtype:
            raise Unsupported(f"gives {one.dtype} in one branch and {two.dtype} in the other")
        output.type = one.type
        output.shape = _common(one.shape, two.shape)
    op.insert(made)
    return list(made.outputs)


def _common(one: ir.Shape | None, two: ir.Shape | None) -> ir.Shape | None:
    if one is not None and two is not None and len(one) != len(two):
        raise Unsupported("gives tensors of different ranks in its branches")
    return common_shape(one, two)


def loop(reader: Reader, op: hub.Builder, node: Any, limit: Any, going: Any, carried: list[Any]) -> list[Any]:
    """Step by step where the number of steps is known, else a Loop."""
    (block,) = node.blocks()
    count = const(limit.value) if isinstance(limit, Sym) else limit
    start = truth(op, going)
    if (
        count is not None
        and isinstance(start, bool)
        and (int(count) <= STEPS or _decided(reader, op, block, carried))
    ):
        return _unrolled(reader, op, block, int(count), start, carried)
    return _looped(reader, op, block, limit, start, carried)


def _bind(reader: Reader, block: Any, step: Any, carried: list[Any]) -> None:
    for name, value in zip(block.inputs(), [step, *carried], strict=True):
        reader.env[name.debugName()] = value


def _decided(reader: Reader, op: hub.Builder, block: Any, carried: list[Any]) -> bool:
    """Whether the body says before run time if it runs again: tried once, and undone."""
    graph = ir.Graph([], [], nodes=[], name="trial", opset_imports={"": hub.HUB_OPSET})
    builder = hub.Builder(graph, source=op.source)
    values.JOURNALS.append({})
    try:
        _bind(reader, block, 0, carried)
        again = reader.block(builder, block)[0]
        return isinstance(truth(builder, again), bool)
    except Grows:
        return False
    finally:
        values.restore(values.JOURNALS.pop())


def _unrolled(
    reader: Reader, op: hub.Builder, block: Any, count: int, going: bool, carried: list[Any]
) -> list[Any]:
    step = 0
    while going and step < count:
        if step >= STEPS:
            raise Unsupported(f"runs more than {STEPS} steps")
        _bind(reader, block, step, carried)
        again, *carried = reader.block(op, block)
        decided = truth(op, again)
        if not isinstance(decided, bool):
            return _looped(reader, op, block, count - step - 1, decided, carried, step + 1)
        going, step = decided, step + 1
    return carried


def _looped(
    reader: Reader, op: hub.Builder, block: Any, limit: Any, going: Any, carried: list[Any], first: int = 0
) -> list[Any]:
    from bridge_torchscript.import_ops.common import scalar

    starts = [_start(op, c) for c in carried]
    fixed = {i: c for i, c in enumerate(carried) if starts[i] is None}
    moving = [s for s in starts if s is not None]
    shapes = [list(s.shape) if s.shape is not None else None for s in moving]
    written: list[Var] = []
    for _ in range(4):
        read = partial(_body, reader, op, block, carried, fixed, moving, shapes, written, first)
        body, results, found = growing(op, read)
        again = [_widened(s, r) for s, r in zip(shapes, [r.shape for r in results[1:]], strict=False)]
        if again == shapes and not set(found) - set(written):
            break
        shapes = again
        written.extend(v for v in found if v not in written)
        moving = [*[s for s in starts if s is not None], *(v.value for v in written)]
        late = written[len(shapes) - len([s for s in starts if s is not None]) :]
        shapes += [None if v.value.shape is None else list(v.value.shape) for v in late]  # type: ignore[union-attr]
    else:
        raise Unsupported("carries tensors whose shapes do not settle")
    trips = None if isinstance(limit, int) and limit >= ENDLESS else scalar(op, limit)
    start = op.const(np.array(going)) if isinstance(going, bool) else going
    made = ir.Node("", "Loop", [trips, start, *moving], [ir.AttrGraph("body", body)], num_outputs=len(moving))
    for output, inner, shape in zip(made.outputs, results[1:], shapes, strict=True):
        output.type = inner.type
        output.shape = None if shape is None else ir.Shape(shape)
    op.insert(made)
    outputs = list(made.outputs)
    for var, value in zip(written, outputs[len(outputs) - len(written) :], strict=True):
        var.write(op, value)
    left = iter(outputs)
    return [
        c if i in fixed else wrapped(next(left)) if isinstance(c, (Var, Sequence)) else Sym(next(left))
        for i, c in enumerate(carried)
    ]


def _start(op: hub.Builder, value: Any) -> ir.Value | None:
    if value is None or isinstance(value, (str, list, tuple, dict, Poison)):
        return None
    return as_value(op, value)


def _widened(declared: Any, found: Any) -> Any:
    if declared is None or found is None or len(declared) != len(found):
        return None
    return [d if d == f else None for d, f in zip(declared, found, strict=True)]


def _body(
    reader: Reader,
    op: hub.Builder,
    block: Any,
    carried: list[Any],
    fixed: dict[int, Any],
    moving: list[ir.Value],
    shapes: list[Any],
    written: list[Var],
    first: int,
) -> tuple[ir.Graph, list[ir.Value], list[Var]]:
    """The body as a graph, its results, and the tensors from outside that it writes to."""
    fresh = lambda stem: hub.fresh_name(reader.graph, stem)  # noqa: E731
    step = ir.Value(name=fresh("step"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    flag = ir.Value(name=fresh("going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
    inner = [
        ir.Value(name=fresh("carried"), type=v.type, shape=None if s is None else ir.Shape(s))
        for v, s in zip(moving, shapes, strict=True)
    ]
    graph = ir.Graph(
        [step, flag, *inner], [], nodes=[], name="body", opset_imports={"": hub.HUB_OPSET}
    )
    builder = hub.Builder(graph, source=op.source)
    values.JOURNALS.append({})
    depth = len(values.JOURNALS) - 1
    try:
        queue = iter(inner)
        bound = [
            c if i in fixed else wrapped(next(queue)) if isinstance(c, (Var, Sequence)) else Sym(next(queue))
            for i, c in enumerate(carried)
        ]
        for var, value in zip(written, queue, strict=True):
            var.write(builder, value)
        at = Sym(step if not first else builder.Add(step, np.array(first)))
        _bind(reader, block, at, bound)
        again, *after = reader.block(builder, block)
        if any(isinstance(b, Var) and b.version for b in bound):
            raise Unsupported("writes in place to a tensor that a loop carries")
        for i, value in fixed.items():
            if after[i] is not value and not (isinstance(value, (str, type(None))) and after[i] == value):
                raise Unsupported("carries what is no tensor and changes")
        results = [
            as_value(builder, again),
            *(as_value(builder, a) for i, a in enumerate(after) if i not in fixed),
        ]
        before = values.JOURNALS[-1]
        changes = _variables(before)
        if len(changes) != len(values.JOURNALS[-1]):
            raise Unsupported("sets an attribute in a loop whose steps are known at run time alone")
        found = [
            v
            for v in _variables(changes)
            if v.base is None and v.depth <= depth and v.version != before[v][1]
        ]
        results += [v.value for v in written]
    finally:
        values.restore(values.JOURNALS.pop())
    if any(r is None for r in results):
        raise Unsupported("carries what is no tensor")
    kept = [builder.Identity(r) for r in results]
    for value, initial in zip(kept[1:], moving, strict=True):
        if value.dtype != initial.dtype:
            raise Unsupported(f"carries {initial.dtype} that becomes {value.dtype}")
    graph.outputs.extend(kept)
    return graph, kept, found


def growing(op: hub.Builder, attempt: Callable[[], Any]) -> Any:
    """What `attempt` gives, once lists of this place that it appends to are sequences."""
    while True:
        try:
            return attempt()
        except Grows as grown:
            if grown.items.depth < len(values.JOURNALS):
                raise
            grown.items.hold(op, grown.dtype)


def outside(items: Any) -> bool:
    """Whether a list was made outside the condition or loop, known at run time alone, that is being read."""
    return bool(values.JOURNALS) and not (isinstance(items, Items) and items.depth >= len(values.JOURNALS))


def mutable(items: Any) -> None:
    """Raise Unsupported where a list made outside would change under a condition known at run time alone."""
    if outside(items) or getattr(items, "held", None) is not None:
        raise Unsupported("changes a list inside a condition or loop known at run time alone")


__all__ = ["branch", "loop", "mutable", "plain"]
