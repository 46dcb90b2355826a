"""State of a module that a call may change for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Calls whose reads and writes are not in the graph, and operators that write without counting a version
HIDDEN = {
    "aten::data",
    "aten::set_",
    "aten::set_data",
    "prim::CallFunction",
    "prim::CallMethod",
    "prim::PythonOp",
    "prim::data",
    "prim::fork",
    "prim::rpc_async",
}


class ModuleState:
    """The attributes that a method reads or sets and the constants of its code, as they are at first."""

    def __init__(self, module: Any, method: str) -> None:
        self._module = module
        self._paths: dict[str, tuple[str, ...]] = {}
        self._constants: list[Any] = []
        self._visible = True
        block = module._c._get_method(method).inlined_graph
        self._collect(block, {next(block.inputs()).debugName(): ()})
        self._before = self._values()

    def changed(self) -> bool:
        """Tell whether an attribute was set or a tensor written in place; true too where no graph shows
        it."""
        return not self._visible or not _same(self._before, self._values())

    def shares(self, result: Any) -> bool:
        """Tell whether tensors of `result` lie in the memory of the state, where their owner may write."""
        owned = {_memory(tensor) for tensor in _tensors(self._before)}
        return any(_memory(tensor) in owned for tensor in _tensors(result))

    def _collect(self, block: Any, owners: dict[str, tuple[str, ...]]) -> None:
        """Paths of attributes in `block`; `owners` are the paths of modules by the names of their values."""
        for node in block.nodes():
            kind = node.kind()
            if kind in HIDDEN:
                self._visible = False
            elif kind in ("prim::GetAttr", "prim::SetAttr"):
                self._attribute(node, owners)
            elif kind == "prim::Constant" and node.hasAttribute("value"):
                read = {"t": node.t, "ts": node.ts, "ival": node.ival}.get(node.kindOf("value"))
                self._constants += [] if read is None else _tensors(read("value"))
            for inner in node.blocks():
                self._collect(inner, owners)

    def _attribute(self, node: Any, owners: dict[str, tuple[str, ...]]) -> None:
        owner = owners.get(node.inputsAt(0).debugName())
        if owner is None:
            self._visible = False
            return
        path = (*owner, node.s("name"))
        if node.kind() == "prim::GetAttr" and path[-1] in _at(self._module, owner)._modules:
            owners[node.output().debugName()] = path
        elif self._is_shown(path):
            self._paths[".".join(path)] = path
        else:
            self._visible = False

    def _is_shown(self, path: tuple[str, ...]) -> bool:
        """True if torch hands the attribute over: it does not with one whose class this process never
        compiled."""
        try:
            _at(self._module, path[:-1])._c.getattr(path[-1])
        except RuntimeError:
            return False
        return True

    def _values(self) -> list[Any]:
        attributes = [_at(self._module, p[:-1])._c.getattr(p[-1]) for p in self._paths.values()]
        return [_frozen(value) for value in (*attributes, *self._constants)]


def _at(module: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        module = module._modules[step]
    return module


def _frozen(value: Any) -> Any:
    """A value that later writes do not change: a tensor with its version, containers of such."""
    if hasattr(value, "_version"):
        return (value, value._version)
    if isinstance(value, (list, tuple)):
        return [_frozen(v) for v in value]
    if isinstance(value, dict):
        return [list(value), [_frozen(v) for v in value.values()]]
    return value


def _same(before: Any, now: Any) -> bool:
    if type(before) is not type(now):
        return False
    if isinstance(before, tuple):
        return before[0] is now[0] and before[1] == now[1]
    if isinstance(before, list):
        return len(before) == len(now) and all(map(_same, before, now))
    return before is now or (isinstance(before, (bool, int, float, str, complex)) and before == now)


def _tensors(value: Any) -> Iterator[Any]:
    if hasattr(value, "_version"):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _memory(tensor: Any) -> int:
    """The address of a tensor's storage, which sparse tensors do not have: then its own."""
    import torch

    return int(tensor.untyped_storage().data_ptr()) if tensor.layout == torch.strided else id(tensor)
