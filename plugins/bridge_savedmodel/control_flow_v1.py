"""Control flow of version 1 as functions: loops of Enter, Merge, Switch, NextIteration and Exit as While, and
what Switch and Merge choose as If."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

MERGES, SWITCHES = ("Merge", "RefMerge"), ("Switch", "RefSwitch")
ENTERS, EXITS, NEXTS = (
    ("Enter", "RefEnter"),
    ("Exit", "RefExit"),
    ("NextIteration", "RefNextIteration"),
)

Nodes = dict[str, Any]
Condition = tuple[str, bool]


def functionalize(nodes: Nodes, roots: Iterable[str], functions: dict[str, Any]) -> Nodes:
    """The nodes a graph or function needs for `roots`, its loops and branches as functions added to
    `functions`.

    What has not the form TensorFlow gives loops and branches stays as it is.
    """
    if not any(n.op in MERGES for n in nodes.values()):
        return nodes
    wanted = list(roots)
    found = _functionalize_loops(_subgraph_of(nodes, wanted, ()), wanted, functions)
    return _subgraph_of(_functionalize_branches(found, functions), wanted, ())


def _node_name(reference: str) -> str:
    return reference.lstrip("^").split(":")[0]


def _output_index(reference: str) -> int:
    place = reference.split(":")[-1]
    if reference.count(":") == 2:
        return 1 if ":output_true:" in reference else 0
    return int(place) if ":" in reference else 0


def _dependencies(node: Any) -> list[str]:
    """What a node waits for: its inputs, and, where it has none, what it is ordered after."""
    data = [i for i in node.input if not i.startswith("^")]
    return data or list(node.input)


def _subgraph_of(nodes: Nodes, roots: Iterable[str], stops: Iterable[str]) -> Nodes:
    """The nodes `roots` are computed from, those before `stops` left out."""
    found: Nodes = {}
    pending, closed = [_node_name(r) for r in roots], set(stops)
    while pending:
        name = pending.pop()
        if name in found or name in closed or name not in nodes:
            continue
        found[name] = nodes[name]
        pending.extend(_node_name(i) for i in _dependencies(nodes[name]))
    return found


def outside_loops(nodes: Nodes) -> set[str]:
    """Nodes that are computed once."""
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


class _LoopNodes:
    """One loop: its variables as the names of their Enter, Merge, Switch and NextIteration; what it only
    reads."""

    def __init__(self, nodes: Nodes, enters: list[Any]) -> None:
        names = {e.name for e in enters}
        switches = {_node_name(n.input[0]): n for n in nodes.values() if n.op in SWITCHES}
        self.variables: list[tuple[str, str, str, str]] = []
        self.constants = [e.name for e in enters if e.attr["is_constant"].b]
        self.test = ""
        for merge in nodes.values():
            ends = [_node_name(i) for i in merge.input]
            if merge.op not in MERGES or len(ends) != 2 or ends[0] not in names:
                continue
            switch = switches.get(merge.name)
            if nodes.get(ends[1]) is None or nodes[ends[1]].op not in NEXTS or switch is None:
                continue
            self.variables.append((ends[0], merge.name, switch.name, ends[1]))
            self.test = _node_name(switch.input[1])


def _functionalize_loops(nodes: Nodes, roots: list[str], functions: dict[str, Any]) -> Nodes:
    """Loops that are inside no other: the body of each is raised on its own."""
    frames: dict[str, list[Any]] = {}
    for node in nodes.values():
        if node.op in ENTERS:
            frames.setdefault(node.attr["frame_name"].s.decode(), []).append(node)
    inside = {f: _nodes_in_loop(nodes, e) for f, e in frames.items()}
    made = dict(nodes)
    for frame, enters in frames.items():
        nested = any(e.name in names for e in enters for other, names in inside.items() if other != frame)
        loop = _LoopNodes(nodes, enters)
        if nested or not loop.variables or nodes[loop.test].op != "LoopCond":
            continue
        made |= _emit_while(nodes, frame, loop, functions)
    return _subgraph_of(made, roots, ())


def _nodes_in_loop(nodes: Nodes, enters: list[Any]) -> set[str]:
    """What a loop computes, loops inside it included."""
    loop = _LoopNodes(nodes, enters)
    stops = {e.name for e in enters}
    return (
        set(_subgraph_of(nodes, [loop.test, *(v[3] for v in loop.variables)], stops))
        if loop.variables
        else set()
    )


def _emit_while(nodes: Nodes, frame: str, loop: _LoopNodes, functions: dict[str, Any]) -> Nodes:
    starts = [*(v[0] for v in loop.variables), *loop.constants]
    before = [*(v[1] for v in loop.variables), *loop.constants]
    inner = [*(v[2] for v in loop.variables), *loop.constants]
    after = [*(nodes[v[3]].input[0] for v in loop.variables), *loop.constants]
    types = [nodes[s].attr["T"].type for s in starts]
    whole = _node("While", f"{frame}/raised", [nodes[s].input[0] for s in starts])
    whole.attr["T"].list.type.extend(types)
    test = [nodes[loop.test].input[0]]
    whole.attr["cond"].func.name = _function(nodes, f"{whole.name}/cond", before, test, functions)
    whole.attr["body"].func.name = _function(nodes, f"{whole.name}/body", inner, after, functions)
    made = {whole.name: whole}
    for index, (*_, switch, _) in enumerate(loop.variables):
        for node in nodes.values():
            if node.op in EXITS and _node_name(node.input[0]) == switch:
                made[node.name] = _node("Identity", node.name, [f"{whole.name}:{index}"])
    return made


def _node(op: str, name: str, inputs: Iterable[str]) -> Any:
    from tensorflow.core.framework import node_def_pb2

    return node_def_pb2.NodeDef(op=op, name=name, input=list(inputs))


def _function(
    nodes: Nodes, name: str, arguments: list[str], results: list[str], functions: dict[str, Any]
) -> str:
    """A function whose arguments bear the names of the nodes they stand for."""
    from tensorflow.core.framework import function_pb2

    name = next(
        n for n in itertools.chain([name], (f"{name}_{i}" for i in itertools.count())) if n not in functions
    )
    made = functions[name] = function_pb2.FunctionDef()
    made.signature.name = name
    for argument in arguments:
        made.signature.input_arg.add(name=argument)
    for index, result in enumerate(results):
        made.signature.output_arg.add(name=f"r{index}")
        made.ret[f"r{index}"] = result
    own = functionalize(_subgraph_of(nodes, results, arguments), results, functions)
    made.node_def.extend(own.values())
    return name


class _Branches:
    """Under which conditions each node of a graph without loops is computed, and what each Merge chooses
    by."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.of: dict[str, frozenset[Condition]] = {}
        self.merges: dict[str, tuple[str, int]] = {}
        order = TopologicalSorter({n.name: {_node_name(i) for i in _dependencies(n)} for n in nodes.values()})
        for name in order.static_order():
            if name in nodes:
                self.of[name] = self._conditions(nodes[name])

    def key(self, reference: str) -> str:
        """Where a condition comes from, identities aside."""
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
        own = self.of[node.name]
        if node.op not in SWITCHES or reference.startswith("^"):
            return own
        return own | {(self.key(node.input[1]), _output_index(reference) == 1)}

    def _conditions(self, node: Any) -> frozenset[Condition]:
        each = [self.under(i) for i in _dependencies(node)]
        if node.op in MERGES and len(each) == 2:
            chosen = [(key, side) for key, side in each[0] if (key, not side) in each[1]]
            if len(chosen) == 1:
                key, side = chosen[0]
                self.merges[node.name] = key, 0 if side else 1
                return (each[0] | each[1]) - {(key, True), (key, False)}
        return frozenset().union(*each)

    def outermost(self) -> Iterator[str]:
        """Merges that are inside no branch of another."""
        for name, (key, _) in self.merges.items():
            if not any(k == key or k in {self.merges[m][0] for m in self.merges} for k, _ in self.of[name]):
                yield name


def _functionalize_branches(nodes: Nodes, functions: dict[str, Any]) -> Nodes:
    try:
        branches = _Branches(nodes)
    except CycleError:
        return nodes
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in branches.outermost():
        groups.setdefault((branches.merges[name][0], *_predicates(branches, name)), []).append(name)
    made = dict(nodes)
    for merges in groups.values():
        apart = any(set(_subgraph_of(nodes, list(nodes[m].input), ())) & set(merges) for m in merges)
        for together in [[m] for m in merges] if apart else [merges]:
            made |= _emit_if(branches, together, functions)
    return made


def _switches(branches: _Branches, merge: str) -> list[Any]:
    """The Switch nodes that bring values into the branches of a Merge."""
    key = branches.merges[merge][0]
    chosen = {n.name for n in branches.nodes.values() if n.op in SWITCHES and branches.key(n.input[1]) == key}
    inner = _subgraph_of(branches.nodes, branches.nodes[merge].input, chosen)
    read = {_node_name(i) for n in [branches.nodes[merge], *inner.values()] for i in _dependencies(n)}
    return [branches.nodes[n] for n in sorted(chosen & read)]


def _predicates(branches: _Branches, merge: str) -> list[str]:
    return sorted({_node_name(s.input[1]) for s in _switches(branches, merge) if s.input[0] != s.input[1]})


def _emit_if(branches: _Branches, merges: list[str], functions: dict[str, Any]) -> Nodes:
    """An If for what is chosen by one condition: values from outside the branches are its arguments."""
    nodes, key = branches.nodes, branches.merges[merges[0]][0]
    switches = {s.name: s for m in merges for s in _switches(branches, m)}
    outside = _outside(branches, merges, key, set(switches))
    predicate = key if not switches else next(iter(switches.values())).input[1]
    given = [*(s.input[0] for s in switches.values()), *outside]
    whole = _node("If", f"{merges[0]}/raised", [predicate, *given])
    whole.attr["Tout"].list.type.extend(nodes[m].attr["T"].type for m in merges)
    for attribute, side in (("then_branch", True), ("else_branch", False)):
        results = []
        for merge in merges:
            true = branches.merges[merge][1]
            results.append(nodes[merge].input[true if side else 1 - true])
        arguments = [*switches, *outside]
        name = f"{whole.name}/{attribute}"
        whole.attr[attribute].func.name = _function(nodes, name, arguments, results, functions)
    made = {whole.name: whole}
    for index, merge in enumerate(merges):
        made[merge] = _node("Identity", merge, [f"{whole.name}:{index}"])
    return made


def _outside(branches: _Branches, merges: list[str], key: str, switches: set[str]) -> list[str]:
    """Single values the branches read though no condition of theirs guards them, and that are no
    constants."""
    nodes = branches.nodes
    free = {
        n.name
        for n in nodes.values()
        if n.op != "Const" and not any(k == key for k, _ in branches.of[n.name])
    }
    inner = _subgraph_of(nodes, [i for m in merges for i in nodes[m].input], switches)
    read = {i for n in [*inner.values(), *(nodes[m] for m in merges)] for i in _dependencies(n)}
    free -= {_node_name(i) for i in read if _output_index(i)}
    reached = _subgraph_of(nodes, [i for m in merges for i in nodes[m].input], switches | free)
    edges = {
        _node_name(i) for n in [*reached.values(), *(nodes[m] for m in merges)] for i in _dependencies(n)
    }
    return sorted(n for n in edges - switches if n in free or n not in nodes)
