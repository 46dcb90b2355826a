"""Objects whose class says how they are made of a stored state: `__setstate__`, which sets attributes and
packs the parameters of quantized layers, computed on stored values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from bridge_torchscript.script.code import FOREIGN_CLASSES, Foreign
from bridge_torchscript.script.graph import Block, Node, Value
from bridge_torchscript.script.stored import StoredObject

MAX_STEPS = 10_000


def restore(owner: StoredObject, graph: Block) -> None:
    """Set the attributes of an object by the graph of its `__setstate__`. Raises Foreign."""
    state, owner.state = owner.state, {}
    _Machine().run(graph, {graph.inputs()[0]: owner, graph.inputs()[1]: state})


def _pack(name: str, arguments: list[Any]) -> StoredObject:
    """The parts that a layer packs: weight and bias, and the settings of a convolution."""
    names = ["weight", "bias", "stride", "padding"]
    names += ["output_padding"] * ("transpose" in name) + ["dilation", "groups"]
    return StoredObject(f"{FOREIGN_CLASSES}{name}", dict(zip(names, arguments, strict=False)))


COMPUTED: dict[str, Callable[..., Any]] = {
    "prim::TupleConstruct": lambda *items: items,
    "prim::ListConstruct": lambda *items: list(items),
    "prim::TupleUnpack": lambda items: items,
    "prim::ListUnpack": lambda items: items,
    "prim::TupleIndex": operator.getitem,
    "prim::unchecked_cast": lambda x: x,
    "aten::__getitem__": operator.getitem,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::len": len,
}


class _Machine:
    def __init__(self) -> None:
        self.steps = 0

    def run(self, block: Block, values: dict[Value, Any]) -> list[Any]:
        for node in block.nodes():
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise Foreign("a state of many steps")
            results = self.results(node, [values[v] for v in node.inputs()], values)
            values.update(zip(node.outputs(), results, strict=True))
        return [values[v] for v in block.outputs()]

    def results(self, node: Node, inputs: list[Any], values: dict[Value, Any]) -> list[Any]:
        kind = node.kind()
        if kind == "prim::Constant":
            return [node.attributes.get("value")]
        if kind == "prim::GetAttr":
            return [inputs[0].getattr(node.s("name"))]
        if kind == "prim::SetAttr":
            inputs[0].state[node.s("name")] = inputs[1]
            return []
        if kind == "prim::If":
            return self.run(node.blocks()[not inputs[0]], values)
        if kind.startswith("quantized::") and kind.endswith("_prepack"):
            return [_pack(kind.removeprefix("quantized::").removesuffix("_prepack"), inputs)]
        if kind not in COMPUTED:
            raise Foreign(f"a state that {kind} makes")
        result = COMPUTED[kind](*inputs)
        return list(result) if kind.endswith("Unpack") else [result]
