"""Operators without a rule, decomposed by torch into operators that have one.

torch runs the operator on fake tensors of the shapes and dtypes that the hub knows, and records the graph.
The record is valid for these shapes only, so they must be static.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from bridge.hub import shape_of
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import torch_dtype
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.import_ops.tensor import INPLACE
from bridge_torchscript.tracer_lock import TRACER
from bridge_torchscript.values import Builder, Items, Sequence, Sym, Unsupported, Var


@functools.cache
def decompositions() -> Any:
    """torch's decomposition table, without operators that have a rule."""
    from torch._decomp import decomposition_table

    table: dict[Any, Any] = decomposition_table
    return {
        op: rule
        for op, rule in table.items()
        if op.namespace == "aten" and f"aten::{op._schema.name.partition('::')[2]}" not in ops
    }


def torch_operator(name: str, schema: str) -> Any:
    """Overload in torch.ops of a TorchScript operator."""
    import torch

    space, _, short_name = name.partition("::")
    parsed = torch._C.parse_schema(schema)
    return getattr(getattr(getattr(torch.ops, space), short_name), parsed.overload_name or "default")


def decompose(reader: Any, op: Builder, operator_name: str, schema: str, inputs: list[Any]) -> Any:
    """Emit torch's decomposition of the operator.

    Raises Unsupported if torch has none, or a part of it has no rule.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    target = torch_operator(operator_name, schema)
    parameters = target._schema.arguments
    if any(a.alias_info is not None and a.alias_info.is_write for a in parameters):
        raise Unsupported("is not supported")
    tensor_vars: list[Any] = []
    arguments = [_placeholder(op, v, tensor_vars) for v in inputs]

    def call(*tensors: Any) -> Any:
        queue = iter(tensors)
        filled = [_fill_placeholders(a, queue) for a in arguments]
        positional = [v for v, a in zip(filled, parameters, strict=True) if not a.kwarg_only]
        named = {a.name: v for v, a in zip(filled, parameters, strict=True) if a.kwarg_only}
        return target(*positional, **named)

    examples = [
        torch.empty(shape_of(v.read(op)) or [], dtype=torch_dtype(v.read(op).dtype)) for v in tensor_vars
    ]
    try:
        with TRACER:
            graph = make_fx(call, decomposition_table=decompositions(), tracing_mode="fake")(*examples)
    except Exception as error:
        raise Unsupported(
            f"is not supported ({type(error).__name__} from torch's own decomposition)"
        ) from error
    if any(n.target is target for n in graph.graph.nodes):
        raise Unsupported("is not supported")
    return _replay(reader, op, graph, tensor_vars)


def _placeholder(op: Builder, value: Any, tensors: list[Any]) -> Any:
    if isinstance(value, Var):
        if shape_of(value.read(op)) is None:
            raise Unsupported(
                "is not supported, nor can torch spell it out for shapes known at run time alone"
            )
        tensors.append(value)
        return PLACEHOLDER
    if isinstance(value, (list, tuple)):
        return [_placeholder(op, v, tensors) for v in value]
    if isinstance(value, (Sym, Sequence)):
        raise Unsupported("is not supported, nor can torch spell it out for numbers known at run time alone")
    return value


PLACEHOLDER = object()


def _fill_placeholders(value: Any, queue: Any) -> Any:
    if value is PLACEHOLDER:
        return next(queue)
    return [_fill_placeholders(v, queue) for v in value] if isinstance(value, list) else value


def _replay(reader: Any, op: Builder, module: Any, inputs: list[Any]) -> Any:
    """Run the recorded graph on hub values."""
    env: dict[Any, Any] = {}
    queue = iter(inputs)

    def hub_value(value: Any) -> Any:
        import torch

        if isinstance(value, torch.fx.Node):
            return env[value]
        if isinstance(value, (list, tuple)):
            return Items(op, (hub_value(v) for v in value))
        if isinstance(value, torch.dtype):
            return next(h.code for h in TORCH_DTYPES.values() if getattr(torch, h.name) == value)
        return None if isinstance(value, (torch.device, torch.layout, torch.memory_format)) else value

    for node in module.graph.nodes:
        if node.op == "placeholder":
            env[node] = next(queue)
        elif node.op == "get_attr":
            env[node] = reader.weight(getattr(module, node.target), "constant")
        elif node.op == "output":
            return _results(hub_value(node.args[0]))
        elif getattr(node.target, "__name__", "") == "getitem":
            env[node] = hub_value(node.args[0])[node.args[1]]
        else:
            env[node] = _call(reader, op, node, hub_value)
    return None


def _results(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _call(reader: Any, op: Builder, node: Any, hub_value: Any) -> Any:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        raise Unsupported(f"is made of {node.target}, which is not supported")
    names, inputs = [], []
    values = dict(zip([a.name for a in schema.arguments], node.args, strict=False)) | dict(node.kwargs)
    for argument in schema.arguments:
        names.append(argument.name)
        default = argument.default_value if argument.has_default_value() else None
        inputs.append(hub_value(values.get(argument.name, default)))
    operator = reader.base_operator(schema.name)
    if operator.startswith("prims::") and f"aten::{operator[7:]}" in ops:
        operator = f"aten::{operator[7:]}"
        rule = reader.rule(operator, {})
        names = list(inspect.signature(rule.handler).parameters)[1 : len(inputs) + 1]
        inputs = inputs[: len(names)]
    known = (ops, PYTHON, INPLACE)
    if not any(operator in names for names in known) and operator.removesuffix("_") not in ops:
        raise Unsupported(f"is made of {operator}, which is not supported")
    return reader.operator(op, operator, names, inputs)
