"""Operators without a rule, decomposed by torch into operators that have one.

torch runs the operator on fake tensors of the shapes and dtypes that the hub knows, and records the graph.
The record is valid for these shapes only, so they must be static.
"""

from __future__ import annotations

import functools
from typing import Any

from bridge.hub import shape_of
from bridge_torchscript.import_ops.common import require_torch, torch_dtype
from bridge_torchscript.recorded import read_graph
from bridge_torchscript.rules import Refused, has_rule
from bridge_torchscript.script.schema import spelled_out
from bridge_torchscript.traced import recorded_graph
from bridge_torchscript.tracer_lock import TRACER
from bridge_torchscript.values import Builder, Sequence, Sym, Unsupported, Var


@functools.cache
def decompositions() -> dict[Any, Any]:
    """torch's decomposition table, without operators that have a rule."""
    from torch._decomp import decomposition_table

    return _without_rule(decomposition_table)


@functools.cache
def all_decompositions() -> dict[Any, Any]:
    """Also the operators that torch composes of others."""
    import torch

    return _without_rule(dict(torch.export.default_decompositions().items())) | decompositions()


def _without_rule(table: Any) -> dict[Any, Any]:
    return {
        op: rule for op, rule in table.items() if op.namespace == "aten" and not has_rule(op._schema.name)
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
    if operator_name not in spelled_out():
        raise Unsupported("is not supported")
    torch = require_torch(f"{operator_name} has no rule, and is spelled out by torch alone")
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
    try:
        results = read_graph(reader, op, recorded_graph(graph), tensor_vars, begin=False)
    except Refused as refused:
        raise Unsupported(f"is made of {refused.blocker.op}, which {refused.blocker.reason}") from refused
    return tuple(results) if isinstance(results, list) else results


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
