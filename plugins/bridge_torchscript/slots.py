"""Attributes of modules and of objects of compiled classes, the classes installed in Python or not."""

from __future__ import annotations

from typing import Any


class Slots:
    """An object of a compiled class, which torch hands to Python only as its Python class: TorchScript itself reads it.

    `root` is the module it hangs from, `steps` the attributes on the way, with their types.
    """

    def __init__(self, root: Any, steps: tuple[tuple[str, Any], ...]) -> None:
        self.root, self.steps = root, steps

    def getattr(self, name: str, attribute_type: Any) -> Any:
        """The attribute of that name. Raises RuntimeError where torch cannot read it."""
        steps = (*self.steps, (name, attribute_type))
        return (
            Slots(self.root, steps) if attribute_type.kind() == "ClassType" else _read_path(self.root, steps)
        )


def stored_attribute(owner: Any, name: str, attribute_type: Any) -> Any:
    """The attribute of a module or of Slots; an object of a class that is no module as Slots."""
    import torch

    if isinstance(owner, Slots):
        return owner.getattr(name, attribute_type)
    if (
        attribute_type is None
        or attribute_type.kind() != "ClassType"
        or attribute_type.str().startswith("__torch__.torch.classes.")
    ):
        return owner.getattr(name)
    try:
        value = owner.getattr(name)
    except RuntimeError:
        value = None
    return value if isinstance(value, torch._C.ScriptObject) else Slots(owner, ((name, attribute_type),))


def _read_path(root: Any, steps: tuple[tuple[str, Any], ...]) -> Any:
    """What stands at the end of `steps`, by a TorchScript function that walks there."""
    import torch

    graph = torch._C.Graph()
    value = graph.addInput("self")
    value.setType(root._type())
    for name, attribute_type in steps:
        node = graph.create("prim::GetAttr", [value], 1)
        node.s_("name", name)
        graph.appendNode(node)
        value = node.output()
        value.setType(attribute_type)
    graph.registerOutput(value)
    return torch._C._create_function_from_graph("attribute", graph)(root)
