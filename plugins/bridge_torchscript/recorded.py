"""Graphs that torch.fx records, of programs and of decompositions, read by the rules of import_ops."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import cast
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.rules import has_rule, refusing
from bridge_torchscript.values import Builder, Items, Poison, Unsupported, Var

LENGTHS: dict[str, str] = {
    **{name: f"aten::{name}" for name in ("add", "sub", "mul", "floordiv", "neg", "pow")},
    **{name: f"aten::{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "ceil", "floor", "round")},
    "abs": "prim::abs",
    "and_": "aten::__and__",
    "getitem": "aten::__getitem__",
    "mod": "aten::remainder",
    "not_": "aten::__not__",
    "or_": "aten::__or__",
    "sym_float": "aten::Float",
    "sym_int": "aten::Int",
    "sym_max": "prim::max",
    "sym_min": "prim::min",
    "sym_not": "aten::__not__",
    "sym_sqrt": "aten::sqrt",
    "sym_sum": "aten::sum",
    "truediv": "aten::div",
    "trunc": "aten::Int",
}
"""Python functions on lengths, and TorchScript's operators of the same meaning."""


def operator_name(target: Any) -> str:
    """Name of what a node calls: `aten::add`, the name of a higher-order operator or of a Python function."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        return str(schema.name)
    name = target.name() if callable(getattr(target, "name", None)) else getattr(target, "__name__", target)
    return str(name)


def read_graph(reader: Any, op: Builder, module: Any, inputs: Any, begin: bool = True) -> Any:
    """Results of a recorded graph. With `begin` its operators are those that hub nodes come from."""
    import torch

    env: dict[Any, Any] = {}
    queue = iter(inputs)

    def hub_value(value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return env[value]
        if isinstance(value, (list, tuple)):
            return Items(op, (hub_value(v) for v in value))
        if isinstance(value, torch.dtype):
            return next(
                (h.code for h in TORCH_DTYPES.values() if getattr(torch, h.name) == value), str(value)
            )
        return None if isinstance(value, (torch.device, torch.layout, torch.memory_format)) else value

    for node in module.graph.nodes:
        if node.op == "placeholder":
            env[node] = next(queue)
        elif node.op == "get_attr":
            held = operator.attrgetter(node.target)(module)
            env[node] = reader.weight(held, node.target) if isinstance(held, torch.Tensor) else held
        elif node.op == "output":
            return hub_value(node.args[0])
        else:
            env[node] = _read_node(reader, op, node, hub_value, begin)
    return None


def _read_node(reader: Any, op: Builder, node: Any, hub_value: Callable[[Any], Any], begin: bool) -> Any:
    name, where = operator_name(node.target), node_name(node)
    if begin:
        op.begin(name, where)
    with refusing(name, where):
        schema = getattr(node.target, "_schema", None)
        if schema is not None:
            operands = dict(zip([a.name for a in schema.arguments], node.args, strict=False)) | node.kwargs
            result = _overload(reader, op, schema, {k: hub_value(v) for k, v in operands.items()})
        elif name in reader.higher_order:
            result = reader.higher_order[name](
                reader, op, *map(hub_value, node.args), **{k: hub_value(v) for k, v in node.kwargs.items()}
            )
        elif name in LENGTHS:
            result = PYTHON[LENGTHS[name]](op, *map(hub_value, node.args))
        else:
            raise Unsupported("is not supported")
        if result is NotImplemented:
            raise Unsupported("is not supported of what it is given here")
        return settled(reader, op, result, node.meta.get("val"), name.startswith(("aten::", "prims::")))


def node_name(node: Any) -> str:
    """Name of a node, after the path of the module it comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(where[0]) for where in reversed(stack.values()) if where), "")
    path = path.removeprefix("L['self']").strip(".")
    return f"{path}/{node.name}" if path else str(node.name)


def _overload(reader: Any, op: Builder, schema: Any, operands: dict[str, Any]) -> Any:
    """Result of an operator from its arguments by name."""
    inputs = []
    for argument in schema.arguments:
        default = argument.default_value if argument.has_default_value() else None
        inputs.append(
            operands.get(argument.name, Items(op, default) if isinstance(default, list) else default)
        )
    name = str(schema.name)
    if name.startswith("prims::") and f"aten::{name[7:]}" in ops:
        name = f"aten::{name[7:]}"
        handler = reader.rule(name, {}).handler
        names = list(inspect.signature(handler).parameters)[1 : len(inputs) + 1]
        return reader.operator(op, name, names, inputs[: len(names)])
    if not has_rule(name):
        raise Unsupported("is not supported")
    return reader.call(op, name, schema, inputs)


def settled(reader: Any, op: Builder, result: Any, example: Any, exact: bool) -> Any:
    """A result in the shape that torch recorded, and in the dtype if that is `exact`: quantized_decomposed
    records others than it makes. Raises Unsupported where its rank or a length is
    another.
    """
    import torch

    if (
        isinstance(result, (list, tuple))
        and isinstance(example, (list, tuple))
        and len(result) == len(example)
    ):
        parts = [_settled_part(reader, op, r, e, exact) for r, e in zip(result, example, strict=True)]
        return Items(op, parts) if isinstance(result, Items) else type(result)(parts)
    if not (isinstance(result, Var) and isinstance(example, torch.Tensor)):
        return result
    value = result.value
    if not isinstance(value, ir.Value) or example.is_complex() or example.is_sparse:
        return result
    dtype = next((d for d, h in TORCH_DTYPES.items() if getattr(torch, h.name) == example.dtype), None)
    if dtype is not None and value.dtype not in (None, dtype) and result.base is None and exact:
        result.value = value = cast(op, value, dtype)
    dims = [reader.dimension(d) for d in example.shape]
    known = list(value.shape) if value.shape is not None else dims
    if len(known) != len(dims) or any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(known, dims, strict=True)
    ):
        raise Unsupported(f"has the shape {value.shape} here and {dims} in torch")
    if value.const_value is None and not value.is_graph_input():
        pairs = zip(known, dims, strict=True)
        value.shape = ir.Shape([a if isinstance(a, int) else d for a, d in pairs])
    return result


def _settled_part(reader: Any, op: Builder, result: Any, example: Any, exact: bool) -> Any:
    """One of several results, of which perhaps not all are read."""
    try:
        return settled(reader, op, result, example, exact)
    except Unsupported as error:
        return Poison(str(error))


def lacking(module: Any) -> dict[str, str]:
    """Operators without a rule of a recorded module and those inside it, with the name of one node each."""
    import torch

    found: dict[str, str] = {}
    for inner in module.modules():
        for node in inner.graph.nodes if isinstance(inner, torch.fx.GraphModule) else ():
            name = operator_name(node.target) if node.op == "call_function" else ""
            is_operator = getattr(node.target, "_schema", None) is not None
            is_vmap = getattr(node.target, "__module__", "") == "torch._functorch.predispatch"
            if is_vmap or (is_operator and not _is_known(name)):
                found.setdefault(name, node_name(node))
    return found


def _is_known(name: str) -> bool:
    return has_rule(name) or (name.startswith("prims::") and f"aten::{name[7:]}" in ops)
