"""Graphs of values, nodes and blocks, with the words of torch's own for what a reader asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bridge_torchscript.script.types import Type

EFFECTS = frozenset(
    [
        *(f"prim::{n}" for n in ("SetAttr", "RaiseException", "Print", "CallMethod", "CallFunction")),
        *(f"aten::{n}" for n in ("warn", "manual_seed", "Delete", "_set_item")),
    ]
)
KINDS = {bool: "i", int: "i", float: "f", str: "s"}


class Value:
    """Result of a node, or input of a block."""

    __slots__ = ("_node", "_type", "name")

    def __init__(self, node: Node, kind: Type, name: str = "") -> None:
        self._node, self._type, self.name = node, kind, name

    def node(self) -> Node:
        return self._node

    def type(self) -> Type:
        return self._type

    def debugName(self) -> str:
        return self.name

    def toIValue(self) -> Any:
        return self._node.attributes.get("value")


class Node:
    """Operation. `text` is its schema's, `where` what a source range says."""

    __slots__ = ("_blocks", "_inputs", "_kind", "_outputs", "attributes", "text", "where", "writes")

    def __init__(
        self,
        kind: str,
        inputs: Sequence[Value] = (),
        results: Sequence[Type] = (),
        text: str = "(no schema)",
        writes: bool = False,
        where: str = "",
        **attributes: Any,
    ) -> None:
        self._kind, self._inputs, self.text = kind, list(inputs), text
        self._outputs = [Value(self, t) for t in results]
        self._blocks: list[Block] = []
        self.writes, self.where, self.attributes = writes, where, attributes

    def kind(self) -> str:
        return self._kind

    def inputs(self) -> list[Value]:
        return self._inputs

    def inputsAt(self, index: int) -> Value:
        return self._inputs[index]

    def outputs(self) -> list[Value]:
        return self._outputs

    def output(self) -> Value:
        return self._outputs[0]

    def blocks(self) -> list[Block]:
        return self._blocks

    def schema(self) -> str:
        return self.text

    def sourceRange(self) -> str:
        return self.where

    def hasAttribute(self, name: str) -> bool:
        return name in self.attributes

    def kindOf(self, name: str) -> str:
        value = self.attributes[name]
        return KINDS.get(type(value), "t" if hasattr(value, "array") else "ival")

    def _get(self, name: str) -> Any:
        return self.attributes[name]

    s = i = f = t = tys = _get

    def has_effects(self) -> bool:
        """True if leaving it out would be noticed even if nothing reads its results."""
        inner = (node for block in self._blocks for node in block.nodes())
        return self._kind in EFFECTS or self.writes or any(n.has_effects() for n in inner)


class Block:
    """Nodes in order, with inputs and outputs."""

    def __init__(self) -> None:
        self.parameters = Node("prim::Param")
        self._nodes: list[Node] = []
        self._outputs: list[Value] = []

    def nodes(self) -> list[Node]:
        return self._nodes

    def inputs(self) -> list[Value]:
        return self.parameters.outputs()

    def outputs(self) -> list[Value]:
        return self._outputs

    def add_input(self, kind: Type, name: str = "") -> Value:
        value = Value(self.parameters, kind, name)
        self.parameters.outputs().append(value)
        return value

    def append(self, node: Node) -> Node:
        self._nodes.append(node)
        return node


def every_node(block: Block) -> Iterator[Node]:
    """Nodes of a block and of the blocks inside it, in order."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from every_node(inner)


def pool_constants(block: Block) -> None:
    """Constants at the start of a graph, each number and text once, as torch has them."""
    pooled: dict[tuple[str, str], Node] = {}
    instead: dict[Value, Value] = {}
    constants = [node for node in every_node(block) if node.kind() == "prim::Constant"]
    for node in constants:
        value = node.output().toIValue()
        same = isinstance(value, (bool, int, float, str, type(None)))
        first = pooled.setdefault((str(node.output().type()), repr(value) if same else f"{id(node)}"), node)
        instead[node.output()] = first.output()
    _replace(block, instead)
    block.nodes()[:0] = pooled.values()


def _replace(block: Block, instead: dict[Value, Value]) -> None:
    """Drop the nodes of constants, and read others instead."""
    block.nodes()[:] = [n for n in block.nodes() if n.kind() != "prim::Constant"]
    for node in block.nodes():
        node.inputs()[:] = [instead.get(v, v) for v in node.inputs()]
        for inner in node.blocks():
            _replace(inner, instead)
    block.outputs()[:] = [instead.get(v, v) for v in block.outputs()]


def remove_unused(block: Block) -> None:
    """Leave out what nothing reads: nodes, results of conditions, and what loops carry."""
    while _sweep(block, set()):
        pass


def _sweep(block: Block, used: set[Value]) -> bool:
    """Go through a block from its end; `used` are the values read after it. True if anything was left out."""
    changed = False
    kept = []
    used.update(block.outputs())
    for node in reversed(block.nodes()):
        flags = [v in used for v in node.outputs()]
        if not any(flags) and not node.has_effects():
            changed = True
            continue
        kept.append(node)
        if node.kind() == "prim::If":
            changed |= _keep_results(node, flags, 0)
        elif node.kind() == "prim::Loop":
            body = node.blocks()[0]
            carried = zip(body.inputs()[1:], body.outputs()[1:], strict=True)
            inside = [_is_read(body, value, own) for value, own in carried]
            changed |= _keep_results(node, [a or b for a, b in zip(flags, inside, strict=True)], 1)
        for inner in node.blocks():
            changed |= _sweep(inner, used)
        used.update(node.inputs())
    block.nodes()[:] = kept[::-1]
    return changed


def _is_read(block: Block, value: Value, own: Value) -> bool:
    """True if a value is read in a body, but for handing it on as itself."""
    if any(v is value and v is not own for v in block.outputs()):
        return True
    return any(value in n.inputs() for n in every_node(block)) or any(
        value in inner.outputs() for n in every_node(block) for inner in n.blocks()
    )


def _keep_results(node: Node, flags: list[bool], first: int) -> bool:
    """Keep the flagged results of a condition (`first` 0) or loop (1), and what belongs to them."""
    if all(flags):
        return False
    reorder(node, [i for i, flag in enumerate(flags) if flag], first)
    return True


def reorder(node: Node, order: list[int], first: int) -> None:
    """Results of a condition or loop, and what belongs to them, in a new order."""
    lists = [(node.outputs(), 0), *((b.outputs(), first) for b in node.blocks())]
    if first:
        lists += [(node.inputs(), 2), (node.blocks()[0].inputs(), 1)]
    for values, start in lists:
        values[start:] = [values[start + i] for i in order]


def order_results(block: Block) -> None:
    """Results of conditions and loops in the order in which they are first read, as torch orders them."""
    first: dict[Value, int] = {}
    _number_uses(block, first, 0)
    for node in every_node(block):
        if node.kind() in ("prim::If", "prim::Loop"):
            never = len(first) + 1 << 40
            places = [first.get(v, never + i) for i, v in enumerate(node.outputs())]
            reorder(
                node, sorted(range(len(places)), key=places.__getitem__), int(node.kind() == "prim::Loop")
            )


def _number_uses(block: Block, first: dict[Value, int], count: int) -> int:
    for node in block.nodes():
        for value in node.inputs():
            count += 1
            first.setdefault(value, count)
        for inner in node.blocks():
            count = _number_uses(inner, first, count)
    for value in block.outputs():
        count += 1
        first.setdefault(value, count)
    return count
