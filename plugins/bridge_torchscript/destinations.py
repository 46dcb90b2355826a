"""Operators called with `out=`: what they compute is written into the tensors they are given."""

from __future__ import annotations

from typing import Any

from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import cast, parameters_of
from bridge_torchscript.script.schema import overloads
from bridge_torchscript.values import Builder, Complex, Unsupported, Var


def takes_destinations(schema: Any) -> bool:
    """True if an overload is given the tensors that it writes its results into."""
    return schema is not None and any(a.is_out for a in schema.arguments)


def split_destinations(
    operator: str, schema: Any, inputs: list[Any]
) -> tuple[list[str], list[Any], list[Any]]:
    """Names and values of the arguments of a call, and the tensors given as `out=`.

    Where the operator takes a dtype and is given none, torch computes in the destination's.
    """
    pairs = list(zip(schema.arguments, inputs, strict=True))
    destinations = [v for a, v in pairs if a.is_out]
    given = {a.name: v for a, v in pairs if not a.is_out}
    if any(not isinstance(d, Var) for d in destinations):
        raise Unsupported("writes its results into what is no tensor of real numbers")
    dtype = destinations[0].value.dtype if destinations[0].value is not None else None
    if given.get("dtype") is None and dtype in TORCH_DTYPES and _takes_dtype(operator):
        given["dtype"] = TORCH_DTYPES[dtype].code
    return list(given), list(given.values()), destinations


def _takes_dtype(operator: str) -> bool:
    return any(rule.op == operator and "dtype" in parameters_of(rule.handler) for rule in ops)


def fill_destinations(op: Builder, results: Any, destinations: list[Any]) -> Any:
    """The destinations, with the results in their dtypes and in the results' shapes."""
    values = list(results) if isinstance(results, (list, tuple)) else [results]
    for result, destination in zip(values, destinations, strict=True):
        if isinstance(result, Complex):
            raise Unsupported("writes complex numbers into a tensor")
        destination.replace(op, cast(op, result.read(op), destination.read(op).dtype))
        destination.quantization = result.quantization
    return destinations[0] if len(destinations) == 1 else tuple(destinations)


def without_destinations(operator: str, schema: Any) -> str:
    """Schema of the overload that returns what this one writes into `out=`; its own if there is none."""
    wanted = [(a.name, str(a.type)) for a in schema.arguments if not a.is_out]
    for candidate in overloads(operator):
        if [(a.name, str(a.type)) for a in candidate.arguments] == wanted:
            return str(candidate)
    return str(schema)
