"""Attributes of modules and of objects of TorchScript classes, whether or not Python has the classes."""

from __future__ import annotations

import sys
from typing import Any

from bridge_torchscript.script.stored import StoredObject


class Slots:
    """Object of a TorchScript class, read by TorchScript: torch only gives Python an instance of its Python
    class.

    `root` is the module that holds it, `steps` are the attributes from there, with their types.
    """

    def __init__(self, root: Any, steps: tuple[tuple[str, Any], ...]) -> None:
        self.root, self.steps = root, steps

    def getattr(self, name: str, attribute_type: Any) -> Any:
        """Attribute by name. Raises RuntimeError if torch cannot read it."""
        steps = (*self.steps, (name, attribute_type))
        return (
            Slots(self.root, steps) if attribute_type.kind() == "ClassType" else _read_path(self.root, steps)
        )


def is_object(value: Any) -> bool:
    """True for an instance of a TorchScript class, however it is held."""
    torch = sys.modules.get("torch")
    return isinstance(value, (Slots, StoredObject)) or (
        torch is not None and isinstance(value, torch._C.ScriptObject)
    )


def stored_attribute(owner: Any, name: str, attribute_type: Any) -> Any:
    """Attribute of a module or of Slots; objects of classes other than modules are Slots."""
    if isinstance(owner, Slots):
        return owner.getattr(name, attribute_type)
    if isinstance(owner, StoredObject):
        return owner.getattr(name)
    import torch

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
    """Value at the end of `steps`, read by a generated TorchScript function."""
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
