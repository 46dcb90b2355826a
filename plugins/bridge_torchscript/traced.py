"""Graphs and programs of torch.fx and torch.export in memory, as recorded ones."""

from __future__ import annotations

import operator
from typing import Any

from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.guards import META
from bridge_torchscript.recorded import Call, Example, Graph, Held, Program, Ref, Role
from bridge_torchscript.script.schema import parse_schema

NUMBERS = {"SymIntArgument": "int", "SymFloatArgument": "float", "SymBoolArgument": "bool"}


def recorded_program(program: Any) -> Program:
    """A torch.export.ExportedProgram."""
    import torch
    from torch.utils import _pytree as pytree

    graph, signature = recorded_graph(program.graph_module), program.graph_signature
    return Program(
        graph,
        [_role(s) for s in signature.input_specs],
        [_role(s) for s in signature.output_specs],
        {**program.constants, **program.state_dict},
        [(symbol, _bound(v.lower), _bound(v.upper)) for symbol, v in program.range_constraints.items()],
        program.graph_module.meta.get(META) or getattr(program, "_guards_code", None) or [],
        lambda results: pytree.tree_unflatten(results, program.call_spec.out_spec),
        torch.__version__,
        _names_of_export(n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"),
    )


def _role(spec: Any) -> Role:
    argument = type(spec.arg).__name__
    kind = "constant" if argument == "ConstantArgument" else NUMBERS.get(argument, "tensor")
    return Role(spec.kind.name, kind, spec.target or spec.arg.name, getattr(spec.arg, "value", None))


def _bound(limit: Any) -> int | None:
    return int(limit) if limit.is_Integer else None


def _names_of_export(examples: Any) -> dict[Any, str]:
    """Names of torch.export.Dim, which a program in memory remembers, by symbol."""
    found: dict[Any, str] = {}
    for length in (d for example in examples for d in getattr(example, "shape", ())):
        symbol = None if isinstance(length, int) else length.node.expr
        if symbol is None or not symbol.is_Symbol or symbol in found:
            continue
        environment = length.node.shape_env
        for source in environment.var_to_sources.get(symbol, ()):
            name = environment.source_name_to_debug_name.get(source.name)
            if name and name not in found.values():
                found.setdefault(symbol, name)
    return found


def recorded_graph(module: Any) -> Graph:
    """A torch.fx.GraphModule."""
    graph, instead = Graph(), {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            graph.inputs[node.name] = _example(node.meta.get("val"))
            instead[node] = Ref(node.name)
        elif node.op == "get_attr":
            instead[node] = _held(operator.attrgetter(node.target)(module), str(node.target))
        elif node.op == "output":
            graph.results = _argument(node.args[0], instead)
        else:
            graph.calls.append(_call(node, instead))
            instead[node] = Ref(node.name)
    return graph


def _held(value: Any, name: str) -> Any:
    import torch

    if isinstance(value, torch.fx.GraphModule):
        return recorded_graph(value)
    return Held(value, name) if isinstance(value, torch.Tensor) else value


def _call(node: Any, instead: dict[Any, Any]) -> Call:
    arguments = tuple(_argument(v, instead) for v in node.args)
    keywords = {k: _argument(v, instead) for k, v in node.kwargs.items()}
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        schema = parse_schema(str(schema))
        keywords = dict(zip([a.name for a in schema.arguments], arguments, strict=False)) | keywords
        arguments = ()
    example = _example(node.meta.get("val"))
    return Call(node.name, operator_name(node.target), schema, arguments, keywords, example, _where(node))


def operator_name(target: Any) -> str:
    """Name of what a node calls: `aten::add`, the name of a higher-order operator or of a Python function."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        return str(schema.name)
    name = target.name() if callable(getattr(target, "name", None)) else getattr(target, "__name__", target)
    return str(name)


def _where(node: Any) -> str:
    """Name of a node, after the path of the module it comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(where[0]) for where in reversed(stack.values()) if where), "")
    path = "" if path.startswith("_empty") else path.removeprefix("L['self']").strip(".")
    return f"{path}/{node.name}" if path else str(node.name)


def _argument(value: Any, instead: dict[Any, Any]) -> Any:
    import torch

    if isinstance(value, torch.fx.Node):
        return instead[value]
    if isinstance(value, (list, tuple)):
        return [_argument(v, instead) for v in value]
    if isinstance(value, dict):
        return {k: _argument(v, instead) for k, v in value.items()}
    if isinstance(value, torch.dtype):
        return next((h.code for h in TORCH_DTYPES.values() if getattr(torch, h.name) == value), str(value))
    return None if isinstance(value, (torch.device, torch.layout, torch.memory_format)) else value


def _example(value: Any) -> Any:
    import torch

    if isinstance(value, (list, tuple)):
        return [_example(v) for v in value]
    if not isinstance(value, torch.Tensor):
        return None
    dtype = next((d for d, h in TORCH_DTYPES.items() if getattr(torch, h.name) == value.dtype), None)
    return Example(dtype, tuple(_length(d) for d in value.shape), value.layout == torch.strided)


def _length(length: Any) -> Any:
    return length if isinstance(length, int) else length.node.expr
