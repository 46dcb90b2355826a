"""Calls, branches and loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge_savedmodel.import_ops.common import T, ints, need, ops, scalar
from bridge_savedmodel.import_ops.lists import blank_known, filled
from bridge_savedmodel.import_ops.values import TensorList

WRITES = frozenset(
    [
        *(f"Assign{k}VariableOp" for k in ("", "Add", "Sub")),
        *(
            f"ResourceScatter{k}"
            for k in ("Update", "Add", "Sub", "Mul", "Div", "Min", "Max", "NdUpdate", "NdAdd")
        ),
        *(
            f"ResourceApply{k}"
            for k in ("GradientDescent", "Momentum", "KerasMomentum", "Adam", "Adagrad", "RMSProp")
        ),
        "LookupTableInsertV2",
        "LookupTableRemoveV2",
    ]
)


@ops.op("PartitionedCall", "StatefulPartitionedCall")
def call(op, node, *arguments):
    return node.call(op, node.get("f"), arguments)


@ops.op("NoOp", "Assert", "Print", "PrintV2", "ScalarSummary", "HistogramSummary")
def nothing(op, node, *inputs):
    return []


@ops.op("ReadVariableOp")
def read_variable(op, node, variable):
    return variable.read()


@ops.op("VariableShape")
def variable_shape(op, node, variable):
    return op.const(np.array(variable.read().shape, np.int32))


@ops.op("DisableCopyOnRead", "VarIsInitializedOp", "IsVariableInitialized")
def initialized(op, node, variable):
    return op.const(np.array(True))


RAISED = need("the form TensorFlow gives loops and branches of version 1", lambda n: False)


@ops.op("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", needs=(RAISED,))
@ops.op("RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration", needs=(RAISED,))
def not_raised(op, node, *inputs):
    """What bridge_savedmodel.functional left as it was."""
    return NotImplemented


def _subgraph(name: str) -> tuple[ir.Graph, hub.Builder]:
    graph = ir.Graph(
        [], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    return graph, hub.Builder(graph)


def _close(graph: ir.Graph, op: hub.Builder, values: Sequence[ir.Value]) -> None:
    """Results of a subgraph, each of which it must make itself, once."""
    for value in values:
        own = value.producer() in op.nodes and value not in graph.outputs
        graph.outputs.append(value if own else op.Identity(value))


def _condition(op: Any, value: Any) -> Any:
    """What TensorFlow takes for true: a bool, a number other than zero."""
    value = scalar(op, value) if hub.rank_of(value) != 0 else value
    return value if value.dtype == T.BOOL else op.Cast(value, to=int(T.BOOL))


@ops.op("If", "StatelessIf")
def if_(op, node, condition, *arguments):
    known = const(condition)
    names = node.get("then_branch"), node.get("else_branch")
    if known is not None:
        return node.call(op, names[0] if known.any() else names[1], arguments)
    return _branch(op, node, _condition(op, condition), names, arguments)


def _branch(op: Any, node: Any, condition: Any, names: Sequence[str], arguments: Sequence[Any]) -> Any:
    graphs = []
    for name in names:
        graph, inner = _subgraph(name)
        results = node.call(inner, name, arguments)
        if any(not isinstance(v, ir.Value) for v in results):
            return NotImplemented
        _close(graph, inner, results)
        graphs.append(graph)
    return _emit_if(op, condition, graphs)


def _emit_if(op: Any, condition: Any, graphs: list[ir.Graph]) -> list[Any]:
    attributes = [ir.AttrGraph(n, g) for n, g in zip(("then_branch", "else_branch"), graphs, strict=True)]
    made = ir.Node("", "If", [condition], attributes, num_outputs=len(graphs[0].outputs))
    for output, one, other in zip(made.outputs, *(g.outputs for g in graphs), strict=True):
        output.type = one.type or other.type
        output.shape = _common(one.shape, other.shape)
    op.insert(made)
    return list(made.outputs)


def _common(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return ir.Shape([a if isinstance(a, int) and a == b else None for a, b in zip(one, other, strict=True)])


@ops.op("Case", "StatelessCase")
def case(op, node, index, *arguments):
    """One of several functions; the last for an index out of range."""
    attribute = node.proto.attr["branches"].list.func
    names = [f.name for f in attribute]
    known = const(index)
    if known is not None:
        place = int(known.reshape(()))
        return node.call(op, names[place if 0 <= place < len(names) else -1], arguments)
    return _choose(op, node, scalar(op, index), names, 0, arguments)


def _choose(op: Any, node: Any, index: Any, names: list[str], place: int, arguments: Sequence[Any]) -> Any:
    if place == len(names) - 1:
        return node.call(op, names[place], arguments)
    graphs = []
    for taken in (True, False):
        graph, inner = _subgraph(f"{names[place]}_{taken}")
        results = (
            node.call(inner, names[place], arguments)
            if taken
            else _choose(inner, node, index, names, place + 1, arguments)
        )
        if any(not isinstance(v, ir.Value) for v in results):
            return NotImplemented
        _close(graph, inner, results)
        graphs.append(graph)
    return _emit_if(op, op.Equal(index, op.const(np.array(place, index.dtype.numpy()))), graphs)


SETTERS = {"TensorListSetItem": (0, 1, 2), "TensorArrayWriteV3": (3, 1, 2)}


class Loop:
    """A While being read: which of its variables change, and which are lists filled step by step."""

    def __init__(self, node: Any, arguments: Sequence[Any]) -> None:
        self.node, self.arguments = node, list(arguments)
        self.body = node.function(node.get("body"))
        self.nodes = {n.name: n for n in self.body.node_def}
        self.names = [a.name for a in self.body.signature.input_arg]
        self.results = [self.body.ret[o.name] for o in self.body.signature.output_arg]
        self.unchanged = {i for i, r in enumerate(self.results) if self._through(r) == self.names[i]}

    def _through(self, reference: str) -> str:
        """The argument or node a result comes from, identities aside."""
        name = reference.split(":")[0]
        while name in self.nodes and self.nodes[name].op == "Identity":
            name = self.nodes[name].input[0].split(":")[0]
        return name

    def counts(self, reference: str) -> bool:
        """Whether a value of the body is the number of the step: a variable that starts at 0 and grows by 1."""
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
        return self._number(name) == 1

    def _number(self, name: str) -> Any:
        """A scalar constant of the body."""
        from bridge_savedmodel.tensorflow import tensorflow

        made = self.nodes.get(name)
        if made is None or made.op != "Const":
            return None
        array = tensorflow().make_ndarray(made.attr["value"].tensor)
        return array.item() if array.size == 1 else None

    def only(self, index: int) -> bool:
        """Whether a list holds one element, set anew at every step."""
        count = self.arguments[index].length
        made = self.nodes.get(self._through(self.results[index]))
        known = None if count is None else const(count)
        if known is None or int(known.reshape(())) != 1 or made is None or made.op not in SETTERS:
            return False
        name = self._through(made.input[SETTERS[made.op][1]])
        if name in self.names:
            place = self.names.index(name)
            start = const(self.arguments[place]) if place in self.unchanged else None
            return start is not None and not start.any()
        return self._number(name) == 0

    def state(self, index: int) -> int | None:
        """Of a list of one element: the variable whose new value that element is at every step, and which starts as zeros,
        like the list."""
        if not self.only(index):
            return None
        made = self.nodes[self._through(self.results[index])]
        name = self._through(made.input[SETTERS[made.op][2]])
        same = [i for i, r in enumerate(self.results) if self._through(r) == name and i not in self.unchanged]
        return next((i for i in same if _zeros(self.arguments[i])), None)

    def element(self, index: int) -> str | None:
        """Of a list that gets one element a step, at the place of the step or always at the first: the element; None for
        any other."""
        made = self.nodes.get(self._through(self.results[index]))
        if made is None:
            return None
        if made.op == "TensorListPushBack":
            return made.input[1] if self._through(made.input[0]) == self.names[index] else None
        if made.op not in SETTERS:
            return None
        tensors, place, item = (made.input[i] for i in SETTERS[made.op])
        own = self._through(tensors) == self.names[index]
        return item if own and (self.only(index) or self.counts(place)) else None


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
    return all(
        loop.element(i) is not None or blank_known(v)
        for i, v in enumerate(node.inputs)
        if isinstance(v, TensorList) and i not in loop.unchanged
    )


LISTS = need("lists that get one element a step, in order, or whose elements have a known shape", _lists_fit)
TENSORS = need(
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
    kept = [i for i, v in enumerate(arguments) if isinstance(v, TensorList) and i not in loop.unchanged]
    alike = {i: loop.state(i) for i in kept if loop.state(i) is not None}
    lists = [i for i in kept if loop.element(i) is not None and i not in alike]
    arguments = [
        filled(op, v) if i in kept and i not in (*lists, *alike) else v for i, v in enumerate(arguments)
    ]
    carried = [i for i in range(len(arguments)) if not ({i} & {*loop.unchanged, *lists, *alike})]
    going = _condition(op, node.call(op, node.get("cond"), arguments)[0])
    graph, inner = _subgraph(node.get("body"))
    kinds = [("step", T.INT64, ir.Shape([])), ("going", T.BOOL, ir.Shape([]))]
    inputs = [ir.Value(name=hub.fresh_name(graph, n), type=ir.TensorType(d), shape=s) for n, d, s in kinds]
    state: list[Any] = list(arguments)
    for i in carried:
        value = _items(arguments[i])
        shape = _of_list(loop, value) if i in kept else _invariant(node, i, value)
        inputs.append(ir.Value(name=hub.fresh_name(graph, "carried"), type=value.type, shape=shape))
        state[i] = TensorList(inputs[-1], None, value.dtype) if i in kept else inputs[-1]
    graph.inputs.extend(inputs)
    from bridge_savedmodel.importer import Frame

    frame = Frame(node.frame.run, loop.nodes, dict(zip(loop.names, state, strict=True)), node.frame.depth + 1)
    wanted = [*(loop.results[i] for i in carried), *(loop.element(i) for i in lists)]
    found = [_items(v) for v in frame.evaluate(inner, wanted)]
    if any(not isinstance(v, ir.Value) for v in found):
        return NotImplemented
    after = list(state)
    for i, value in zip(carried, found, strict=False):
        after[i] = TensorList(value, None, value.dtype) if i in kept else value
    more = _condition(inner, node.call(inner, node.get("cond"), after)[0])
    _close(graph, inner, [more, *found])
    results = _emit_loop(op, graph, going, arguments, carried, lists)
    for i, j in alike.items():
        results[i] = TensorList(op.Unsqueeze(results[j], ints(0)), None, results[j].dtype)
    for i in set(kept) - {*lists, *alike}:
        results[i] = TensorList(results[i], None, results[i].dtype)
    for i in lists:
        if loop.only(i) and loop.nodes[loop._through(loop.results[i])].op in SETTERS:
            items = results[i].items
            last = op.Slice(items, ints(-1), ints(2**31 - 1), ints(0))
            results[i] = TensorList(last, None, items.dtype)
    return results


LENGTHENS = frozenset(
    ["TensorListPopBack", "TensorListPushBack", "TensorListPushBackBatch", "TensorListResize"]
)


def _of_list(loop: Loop, items: Any) -> ir.Shape | None:
    """The dimensions of a list's elements stacked, at every step: as many as before, unless one is empty or the body changes that."""
    if items.shape is None or len(items.shape) == 0:
        return None
    changes = items.shape[0] == 0 or any(
        n.op in LENGTHENS or n.attr["resize_if_index_out_of_bounds"].b for n in loop.nodes.values()
    )
    return ir.Shape([None, *list(items.shape)[1:]]) if changes else items.shape


def _items(value: Any) -> Any:
    return value.items if isinstance(value, TensorList) else value


def _emit_loop(
    op: Any, graph: ir.Graph, going: Any, arguments: Any, carried: list[int], lists: list[int]
) -> list[Any]:
    states = [_items(arguments[i]) for i in carried]
    made = ir.Node(
        "", "Loop", [None, going, *states], [ir.AttrGraph("body", graph)], num_outputs=len(graph.outputs) - 1
    )
    for index, (output, inside) in enumerate(zip(made.outputs, list(graph.outputs)[1:], strict=True)):
        output.type = inside.type
        if index < len(carried):
            output.shape = _common(inside.shape, graph.inputs[index + 2].shape)
        elif inside.shape is not None:
            output.shape = ir.Shape([None, *inside.shape])
    op.insert(made)
    results: list[Any] = list(arguments)
    for i, value in zip([*carried, *lists], made.outputs, strict=True):
        results[i] = value if i in carried else TensorList(value, None, value.dtype)
    return results


def _invariant(node: Any, index: int, value: Any) -> ir.Shape | None:
    """The dimensions a carried value has at every step, as far as the While itself says."""
    declared = node.get("output_shapes") or []
    dims = declared[index] if index < len(declared) else None
    if dims is not None:
        return ir.Shape(list(dims))
    return ir.Shape([None] * len(value.shape)) if value.shape is not None else None
