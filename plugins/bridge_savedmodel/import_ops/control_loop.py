"""Loops: which variables of a While change, which lists collect one element per step, and the resulting
Loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.importing import int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T
from bridge_savedmodel.import_ops.control import add_outputs, as_bool, common_shape, subgraph
from bridge_savedmodel.import_ops.control_elements import taken_elements
from bridge_savedmodel.import_ops.sequence import fill_with_zeros, has_known_elements
from bridge_savedmodel.tensors import array_of
from bridge_savedmodel.values import TensorList

ops = OpTable()


class SetterInputs(NamedTuple):
    """Positions of the inputs of an operator that sets an element of a list."""

    tensors: int
    position: int
    item: int


SETTERS = {
    "TensorListSetItem": SetterInputs(tensors=0, position=1, item=2),
    "TensorArrayWriteV3": SetterInputs(tensors=3, position=1, item=2),
}


class Loop:
    """A While under import: its variables that change, and its lists that collect one element per step."""

    def __init__(self, node: Any, arguments: Sequence[Any]) -> None:
        self.node, self.arguments = node, list(arguments)
        self.body = node.definition(node.get("body"))
        self.nodes = {n.name: n for n in self.body.node_def}
        self.names = [a.name for a in self.body.signature.input_arg]
        self.results = [self.body.ret[o.name] for o in self.body.signature.output_arg]
        self.control_outputs = node.frame.context.control_outputs(self.body)
        self.unchanged = {i for i, r in enumerate(self.results) if self._source(r) == self.names[i]}
        changing = [i for i in range(len(self.names)) if i not in self.unchanged]
        tensors = [i for i in changing if isinstance(self.arguments[i], TensorList)]
        self.mirrored = {i: j for i in tensors if (j := self.mirrored_variable(i)) is not None}
        self.collected = [
            i for i in tensors if i not in self.mirrored and self.element_reference(i) is not None
        ]
        self.carried = [i for i in changing if i not in self.mirrored and i not in self.collected]
        self.stacked = [i for i in tensors if i in self.carried]

    def made_by(self, reference: str | None) -> Any:
        """The body node a value of the body comes from; None for an argument."""
        return None if reference is None else self.nodes.get(self._source(reference))

    def constant_argument(self, reference: str) -> ir.Value | None:
        """The tensor that a value of the body is at every step; None for any other."""
        name = self._source(reference)
        index = self.names.index(name) if name in self.names else -1
        value = self.arguments[index] if index in self.unchanged else None
        return value if isinstance(value, ir.Value) else None

    def producer(self, index: int) -> Any:
        """The body node that computes the next value of a variable; None for an argument."""
        return self.nodes.get(self._source(self.results[index]))

    def _source(self, reference: str, through: Sequence[str] = ("Identity",)) -> str:
        """The argument or node that a result comes from, through Identity nodes."""
        name = reference.split(":")[0]
        while name in self.nodes and self.nodes[name].op in through:
            name = self.nodes[name].input[0].split(":")[0]
        return name

    def is_step(self, reference: str, through: Sequence[str] = ("Identity",)) -> bool:
        """True if a value of the body is the step number: a variable that starts at 0 and grows by 1."""
        name = self._source(reference, through)
        if name not in self.names:
            return False
        index = self.names.index(name)
        start = const(self.arguments[index]) if isinstance(self.arguments[index], ir.Value) else None
        update = self.nodes.get(self._source(self.results[index]))
        if start is None or start.any() or update is None or update.op not in ("AddV2", "Add"):
            return False
        addends = [self._source(i) for i in update.input[:2]]
        other = next((s for s in addends if s != name), None)
        return name in addends and other is not None and self._is_one(other)

    def _is_one(self, name: str) -> bool:
        """True if an argument or node of the body is the constant 1."""
        if name in self.names:
            index = self.names.index(name)
            known = const(self.arguments[index]) if index in self.unchanged else None
            return known is not None and bool((known == 1).all())
        return _scalar_constant(self.nodes.get(name)) == 1

    def has_one_element(self, index: int) -> bool:
        """True if a list has a single element, which every step sets."""
        count = self.arguments[index].length
        setter = self.producer(index)
        known = None if count is None else const(count)
        if known is None or int(known.reshape(())) != 1 or setter is None or setter.op not in SETTERS:
            return False
        name = self._source(setter.input[SETTERS[setter.op].position])
        if name in self.names:
            position = self.names.index(name)
            start = const(self.arguments[position]) if position in self.unchanged else None
            return start is not None and not start.any()
        return _scalar_constant(self.nodes.get(name)) == 0

    def mirrored_variable(self, index: int) -> int | None:
        """Index of the loop variable that a single-element list mirrors, or None. The variable starts as
        zeros, and every step sets its new value as the element."""
        if not self.has_one_element(index) or self._is_read(index):
            return None
        setter = self.producer(index)
        name = self._source(setter.input[SETTERS[setter.op].item])
        candidates = [
            i for i, r in enumerate(self.results) if self._source(r) == name and i not in self.unchanged
        ]
        return next((i for i in candidates if _is_zeros(self.arguments[i])), None)

    def element_reference(self, index: int) -> str | None:
        """Reference of the element that every step adds to a list, at the index of the step or always at
        index 0; None for any other list."""
        setter, before = self.producer(index), self.arguments[index]
        if setter is None or self._is_read(index):
            return None
        if setter.op == "TensorListPushBack":
            is_same_list = self._source(setter.input[0]) == self.names[index]
            return (
                setter.input[1]
                if is_same_list and (before.items is not None or is_same_number(before.length, 0))
                else None
            )
        if setter.op not in SETTERS:
            return None
        tensors, position, item = (setter.input[i] for i in SETTERS[setter.op])
        is_same_list = self._source(tensors) == self.names[index]
        through = ("Identity",) if has_known_elements(before) else ("Identity", "Cast")
        in_order = self.has_one_element(index) or self.is_step(position, through)
        return item if is_same_list and in_order else None

    def _is_read(self, index: int) -> bool:
        """True if the body or the condition uses a list for more than setting an element."""
        setter, condition = self.producer(index), self.node.definition(self.node.get("cond"))
        name = condition.signature.input_arg[index].name
        if any(i.split(":")[0] == name for n in condition.node_def for i in n.input):
            return True
        others = (n for n in self.nodes.values() if n is not setter and n.op != "Identity")
        return any(self._source(i) == self.names[index] for n in others for i in n.input)

    def is_counted_to(self, length: Any) -> bool:
        """True if the loop runs for exactly `length` steps: nothing but the step number ends it."""
        condition = self.node.definition(self.node.get("cond"))
        nodes = {n.name: n for n in condition.node_def}
        names = [a.name for a in condition.signature.input_arg]
        pending = [condition.ret[condition.signature.output_arg[0].name]]
        while pending:
            name = pending.pop().split(":")[0]
            node = nodes.get(name)
            if node is None or node.op not in ("Identity", "LogicalAnd", "Less"):
                return False
            if node.op != "Less":
                pending.extend(i for i in node.input if not i.startswith("^"))
                continue
            step, bound = (i.split(":")[0] for i in node.input[:2])
            if step not in names or not self.is_step(self.names[names.index(step)]):
                return False
            position = names.index(bound) if bound in names else None
            limit = _scalar_constant(nodes.get(bound)) if position is None else self.arguments[position]
            if (position is not None and position not in self.unchanged) or not is_same_number(limit, length):
                return False
        return True


def _scalar_constant(node: Any) -> Any:
    """The value of a scalar Const of a function; None for any other node."""
    if node is None or node.op != "Const":
        return None
    array = array_of(node.attr["value"].tensor)
    return array.item() if array.size == 1 else None


def is_same_number(one: Any, other: Any) -> bool:
    """True if two numbers are certainly equal: constants, or one value of the graph."""
    values = [_constant_number(v) for v in (one, other)]
    if None not in values:
        return values[0] == values[1]
    return isinstance(one, ir.Value) and isinstance(other, ir.Value) and _origin(one) is _origin(other)


def _constant_number(value: Any) -> Any:
    if not isinstance(value, ir.Value):
        return value
    array = const(value)
    return None if array is None or array.size != 1 else array.item()


def _origin(value: ir.Value) -> ir.Value:
    """The value a number comes from, through casts and reshapes of one element."""
    node = value.producer()
    while node is not None and node.op_type in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
        if node.inputs[0] is None:
            break
        value = node.inputs[0]
        node = value.producer()
    return value


def _is_zeros(value: Any) -> bool:
    """True if a value is certainly all zeros."""
    if not isinstance(value, ir.Value):
        return False
    known, producer = const(value), value.producer()
    if known is not None:
        return not known.any()
    is_rearranged = producer is not None and producer.op_type in (
        "Expand",
        "Identity",
        "Reshape",
        "Unsqueeze",
        "Squeeze",
        "Tile",
    )
    return is_rearranged and _is_zeros(producer.inputs[0])


def _has_readable_lists(node: Any) -> bool:
    loop = Loop(node, node.inputs)
    return all(has_known_elements(loop.arguments[i]) for i in loop.stacked)


LISTS = condition(
    "lists that get one element a step, in order, or whose elements have a known shape", _has_readable_lists
)
TENSORS = condition(
    "tensors, or handles that stay the same",
    lambda n: all(
        isinstance(v, (ir.Value, TensorList)) or i in Loop(n, n.inputs).unchanged
        for i, v in enumerate(n.inputs)
    ),
)


@ops.op("While", "StatelessWhile", needs=(LISTS, TENSORS))
def while_(op, node, *arguments):
    """A Loop that carries what changes, captures what does not, and collects the elements of lists."""
    loop = Loop(node, arguments)
    loop.arguments = [fill_with_zeros(op, v) if i in loop.stacked else v for i, v in enumerate(arguments)]
    condition = as_bool(op, node.call(op, node.get("cond"), loop.arguments)[0])
    body = _Body(loop)
    if not body.fill():
        return NotImplemented
    states = [*(_items(loop.arguments[i]) for i in loop.carried), *body.variables.values()]
    outputs = _emit_loop(op, body.graph, condition, states)
    body.state.now.update(zip(body.variables, outputs[len(loop.carried) :], strict=False))
    del outputs[len(loop.carried) : len(states)]
    known = const(condition)
    return _loop_results(op, loop, outputs, known is not None and bool(known.all()))


class _Body:
    """The graph of a Loop. Its inputs are the step, the condition, the carried values, and variables the body
    writes."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.name = loop, loop.node.get("body")
        self.graph, self.inner = subgraph(self.name)
        self.state = loop.node.frame.context.state
        self.before = dict(self.state.now)
        self.variables = self.state.of_loop(self.name)
        self.arguments: list[Any] = list(loop.arguments)
        self._add_input("step", T.INT64, ir.Shape([]))
        self._add_input("going", T.BOOL, ir.Shape([]))
        for i in loop.carried:
            value, stacked = _items(loop.arguments[i]), i in loop.stacked
            shape = _list_shape(loop, value) if stacked else _invariant_shape(loop.node, i, value)
            carried = self._add_input("carried", value.dtype, shape)
            self.arguments[i] = TensorList(carried, None, carried.dtype) if stacked else carried
        for name, value in self.variables.items():
            self.state.now[name] = self._add_input("variable", value.dtype, value.shape)

    def _add_input(self, stem: str, dtype: Any, shape: Any) -> ir.Value:
        name = hub.fresh_name(self.graph, stem)
        value = ir.Value(name=name, type=None if dtype is None else ir.TensorType(dtype), shape=shape)
        self.graph.inputs.append(value)
        return value

    def fill(self) -> bool:
        """Build the graph; False if a result is no tensor."""
        loop, entered = self.loop, dict(self.state.now)
        outer = loop.node.frame
        frame = outer.within(loop.nodes, dict(zip(loop.names, self.arguments, strict=True)))
        references = [
            *(loop.results[i] for i in loop.carried),
            *(loop.element_reference(i) for i in loop.collected),
        ]
        results = [_items(v) for v in frame.evaluate(self.inner, references, loop.control_outputs)]
        if any(not isinstance(v, ir.Value) for v in results):
            return False
        for i, value in zip(loop.collected, results[len(loop.carried) :], strict=True):
            dims = loop.arguments[i].shape
            if dims is not None and None not in dims:
                value.shape = ir.Shape(dims)
        after = list(self.arguments)
        for i, value in zip(loop.carried, results, strict=False):
            after[i] = TensorList(value, None, value.dtype) if i in loop.stacked else value
        condition = as_bool(self.inner, loop.node.call(self.inner, loop.node.get("cond"), after)[0])
        variables = [self.state.now[n] for n in self.variables]
        count = len(loop.carried)
        add_outputs(self.graph, self.inner, [condition, *results[:count], *variables, *results[count:]])
        self.state.learn(self.name, entered)
        self.state.now = self.before
        return True


def _loop_results(op: Any, loop: Loop, outputs: list[Any], runs: bool) -> Any:
    """The value of each argument after the loop. `runs` is True if the loop certainly runs at least once."""
    results = list(loop.arguments)
    for i, value in zip([*loop.carried, *loop.collected], outputs, strict=True):
        results[i] = TensorList(value, None, value.dtype) if i in (*loop.collected, *loop.stacked) else value
    for i, j in loop.mirrored.items():
        results[i] = TensorList(op.Unsqueeze(results[j], ints(0)), None, results[j].dtype)
    for i in loop.collected:
        items = results[i].items
        taken = taken_elements(op, loop, i)
        if taken is not None:
            items = taken
        elif loop.has_one_element(i) and loop.producer(i).op in SETTERS:
            items = _final_element(op, loop.arguments[i], items, runs)
        else:
            items = _list_elements(op, loop, i, items)
        if items is NotImplemented:
            return NotImplemented
        results[i] = TensorList(items, None, items.dtype)
    return results


def _final_element(op: Any, before: Any, items: Any, runs: bool) -> Any:
    """The element of a single-element list that `items` were assigned to in turn: the last item. After no
    step it is the initial element, or zeros."""
    last = op.Slice(items, ints(-1), ints(FAR), ints(0))
    if runs:
        return last
    if before.items is not None:
        last = op.Concat(before.items, last, axis=0)
    elif items.shape is None or items.dtype == T.STRING:
        return NotImplemented
    else:
        last = op.Pad(last, ints(1, *[0] * (2 * len(items.shape) - 1)))
    element = op.Slice(last, ints(-1), ints(FAR), ints(0))
    element.shape = None if items.shape is None else ir.Shape([1, *list(items.shape)[1:]])
    return element


def _list_elements(op: Any, loop: Loop, index: int, items: Any) -> Any:
    """The elements of a list that got `items`, one per step, together with earlier elements or zeros."""
    before = loop.arguments[index]
    if loop.producer(index).op == "TensorListPushBack":
        return items if before.items is None else op.Concat(before.items, items, axis=0)
    count = op.Shape(items, start=0, end=1)
    if before.items is not None:
        return op.Concat(items, op.Slice(before.items, count, ints(FAR), ints(0)), axis=0)
    if is_same_number(before.length, 0) or loop.is_counted_to(before.length):
        return items
    if items.shape is None or items.dtype == T.STRING:
        return NotImplemented
    missing, other_pads = (
        op.Max(op.Sub(int64_vector(op, before.length), count), ints(0)),
        [0] * (len(items.shape) - 1),
    )
    padded = op.Pad(items, op.Concat(ints(0, *other_pads), missing, ints(*other_pads), axis=0))
    padded.shape = ir.Shape([None, *list(items.shape)[1:]])
    return padded


RESIZES_LIST = frozenset(
    ["TensorListPopBack", "TensorListPushBack", "TensorListPushBackBatch", "TensorListResize"]
)


def _list_shape(loop: Loop, items: Any) -> ir.Shape | None:
    """The shape of a list's stacked elements at every step. The length is that of before, unless the list is
    empty or the body changes it."""
    if items.shape is None or len(items.shape) == 0:
        return None
    is_resized = items.shape[0] == 0 or any(
        n.op in RESIZES_LIST or n.attr["resize_if_index_out_of_bounds"].b for n in loop.nodes.values()
    )
    return ir.Shape([None, *list(items.shape)[1:]]) if is_resized else items.shape


def _items(value: Any) -> Any:
    return value.items if isinstance(value, TensorList) else value


def _emit_loop(op: Any, graph: ir.Graph, going: Any, states: Sequence[Any]) -> list[Any]:
    """Insert a Loop with the given body; its outputs."""
    bodies = [ir.AttrGraph("body", graph)]
    node = ir.Node("", "Loop", [None, going, *states], bodies, num_outputs=len(graph.outputs) - 1)
    for index, (output, body_output) in enumerate(zip(node.outputs, list(graph.outputs)[1:], strict=True)):
        output.type = body_output.type
        if index < len(states):
            output.shape = common_shape(body_output.shape, graph.inputs[index + 2].shape)
        elif body_output.shape is not None:
            output.shape = ir.Shape([None, *body_output.shape])
    op.insert(node)
    return list(node.outputs)


def _invariant_shape(node: Any, index: int, value: Any) -> ir.Shape | None:
    """The dimensions a carried value has at every step, as declared by the While."""
    shapes = node.get("output_shapes") or []
    dims = shapes[index] if index < len(shapes) else None
    if dims is not None:
        return ir.Shape(list(dims))
    return ir.Shape([None] * len(value.shape)) if value.shape is not None else None
