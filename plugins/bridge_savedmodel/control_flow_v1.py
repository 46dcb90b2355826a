"""Control flow of version 1 as functions: loops (Enter, Merge, Switch, NextIteration, Exit) become While, and
conditionals (Switch, Merge) become If."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from bridge_savedmodel.definitions import message

MERGES, SWITCHES = ("Merge", "RefMerge"), ("Switch", "RefSwitch")
ENTERS, EXITS, NEXTS = (
    ("Enter", "RefEnter"),
    ("Exit", "RefExit"),
    ("NextIteration", "RefNextIteration"),
)

Nodes = dict[str, Any]
Condition = tuple[str, bool]


def functionalize(nodes: Nodes, roots: Iterable[str], functions: dict[str, Any]) -> Nodes:
    """The nodes a graph or function needs for `roots`, its loops and conditionals as functions added to
    `functions`.

    Nodes that do not have TensorFlow's form of a loop or conditional stay unchanged.
    """
    if not any(n.op in MERGES for n in nodes.values()):
        return nodes
    outputs = list(roots)
    without_loops = _functionalize_loops(_subgraph_of(nodes, outputs, ()), outputs, functions)
    return _subgraph_of(_functionalize_branches(without_loops, functions), outputs, ())


def _node_name(reference: str) -> str:
    return reference.lstrip("^").split(":")[0]


def _output_index(reference: str) -> int:
    index = reference.split(":")[-1]
    if reference.count(":") == 2:
        return 1 if ":output_true:" in reference else 0
    return int(index) if ":" in reference else 0


def _dependencies(node: Any) -> list[str]:
    """The inputs of a node; its control inputs where it has no data inputs."""
    data = [i for i in node.input if not i.startswith("^")]
    return data or list(node.input)


def _subgraph_of(nodes: Nodes, roots: Iterable[str], stops: Iterable[str]) -> Nodes:
    """The nodes that `roots` are computed from; the walk ends at `stops`, which are left out."""
    subgraph: Nodes = {}
    pending, closed = [_node_name(r) for r in roots], set(stops)
    while pending:
        name = pending.pop()
        if name in subgraph or name in closed or name not in nodes:
            continue
        subgraph[name] = nodes[name]
        pending.extend(_node_name(i) for i in _dependencies(nodes[name]))
    return subgraph


def outside_loops(nodes: Nodes) -> set[str]:
    """Names of nodes that are in no loop."""
    order = {
        n.name: [
            _node_name(i)
            for i in n.input
            if (m := nodes.get(_node_name(i))) is not None and m.op not in NEXTS
        ]
        for n in nodes.values()
    }
    depth: dict[str, int] = {}
    for name in TopologicalSorter(order).static_order():
        deepest = max((depth[i] - (nodes[i].op in EXITS) for i in order[name]), default=0)
        depth[name] = deepest + (nodes[name].op in ENTERS)
    return {name for name, d in depth.items() if d - (nodes[name].op in EXITS) <= 0}


class LoopVariable(NamedTuple):
    """Names of the nodes of one loop variable."""

    enter: str
    merge: str
    switch: str
    next_iteration: str


class _LoopNodes:
    """The nodes of one loop: its variables, the Enter nodes of its constants, and its LoopCond."""

    def __init__(self, nodes: Nodes, enters: list[Any]) -> None:
        names = {e.name for e in enters}
        switches = {_node_name(n.input[0]): n for n in nodes.values() if n.op in SWITCHES}
        self.variables: list[LoopVariable] = []
        self.constants = [e.name for e in enters if e.attr["is_constant"].b]
        self.test = ""
        for merge in nodes.values():
            sources = [_node_name(i) for i in merge.input]
            if merge.op not in MERGES or len(sources) != 2 or sources[0] not in names:
                continue
            switch = switches.get(merge.name)
            if nodes.get(sources[1]) is None or nodes[sources[1]].op not in NEXTS or switch is None:
                continue
            self.variables.append(LoopVariable(sources[0], merge.name, switch.name, sources[1]))
            self.test = _node_name(switch.input[1])


def _functionalize_loops(nodes: Nodes, roots: list[str], functions: dict[str, Any]) -> Nodes:
    """Replace the outermost loops by While nodes; inner loops are replaced in the bodies of these."""
    frames: dict[str, list[Any]] = {}
    for node in nodes.values():
        if node.op in ENTERS:
            frames.setdefault(node.attr["frame_name"].s.decode(), []).append(node)
    inside = {f: _nodes_in_loop(nodes, e) for f, e in frames.items()}
    result = dict(nodes)
    for frame, enters in frames.items():
        nested = any(e.name in names for e in enters for other, names in inside.items() if other != frame)
        loop = _LoopNodes(nodes, enters)
        if nested or not loop.variables or nodes[loop.test].op != "LoopCond":
            continue
        result |= _emit_while(nodes, frame, loop, functions)
    return _subgraph_of(result, roots, ())


def _nodes_in_loop(nodes: Nodes, enters: list[Any]) -> set[str]:
    """Nodes of a loop, those of inner loops included."""
    loop = _LoopNodes(nodes, enters)
    stops = {e.name for e in enters}
    return (
        set(_subgraph_of(nodes, [loop.test, *(v.next_iteration for v in loop.variables)], stops))
        if loop.variables
        else set()
    )


def _emit_while(nodes: Nodes, frame: str, loop: _LoopNodes, functions: dict[str, Any]) -> Nodes:
    """A While for one loop, and an Identity for each of its Exit nodes."""
    initial = [*(v.enter for v in loop.variables), *loop.constants]
    merged = [*(v.merge for v in loop.variables), *loop.constants]
    switched = [*(v.switch for v in loop.variables), *loop.constants]
    updated = [*(nodes[v.next_iteration].input[0] for v in loop.variables), *loop.constants]
    types = [nodes[s].attr["T"].type for s in initial]
    loop_node = _new_node("While", f"{frame}/raised", [nodes[s].input[0] for s in initial])
    loop_node.attr["T"].list.type.extend(types)
    test = [nodes[loop.test].input[0]]
    loop_node.attr["cond"].func.name = _add_function(nodes, f"{loop_node.name}/cond", merged, test, functions)
    loop_node.attr["body"].func.name = _add_function(
        nodes, f"{loop_node.name}/body", switched, updated, functions
    )
    result = {loop_node.name: loop_node}
    for index, variable in enumerate(loop.variables):
        for node in nodes.values():
            if node.op in EXITS and _node_name(node.input[0]) == variable.switch:
                result[node.name] = _new_node("Identity", node.name, [f"{loop_node.name}:{index}"])
    return result


def _new_node(op: str, name: str, inputs: Iterable[str]) -> Any:
    return message("NodeDef")(op=op, name=name, input=list(inputs))


def _add_function(
    nodes: Nodes, name: str, arguments: list[str], results: list[str], functions: dict[str, Any]
) -> str:
    """Add a function whose arguments bear the names of the nodes they replace; its name."""
    name = next(
        n for n in itertools.chain([name], (f"{name}_{i}" for i in itertools.count())) if n not in functions
    )
    function = functions[name] = message("FunctionDef")()
    function.signature.name = name
    for argument in arguments:
        function.signature.input_arg.add(name=argument)
    for index, result in enumerate(results):
        function.signature.output_arg.add(name=f"r{index}")
        function.ret[f"r{index}"] = result
    body = functionalize(_subgraph_of(nodes, results, arguments), results, functions)
    function.node_def.extend(body.values())
    return name


class _Branches:
    """Conditions under which each node of a graph without loops is computed, and the condition each Merge
    selects by."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.of: dict[str, frozenset[Condition]] = {}
        self.merges: dict[str, tuple[str, int]] = {}
        order = TopologicalSorter({n.name: {_node_name(i) for i in _dependencies(n)} for n in nodes.values()})
        for name in order.static_order():
            if name in nodes:
                self.of[name] = self._conditions(nodes[name])

    def key(self, reference: str) -> str:
        """The tensor that a condition comes from, through Identity nodes."""
        name = _node_name(reference)
        while name in self.nodes and self.nodes[name].op == "Identity":
            reference = self.nodes[name].input[0]
            name = _node_name(reference)
        return f"{name}:{_output_index(reference)}"

    def under(self, reference: str) -> frozenset[Condition]:
        """The conditions of one output."""
        node = self.nodes.get(_node_name(reference))
        if node is None:
            return frozenset()
        conditions = self.of[node.name]
        if node.op not in SWITCHES or reference.startswith("^"):
            return conditions
        return conditions | {(self.key(node.input[1]), _output_index(reference) == 1)}

    def _conditions(self, node: Any) -> frozenset[Condition]:
        """The union of the conditions of all inputs; a Merge removes the condition it selects by."""
        conditions = [self.under(i) for i in _dependencies(node)]
        if node.op in MERGES and len(conditions) == 2:
            opposite = [(key, side) for key, side in conditions[0] if (key, not side) in conditions[1]]
            if len(opposite) == 1:
                key, side = opposite[0]
                self.merges[node.name] = key, 0 if side else 1
                return (conditions[0] | conditions[1]) - {(key, True), (key, False)}
        return frozenset().union(*conditions)

    def outermost(self) -> Iterator[str]:
        """Merges that are in no branch of another Merge."""
        for name, (key, _) in self.merges.items():
            if not any(k == key or k in {self.merges[m][0] for m in self.merges} for k, _ in self.of[name]):
                yield name


def _functionalize_branches(nodes: Nodes, functions: dict[str, Any]) -> Nodes:
    """Replace Merge nodes by If nodes; those of one condition share an If unless one depends on another."""
    try:
        branches = _Branches(nodes)
    except CycleError:
        return nodes
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in branches.outermost():
        groups.setdefault((branches.merges[name][0], *_predicates(branches, name)), []).append(name)
    result = dict(nodes)
    for merges in groups.values():
        dependent = any(set(_subgraph_of(nodes, list(nodes[m].input), ())) & set(merges) for m in merges)
        for group in [[m] for m in merges] if dependent else [merges]:
            result |= _emit_if(branches, group, functions)
    return result


def _switches(branches: _Branches, merge: str) -> list[Any]:
    """The Switch nodes through which values enter the branches of a Merge."""
    key = branches.merges[merge][0]
    candidates = {
        n.name for n in branches.nodes.values() if n.op in SWITCHES and branches.key(n.input[1]) == key
    }
    inner = _subgraph_of(branches.nodes, branches.nodes[merge].input, candidates)
    read = {_node_name(i) for n in [branches.nodes[merge], *inner.values()] for i in _dependencies(n)}
    return [branches.nodes[n] for n in sorted(candidates & read)]


def _predicates(branches: _Branches, merge: str) -> list[str]:
    return sorted({_node_name(s.input[1]) for s in _switches(branches, merge) if s.input[0] != s.input[1]})


def _emit_if(branches: _Branches, merges: list[str], functions: dict[str, Any]) -> Nodes:
    """An If for the Merge nodes of one condition; values from outside the branches are its arguments."""
    nodes, key = branches.nodes, branches.merges[merges[0]][0]
    switches = {s.name: s for m in merges for s in _switches(branches, m)}
    outside = _outside(branches, merges, key, set(switches))
    predicate = key if not switches else next(iter(switches.values())).input[1]
    inputs = [*(s.input[0] for s in switches.values()), *outside]
    if_node = _new_node("If", f"{merges[0]}/raised", [predicate, *inputs])
    if_node.attr["Tout"].list.type.extend(nodes[m].attr["T"].type for m in merges)
    for attribute, side in (("then_branch", True), ("else_branch", False)):
        results = []
        for merge in merges:
            true = branches.merges[merge][1]
            results.append(nodes[merge].input[true if side else 1 - true])
        arguments = [*switches, *outside]
        name = f"{if_node.name}/{attribute}"
        if_node.attr[attribute].func.name = _add_function(nodes, name, arguments, results, functions)
    result = {if_node.name: if_node}
    for index, merge in enumerate(merges):
        result[merge] = _new_node("Identity", merge, [f"{if_node.name}:{index}"])
    return result


def _outside(branches: _Branches, merges: list[str], key: str, switches: set[str]) -> list[str]:
    """Single-output nodes, no constants, that the branches read although their condition does not guard
    them."""
    nodes = branches.nodes
    unguarded = {
        n.name
        for n in nodes.values()
        if n.op != "Const" and not any(k == key for k, _ in branches.of[n.name])
    }
    inner = _subgraph_of(nodes, [i for m in merges for i in nodes[m].input], switches)
    read = {i for n in [*inner.values(), *(nodes[m] for m in merges)] for i in _dependencies(n)}
    unguarded -= {_node_name(i) for i in read if _output_index(i)}
    inside = _subgraph_of(nodes, [i for m in merges for i in nodes[m].input], switches | unguarded)
    edges = {_node_name(i) for n in [*inside.values(), *(nodes[m] for m in merges)] for i in _dependencies(n)}
    return sorted(n for n in edges - switches if n in unguarded or n not in nodes)
