"""Loops: which of their variables change, which are lists filled step by step, and the Loop they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.importing import int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T
from bridge_savedmodel.import_ops.control import close, common_shape, condition_of, subgraph
from bridge_savedmodel.import_ops.lists import blank_known, filled
from bridge_savedmodel.tensorflow import tensorflow
from bridge_savedmodel.values import TensorList

ops = OpTable()

SETTERS = {"TensorListSetItem": (0, 1, 2), "TensorArrayWriteV3": (3, 1, 2)}


class Loop:
    """A While being read: which of its variables change, and which are lists filled step by step."""

    def __init__(self, node: Any, arguments: Sequence[Any]) -> None:
        self.node, self.arguments = node, list(arguments)
        self.body = node.function(node.get("body"))
        self.nodes = {n.name: n for n in self.body.node_def}
        self.names = [a.name for a in self.body.signature.input_arg]
        self.results = [self.body.ret[o.name] for o in self.body.signature.output_arg]
        self.control_outputs = node.frame.context.control_outputs(self.body)
        self.unchanged = {i for i, r in enumerate(self.results) if self._through(r) == self.names[i]}
        changing = [i for i in range(len(self.names)) if i not in self.unchanged]
        tensors = [i for i in changing if isinstance(self.arguments[i], TensorList)]
        self.alike = {i: j for i in tensors if (j := self.state(i)) is not None}
        self.lists = [i for i in tensors if i not in self.alike and self.element(i) is not None]
        self.carried = [i for i in changing if i not in self.alike and i not in self.lists]
        self.stacked = [i for i in tensors if i in self.carried]

    def maker(self, index: int) -> Any:
        """The node of the body that makes what a variable is next; None for an argument."""
        return self.nodes.get(self._through(self.results[index]))

    def _through(self, reference: str) -> str:
        """The argument or node a result comes from, identities aside."""
        name = reference.split(":")[0]
        while name in self.nodes and self.nodes[name].op == "Identity":
            name = self.nodes[name].input[0].split(":")[0]
        return name

    def counts(self, reference: str) -> bool:
        """Whether a value of the body is the step number: a variable that starts at 0 and grows by 1."""
        name = self._through(reference)
        if name not in self.names:
            return False
        index = self.names.index(name)
        start = const(self.arguments[index]) if isinstance(self.arguments[index], ir.Value) else None
        step = self.nodes.get(self._through(self.results[index]))
        if start is None or start.any() or step is None or step.op not in ("AddV2", "Add"):
            return False
        sides = [self._through(i) for i in step.input[:2]]
        other = next((s for s in sides if s != name), None)
        return name in sides and other is not None and self._one(other)

    def _one(self, name: str) -> bool:
        if name in self.names:
            index = self.names.index(name)
            known = const(self.arguments[index]) if index in self.unchanged else None
            return known is not None and bool((known == 1).all())
        return _stored(self.nodes.get(name)) == 1

    def only(self, index: int) -> bool:
        """Whether a list holds one element, set anew at every step."""
        count = self.arguments[index].length
        made = self.maker(index)
        known = None if count is None else const(count)
        if known is None or int(known.reshape(())) != 1 or made is None or made.op not in SETTERS:
            return False
        name = self._through(made.input[SETTERS[made.op][1]])
        if name in self.names:
            place = self.names.index(name)
            start = const(self.arguments[place]) if place in self.unchanged else None
            return start is not None and not start.any()
        return _stored(self.nodes.get(name)) == 0

    def state(self, index: int) -> int | None:
        """Index of the loop variable that a list of one element mirrors: it starts as zeros and its new value
        is set as the element at every step. None for any other list."""
        if not self.only(index) or self._read(index):
            return None
        made = self.maker(index)
        name = self._through(made.input[SETTERS[made.op][2]])
        same = [i for i, r in enumerate(self.results) if self._through(r) == name and i not in self.unchanged]
        return next((i for i in same if _zeros(self.arguments[i])), None)

    def element(self, index: int) -> str | None:
        """Reference of the element a list gets at every step, at the index of the step or always at the
        first; None for any other list."""
        made, before = self.maker(index), self.arguments[index]
        if made is None or self._read(index):
            return None
        if made.op == "TensorListPushBack":
            own = self._through(made.input[0]) == self.names[index]
            return made.input[1] if own and (before.items is not None or same(before.length, 0)) else None
        if made.op not in SETTERS:
            return None
        tensors, place, item = (made.input[i] for i in SETTERS[made.op])
        own = self._through(tensors) == self.names[index]
        return item if own and (self.only(index) or self.counts(place)) else None

    def _read(self, index: int) -> bool:
        """Whether the body or the condition does more with a list than to set an element."""
        made, test = self.maker(index), self.node.function(self.node.get("cond"))
        name = test.signature.input_arg[index].name
        if any(i.split(":")[0] == name for n in test.node_def for i in n.input):
            return True
        others = (n for n in self.nodes.values() if n is not made and n.op != "Identity")
        return any(self._through(i) == self.names[index] for n in others for i in n.input)

    def runs(self, length: Any) -> bool:
        """Whether the steps are counted up to `length` and nothing else ends the loop."""
        test = self.node.function(self.node.get("cond"))
        nodes = {n.name: n for n in test.node_def}
        names = [a.name for a in test.signature.input_arg]
        pending = [test.ret[test.signature.output_arg[0].name]]
        while pending:
            name = pending.pop().split(":")[0]
            made = nodes.get(name)
            if made is None or made.op not in ("Identity", "LogicalAnd", "Less"):
                return False
            if made.op != "Less":
                pending.extend(i for i in made.input if not i.startswith("^"))
                continue
            low, high = (i.split(":")[0] for i in made.input[:2])
            if low not in names or not self.counts(self.names[names.index(low)]):
                return False
            place = names.index(high) if high in names else None
            limit = _stored(nodes.get(high)) if place is None else self.arguments[place]
            if (place is not None and place not in self.unchanged) or not same(limit, length):
                return False
        return True


def _stored(made: Any) -> Any:
    """A scalar constant of a function; None for any other node."""
    if made is None or made.op != "Const":
        return None
    array = tensorflow().make_ndarray(made.attr["value"].tensor)
    return array.item() if array.size == 1 else None


def same(one: Any, other: Any) -> bool:
    """Whether two numbers are surely the same: constants, or one value of the graph."""
    values = [_number(v) for v in (one, other)]
    if None not in values:
        return values[0] == values[1]
    return isinstance(one, ir.Value) and isinstance(other, ir.Value) and _origin(one) is _origin(other)


def _number(value: Any) -> Any:
    if not isinstance(value, ir.Value):
        return value
    array = const(value)
    return None if array is None or array.size != 1 else array.item()


def _origin(value: ir.Value) -> ir.Value:
    """Where a number comes from, casts and shapes of one element aside."""
    made = value.producer()
    while made is not None and made.op_type in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
        if made.inputs[0] is None:
            break
        value = made.inputs[0]
        made = value.producer()
    return value


def _zeros(value: Any) -> bool:
    """Whether a value is surely zeros."""
    if not isinstance(value, ir.Value):
        return False
    known, maker = const(value), value.producer()
    if known is not None:
        return not known.any()
    moved = maker is not None and maker.op_type in (
        "Expand",
        "Identity",
        "Reshape",
        "Unsqueeze",
        "Squeeze",
        "Tile",
    )
    return moved and _zeros(maker.inputs[0])


def _lists_fit(node: Any) -> bool:
    loop = Loop(node, node.inputs)
    return all(blank_known(loop.arguments[i]) for i in loop.stacked)


LISTS = condition(
    "lists that get one element a step, in order, or whose elements have a known shape", _lists_fit
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
    loop.arguments = [filled(op, v) if i in loop.stacked else v for i, v in enumerate(arguments)]
    going = condition_of(op, node.call(op, node.get("cond"), loop.arguments)[0])
    body = _Body(loop)
    if not body.read():
        return NotImplemented
    states = [*(_items(loop.arguments[i]) for i in loop.carried), *body.variables.values()]
    made = _emit_loop(op, body.graph, going, states)
    body.state.now.update(zip(body.variables, made[len(loop.carried) :], strict=False))
    del made[len(loop.carried) : len(states)]
    known = const(going)
    return _results(op, loop, made, known is not None and bool(known.all()))


class _Body:
    """The graph of a Loop: its inputs are the step, whether to go on, what is carried, and variables the body
    writes."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.name = loop, loop.node.get("body")
        self.graph, self.inner = subgraph(self.name)
        self.state = loop.node.frame.context.state
        self.before = dict(self.state.now)
        self.variables = self.state.of_loop(self.name)
        self.arguments: list[Any] = list(loop.arguments)
        self._input("step", T.INT64, ir.Shape([]))
        self._input("going", T.BOOL, ir.Shape([]))
        for i in loop.carried:
            value, stacked = _items(loop.arguments[i]), i in loop.stacked
            shape = _of_list(loop, value) if stacked else _invariant(loop.node, i, value)
            made = self._input("carried", value.dtype, shape)
            self.arguments[i] = TensorList(made, None, made.dtype) if stacked else made
        for name, value in self.variables.items():
            self.state.now[name] = self._input("variable", value.dtype, value.shape)

    def _input(self, stem: str, dtype: Any, shape: Any) -> ir.Value:
        name = hub.fresh_name(self.graph, stem)
        value = ir.Value(name=name, type=None if dtype is None else ir.TensorType(dtype), shape=shape)
        self.graph.inputs.append(value)
        return value

    def read(self) -> bool:
        """Fill the graph; False where it makes something other than tensors."""
        loop, entered = self.loop, dict(self.state.now)
        outer = loop.node.frame
        frame = outer.within(loop.nodes, dict(zip(loop.names, self.arguments, strict=True)))
        wanted = [*(loop.results[i] for i in loop.carried), *(loop.element(i) for i in loop.lists)]
        found = [_items(v) for v in frame.evaluate(self.inner, wanted, loop.control_outputs)]
        if any(not isinstance(v, ir.Value) for v in found):
            return False
        for i, value in zip(loop.lists, found[len(loop.carried) :], strict=True):
            dims = loop.arguments[i].shape
            if dims is not None and None not in dims:
                value.shape = ir.Shape(dims)
        after = list(self.arguments)
        for i, value in zip(loop.carried, found, strict=False):
            after[i] = TensorList(value, None, value.dtype) if i in loop.stacked else value
        more = condition_of(self.inner, loop.node.call(self.inner, loop.node.get("cond"), after)[0])
        ends = [self.state.now[n] for n in self.variables]
        count = len(loop.carried)
        close(self.graph, self.inner, [more, *found[:count], *ends, *found[count:]])
        self.state.learn(self.name, entered)
        self.state.now = self.before
        return True


def _results(op: Any, loop: Loop, made: list[Any], runs: bool) -> Any:
    """What each argument is after the loop, which surely runs once where `runs` holds."""
    results = list(loop.arguments)
    for i, value in zip([*loop.carried, *loop.lists], made, strict=True):
        results[i] = TensorList(value, None, value.dtype) if i in (*loop.lists, *loop.stacked) else value
    for i, j in loop.alike.items():
        results[i] = TensorList(op.Unsqueeze(results[j], ints(0)), None, results[j].dtype)
    for i in loop.lists:
        items = results[i].items
        if loop.only(i) and loop.maker(i).op in SETTERS:
            items = _last(op, loop.arguments[i], items, runs)
        else:
            items = _completed(op, loop, i, items)
        if items is NotImplemented:
            return NotImplemented
        results[i] = TensorList(items, None, items.dtype)
    return results


def _last(op: Any, before: Any, items: Any, runs: bool) -> Any:
    """The one element of a list that got `items` in turn: the last of them, or, after no step, what it was
    before, or zeros."""
    last = op.Slice(items, ints(-1), ints(FAR), ints(0))
    if runs:
        return last
    if before.items is not None:
        last = op.Concat(before.items, last, axis=0)
    elif items.shape is None or items.dtype == T.STRING:
        return NotImplemented
    else:
        last = op.Pad(last, ints(1, *[0] * (2 * len(items.shape) - 1)))
    found = op.Slice(last, ints(-1), ints(FAR), ints(0))
    found.shape = None if items.shape is None else ir.Shape([1, *list(items.shape)[1:]])
    return found


def _completed(op: Any, loop: Loop, index: int, items: Any) -> Any:
    """The elements of a list that got `items`, one a step: those it had before or behind them, or zeros."""
    before = loop.arguments[index]
    if loop.maker(index).op == "TensorListPushBack":
        return items if before.items is None else op.Concat(before.items, items, axis=0)
    count = op.Shape(items, start=0, end=1)
    if before.items is not None:
        return op.Concat(items, op.Slice(before.items, count, ints(FAR), ints(0)), axis=0)
    if loop.runs(before.length):
        return items
    if items.shape is None or items.dtype == T.STRING:
        return NotImplemented
    missing, rest = (
        op.Max(op.Sub(int64_vector(op, before.length), count), ints(0)),
        [0] * (len(items.shape) - 1),
    )
    whole = op.Pad(items, op.Concat(ints(0, *rest), missing, ints(*rest), axis=0))
    whole.shape = ir.Shape([None, *list(items.shape)[1:]])
    return whole


LENGTHENS = frozenset(
    ["TensorListPopBack", "TensorListPushBack", "TensorListPushBackBatch", "TensorListResize"]
)


def _of_list(loop: Loop, items: Any) -> ir.Shape | None:
    """The dimensions of a list's elements stacked, at every step: as many as before, unless one is empty or
    the body changes that."""
    if items.shape is None or len(items.shape) == 0:
        return None
    changes = items.shape[0] == 0 or any(
        n.op in LENGTHENS or n.attr["resize_if_index_out_of_bounds"].b for n in loop.nodes.values()
    )
    return ir.Shape([None, *list(items.shape)[1:]]) if changes else items.shape


def _items(value: Any) -> Any:
    return value.items if isinstance(value, TensorList) else value


def _emit_loop(op: Any, graph: ir.Graph, going: Any, states: Sequence[Any]) -> list[Any]:
    bodies = [ir.AttrGraph("body", graph)]
    made = ir.Node("", "Loop", [None, going, *states], bodies, num_outputs=len(graph.outputs) - 1)
    for index, (output, inside) in enumerate(zip(made.outputs, list(graph.outputs)[1:], strict=True)):
        output.type = inside.type
        if index < len(states):
            output.shape = common_shape(inside.shape, graph.inputs[index + 2].shape)
        elif inside.shape is not None:
            output.shape = ir.Shape([None, *inside.shape])
    op.insert(made)
    return list(made.outputs)


def _invariant(node: Any, index: int, value: Any) -> ir.Shape | None:
    """The dimensions a carried value has at every step, as far as the While itself says."""
    declared = node.get("output_shapes") or []
    dims = declared[index] if index < len(declared) else None
    if dims is not None:
        return ir.Shape(list(dims))
    return ir.Shape([None] * len(value.shape)) if value.shape is not None else None
