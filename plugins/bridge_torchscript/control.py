"""Conditions and loops: executed where they are static, hub If and Loop where they are not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge_torchscript.import_ops.common import int64_scalar, tensor
from bridge_torchscript.import_ops.tensor import reshape_keeping_empty
from bridge_torchscript.interpreter import MAX_STEPS, Interpreter, Raised, condition_value, wrap
from bridge_torchscript.values import (
    Builder,
    Complex,
    Items,
    ListGrows,
    Poison,
    Sequence,
    Sym,
    Unsupported,
    Var,
    collection_like,
    common_shape,
)

ENDLESS = 2**62
Run = Callable[[Builder], list[Any]]
Step = Callable[[Builder, Any, list[Any]], list[Any]]
"""One round of a loop, from its number and what is carried: whether there is another, and what it carries."""
MAX_ROUNDS = 4


class Reader(Interpreter):
    """Interpreter that also executes conditions and loops."""

    def _If(self, op: Builder, node: Any, condition: Any) -> Any:
        results = branch(self, op, node, condition)
        return results[0] if len(results) == 1 else results

    def _Loop(self, op: Builder, node: Any, limit: Any, going: Any, *carried: Any) -> Any:
        results = loop(self, op, node, limit, going, list(carried))
        return results[0] if len(results) == 1 else results


def branch(reader: Reader, op: Builder, node: Any, condition: Any) -> list[Any]:
    """Execute the branch of a static condition; emit an If otherwise.

    Branches that only raise are treated as unreachable.
    """
    then, other = node.blocks()
    static = condition_value(op, condition)
    if isinstance(static, bool):
        return reader.block(op, then if static else other)
    raising = [any(n.kind() == "prim::RaiseException" for n in b.nodes()) for b in (then, other)]
    if any(raising):
        if all(raising):
            raise Raised("both branches raise")
        reader.notes.append("assertions of the model are taken as true")
        return reader.block(op, other if raising[0] else then)
    reshaped = _guarded_reshape(reader, op, node)
    if reshaped is not None:
        return [reshaped]
    runs: list[Run] = [functools.partial(reader.block, block=block) for block in (then, other)]
    return choose(reader, op, static, runs)


def choose(reader: Reader, op: Builder, condition: ir.Value, branches: list[Run]) -> list[Any]:
    """Emit an If of two branches, each read by a function of its builder."""
    traces = retry_with_sequences(op, lambda: [_trace_branch(reader, op, run) for run in branches])
    return _merge_branches(reader, op, condition, traces)


RESHAPING = ("prim::Constant", "prim::ListConstruct", "aten::reshape")


def _guarded_reshape(reader: Reader, op: Builder, node: Any) -> Var | None:
    """Reshape for `if n > 0: x = x.reshape(n, …)`, emitted without the condition.

    An empty `x` then only gets the rank it has in the other branch.
    """
    comparison, (then, other) = node.inputsAt(0).node(), node.blocks()
    nodes, outputs = list(then.nodes()), list(then.outputs())
    if comparison.kind() != "aten::gt" or len(outputs) != 1 or any(n.kind() not in RESHAPING for n in nodes):
        return None
    reshape = outputs[0].node()
    unchanged = next(iter(other.outputs())).debugName()
    if (
        reshape.kind() != "aten::reshape"
        or list(other.nodes())
        or unchanged != reshape.inputsAt(0).debugName()
    ):
        return None
    count, shape_list = comparison.inputsAt(0).debugName(), reshape.inputsAt(1).node()
    bound = reader.env[comparison.inputsAt(1).debugName()]
    if bound != 0 or count not in [v.debugName() for v in shape_list.inputs()]:
        return None
    for inner in nodes[:-1]:
        reader.node(op, inner)
    x = reader.env[reshape.inputsAt(0).debugName()]
    shape = reader.env[shape_list.output().debugName()]
    result = Var(op, reshape_keeping_empty(op, x.read(op), shape))
    result.shared = True
    return result


class BranchTrace:
    """Traced branch: graph, results (as returned and as hub values), tensors and attributes it wrote to."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.raw: list[Any] = []
        self.results: list[Any] = []
        self.written: dict[Var, Any] = {}
        self.attributes: dict[Any, Any] = {}


def _trace_branch(reader: Reader, op: Builder, run: Run) -> BranchTrace:
    trace = BranchTrace(nested_builder(reader, op, "branch"))
    with reader.memory.branch() as changes:
        trace.raw = run(trace.builder)
        trace.results = [_snapshot(trace.builder, r) for r in trace.raw]
        trace.attributes = {
            (owner, name): _snapshot(trace.builder, owner.attributes[name])
            for owner, name in changes.attributes
        }
        trace.written = {v: v.value for v in changes.written()}
    return trace


def nested_builder(reader: Reader, op: Builder, name: str, inputs: list[ir.Value] | None = None) -> Builder:
    """Builder of a new graph inside the graph that `op` builds."""
    graph = ir.Graph(inputs or [], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET})
    return Builder(graph, reader.memory, op.source)


def _snapshot(op: Builder, value: Any) -> Any:
    """Current values of tensors, taken before the writes of the branch are undone."""
    if isinstance(value, Var):
        return Var(op, value.read(op), quantization=value.quantization)
    if isinstance(value, Items) and value.sequence is not None:
        return Sequence(value.sequence.read(op), value.shape)
    if isinstance(value, tuple):
        return tuple(_snapshot(op, v) for v in value)
    return [_snapshot(op, v) for v in value] if isinstance(value, list) else value


def _merge_branches(reader: Reader, op: Builder, condition: ir.Value, traces: list[BranchTrace]) -> list[Any]:
    """Emit an If of two traced branches; return the results, and write to changed tensors and attributes.

    Each merged value is built by a function of the If's outputs, which are known only after all are merged.
    """
    outputs: list[tuple[Any, Any]] = []

    def merge_value(one: Any, two: Any) -> Any:
        if one is two or (type(one) is type(two) and isinstance(one, (bool, int, float, str)) and one == two):
            return lambda if_outputs: one
        if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)) and len(one) == len(two):
            items = [merge_value(a, b) for a, b in zip(one, two, strict=True)]
            return lambda if_outputs: collection_like(op, one, (item(if_outputs) for item in items))
        pair = [as_value(t.builder, v) for t, v in zip(traces, (one, two), strict=True)]
        if pair[0] is None or pair[1] is None:
            return lambda if_outputs: Poison("has a value in one branch and none in the other")
        index, symbolic = len(outputs), not isinstance(one, (Var, Sequence))
        outputs.append((pair[0], pair[1]))
        return lambda if_outputs: Sym(if_outputs[index]) if symbolic else wrap(op, if_outputs[index])

    merged_results, outside_tensors = [], []
    for raw, values in zip(
        zip(*(t.raw for t in traces), strict=True),
        zip(*(t.results for t in traces), strict=True),
        strict=True,
    ):
        if raw[0] is raw[1]:
            merged_results.append(lambda if_outputs, same=raw[0]: same)
            continue
        for value in raw:
            if isinstance(value, Var) and value.depth <= reader.memory.depth:
                outside_tensors.append(value)
        merged_results.append(merge_value(*values))
    keys = list(dict.fromkeys([*traces[0].attributes, *traces[1].attributes]))
    merged_attributes = [
        merge_value(*(t.attributes.get(k, k[0].attributes.get(k[1])) for t in traces)) for k in keys
    ]
    written = list(dict.fromkeys([*traces[0].written, *traces[1].written]))
    first = len(outputs)
    for var in written:
        outputs.append(tuple(t.written.get(var) or var.value for t in traces))  # type: ignore[arg-type]
    if_outputs = [] if not outputs else _emit_if(op, condition, [t.builder for t in traces], outputs)
    for var, value in zip(written, if_outputs[first:], strict=True):
        var.write(op, value)
    for (owner, name), merged in zip(keys, merged_attributes, strict=True):
        reader.set_attribute(owner, name, merged(if_outputs))
    results = [merged(if_outputs) for merged in merged_results]
    for var in [*outside_tensors, *(r for r in results if isinstance(r, Var) and outside_tensors)]:
        var.root().shared = True
    return results


def as_value(op: Builder, value: Any) -> ir.Value | None:
    """Hub value of a tensor, sequence or number; None for anything else."""
    if isinstance(value, Var):
        if value.quantization is not None:
            raise Unsupported("gives a quantized tensor; dequantize it before")
        return value.read(op)
    if isinstance(value, (Sequence, Complex)):
        return value.value
    if isinstance(value, (bool, int, float, Sym)):
        dtype = ir.DataType.DOUBLE if isinstance(value, float) else None
        return tensor(op, value, dtype if not isinstance(value, Sym) else value.value.dtype)
    return None


def as_sequence(op: Builder, items: Any, dtype: ir.DataType | None = None) -> ir.Value | None:
    """Hub sequence of a list of tensors; an empty one has `dtype`. None if the list holds anything else."""
    values = [v.read(op) for v in items if isinstance(v, Var)]
    if len(values) < len(items) or not (values or dtype):
        return None
    if dtype is not None:
        values = [v if v.dtype == dtype else op.Cast(v, to=int(dtype)) for v in values]
    return op.SequenceConstruct(*values) if values else op.SequenceEmpty(dtype=int(dtype))  # type: ignore[arg-type]


def _emit_if(
    op: Builder, condition: ir.Value, builders: list[Builder], outputs: list[tuple[Any, Any]]
) -> list[ir.Value]:
    for index, builder in enumerate(builders):
        builder.graph.outputs.extend(builder.Identity(pair[index]) for pair in outputs)
    attributes = [
        ir.AttrGraph(n, b.graph) for n, b in zip(("then_branch", "else_branch"), builders, strict=True)
    ]
    scalar_condition = condition if not condition.shape else op.Reshape(condition, np.array([1]))
    node = ir.Node("", "If", [scalar_condition], attributes, num_outputs=len(outputs))
    for output, (one, two) in zip(node.outputs, outputs, strict=True):
        if one.dtype != two.dtype:
            raise Unsupported(f"gives {one.dtype} in one branch and {two.dtype} in the other")
        output.type = one.type
        output.shape = _common_shape(one.shape, two.shape)
    op.insert(node)
    return list(node.outputs)


def _common_shape(one: ir.Shape | None, two: ir.Shape | None) -> ir.Shape | None:
    if one is not None and two is not None and len(one) != len(two):
        raise Unsupported("gives tensors of different ranks in its branches")
    return common_shape(one, two)


def loop(reader: Reader, op: Builder, node: Any, limit: Any, going: Any, carried: list[Any]) -> list[Any]:
    """Values a loop node carries at its end."""
    (block,) = node.blocks()

    def step(inner: Builder, number: Any, values: list[Any]) -> list[Any]:
        for name, value in zip(block.inputs(), [number, *values], strict=True):
            reader.env[name.debugName()] = value
        return reader.block(inner, block)

    return repeat(reader, op, step, limit, going, carried)


def repeat(reader: Reader, op: Builder, step: Step, limit: Any, going: Any, carried: list[Any]) -> list[Any]:
    """Values a loop carries at its end: unrolled if its length is static, a Loop otherwise."""
    count = const(limit.value) if isinstance(limit, Sym) else limit
    start = condition_value(op, going)
    if (
        count is not None
        and isinstance(start, bool)
        and (int(count) <= MAX_STEPS or _has_static_condition(reader, op, step, carried))
    ):
        return _unroll(reader, op, step, int(count), start, carried)
    return _emit_loop(reader, op, step, limit, start, carried)


def _has_static_condition(reader: Reader, op: Builder, step: Step, carried: list[Any]) -> bool:
    """True if the body decides before run time whether it runs again.

    The body is traced once, and its writes undone.
    """
    builder = nested_builder(reader, op, "trial")
    try:
        with reader.memory.branch():
            again = step(builder, 0, carried)[0]
            return isinstance(condition_value(builder, again), bool)
    except ListGrows:
        return False


def _unroll(
    reader: Reader, op: Builder, step: Step, count: int, going: bool, carried: list[Any]
) -> list[Any]:
    number = 0
    while going and number < count:
        if number >= MAX_STEPS:
            raise Unsupported(f"runs more than {MAX_STEPS} steps")
        again, *carried = step(op, number, carried)
        decided = condition_value(op, again)
        if not isinstance(decided, bool):
            return _emit_loop(reader, op, step, count - number - 1, decided, carried, number + 1)
        going, number = decided, number + 1
    return carried


def _emit_loop(
    reader: Reader, op: Builder, step: Step, limit: Any, going: Any, carried: list[Any], first: int = 0
) -> list[Any]:
    """Emit a Loop of dynamic length whose first step has the number `first`."""
    body = LoopBody(reader, op, step, carried, first)
    graph, results = body.fixed_point()
    trips = None if isinstance(limit, int) and limit >= ENDLESS else int64_scalar(op, limit)
    start = op.const(np.array(going)) if isinstance(going, bool) else going
    initial = body.initial_values()
    node = ir.Node(
        "", "Loop", [trips, start, *initial], [ir.AttrGraph("body", graph)], num_outputs=len(initial)
    )
    for output, inner, shape in zip(node.outputs, results[1:], body.shapes, strict=True):
        output.type = inner.type
        output.shape = None if shape is None else ir.Shape(shape)
    op.insert(node)
    return body.bind(op, node.outputs)


class LoopBody:
    """Body of a Loop: its loop-carried values, and the values that never change (`fixed`).

    Outside tensors that it writes to (`written`) are carried after the variables of the program. `shapes` are
    the shapes of all carried values, with None for lengths that change from step to step.
    """

    def __init__(self, reader: Reader, op: Builder, step: Step, carried: list[Any], first: int) -> None:
        self.reader, self.op, self.step, self.carried, self.first = reader, op, step, carried, first
        starts = [_initial_value(op, c) for c in carried]
        self.fixed = {i: c for i, c in enumerate(carried) if starts[i] is None}
        self.starts = [s for s in starts if s is not None]
        self.written: list[Var] = []
        self.shapes = [_dims_of(s) for s in self.starts]

    def initial_values(self) -> list[ir.Value]:
        """Initial values of all carried values."""
        return [*self.starts, *(v.value for v in self.written if v.value is not None)]

    def bind(self, op: Builder, values: Iterable[ir.Value]) -> list[Any]:
        """Bind `values` to the carried variables of the program, and write theirs to outside tensors."""
        queue = iter(values)
        bound = [
            c
            if i in self.fixed
            else wrap(op, next(queue))
            if isinstance(c, (Var, Sequence))
            else Sym(next(queue))
            for i, c in enumerate(self.carried)
        ]
        for var, value in zip(self.written, queue, strict=True):
            var.write(op, value)
        return bound

    def fixed_point(self) -> tuple[ir.Graph, list[ir.Value]]:
        """Graph and results of a body whose shapes and written tensors no longer change."""
        for _ in range(MAX_ROUNDS):
            graph, results, written = retry_with_sequences(self.op, self._read)
            shapes = [_merge_dims(s, _dims_of(r)) for s, r in zip(self.shapes, results[1:], strict=True)]
            late = [v for v in written if v not in self.written]
            if shapes == self.shapes and not late:
                return graph, results
            self.written.extend(late)
            self.shapes = [*shapes, *(_dims_of(v.value) for v in late)]
        raise Unsupported("carries tensors whose shapes do not settle")

    def _read(self) -> tuple[ir.Graph, list[ir.Value], list[Var]]:
        """Trace of the body: graph, results, and the outside tensors it writes to."""
        inputs = self._inputs()
        builder = nested_builder(self.reader, self.op, "body", inputs)
        with self.reader.memory.branch() as changes:
            bound = self.bind(builder, inputs[2:])
            number = builder.Add(inputs[0], np.array(self.first)) if self.first else inputs[0]
            again, *after = self.step(builder, Sym(number), bound)
            self._check(bound, after)
            moved = [a for i, a in enumerate(after) if i not in self.fixed]
            results = [as_value(builder, v) for v in (again, *moved)]
            if changes.attributes:
                raise Unsupported("sets an attribute in a loop whose steps are known at run time alone")
            written = changes.written()
            results += [v.value for v in self.written]
        return builder.graph, self._outputs(builder, results), written

    def _inputs(self) -> list[ir.Value]:
        """Inputs of the graph: step number, condition and all carried values."""
        carried = [
            ("carried", v.type, None if s is None else ir.Shape(s))
            for v, s in zip(self.initial_values(), self.shapes, strict=True)
        ]
        scalars = [("step", ir.DataType.INT64), ("going", ir.DataType.BOOL)]
        specs = [*((stem, ir.TensorType(t), ir.Shape([])) for stem, t in scalars), *carried]
        return [
            ir.Value(name=hub.fresh_name(self.reader.graph, stem), type=value_type, shape=shape)
            for stem, value_type, shape in specs
        ]

    def _check(self, bound: list[Any], after: list[Any]) -> None:
        """Raise Unsupported for a write to a carried tensor, or a changed variable that is no tensor."""
        if any(isinstance(b, Var) and b.version for b in bound):
            raise Unsupported("writes in place to a tensor that a loop carries")
        for i, value in self.fixed.items():
            if after[i] is not value and not (isinstance(value, (str, type(None))) and after[i] == value):
                raise Unsupported("carries what is no tensor and changes")

    def _outputs(self, builder: Builder, results: list[ir.Value | None]) -> list[ir.Value]:
        """Add the outputs of the graph: the condition, then all carried values in their initial dtype."""
        known = [builder.Identity(r) for r in results if r is not None]
        if len(known) < len(results):
            raise Unsupported("carries what is no tensor")
        for value, initial in zip(known[1:], self.initial_values(), strict=True):
            if value.dtype != initial.dtype:
                raise Unsupported(f"carries {initial.dtype} that becomes {value.dtype}")
        builder.graph.outputs.extend(known)
        return known


def _initial_value(op: Builder, value: Any) -> ir.Value | None:
    """Initial value of a carried variable; None if it is no tensor or number."""
    if value is None or isinstance(value, (str, list, tuple, dict, Poison)):
        return None
    return as_value(op, value)


def _dims_of(value: ir.Value | None) -> list[Any] | None:
    return None if value is None or value.shape is None else list(value.shape)


def _merge_dims(declared: list[Any] | None, inferred: list[Any] | None) -> list[Any] | None:
    """Dimensions that two shapes share, None for those that differ. None if the ranks differ."""
    if declared is None or inferred is None or len(declared) != len(inferred):
        return None
    return [d if d == f else None for d, f in zip(declared, inferred, strict=True)]


def retry_with_sequences(op: Builder, read: Callable[[], Any]) -> Any:
    """Call `read`; if it appends to a list of this scope, make the list a hub sequence and call again."""
    while True:
        try:
            return read()
        except ListGrows as grown:
            if grown.items.depth < op.memory.depth:
                raise
            grown.items.become_sequence(op, grown.dtype)
