"""TransformedTargetRegressor: the inverse transformation of the target, after the regressor's own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Unwritten, cast


def _constant_one(op: hub.Builder) -> ir.Value:
    return op.const(np.array([1.0]))


INVERSES: dict[Any, Callable[[hub.Builder, ir.Value], ir.Value]] = {
    None: lambda op, y: op.Identity(y),
    np.exp: lambda op, y: op.Exp(y),
    np.expm1: lambda op, y: op.Sub(op.Exp(y), _constant_one(op)),
    np.log: lambda op, y: op.Log(y),
    np.log1p: lambda op, y: op.Log(op.Add(y, _constant_one(op))),
    np.sqrt: lambda op, y: op.Sqrt(y),
    np.square: lambda op, y: op.Mul(y, y),
    np.negative: lambda op, y: op.Neg(y),
    np.reciprocal: lambda op, y: op.Div(_constant_one(op), y),
}


def append_inverse(model: ir.Model, transformer: Any) -> None:
    """The model's only output after the inverse of a fitted transformer. Raises Unwritten for one that is not
    known."""
    [output] = model.graph.outputs
    op = hub.Builder(model.graph)
    op.begin("TransformedTargetRegressor")
    y = cast(op, output, DOUBLE)
    result = inverse_transform(op, transformer, y)
    name, output.name = output.name, hub.fresh_name(model.graph, "transformed")
    result = op.Identity(result) if result is output else result
    result.name = name
    model.graph.outputs[0] = result


def inverse_transform(op: hub.Builder, transformer: Any, y: ir.Value) -> ir.Value:
    name = type(transformer).__name__
    if name == "FunctionTransformer" and transformer.inverse_func in INVERSES and not transformer.inv_kw_args:
        return INVERSES[transformer.inverse_func](op, y)
    if name == "StandardScaler":
        scale = np.ones(1) if transformer.scale_ is None else transformer.scale_
        mean = np.zeros(1) if transformer.mean_ is None else transformer.mean_
        return op.Add(op.Mul(y, op.const(np.asarray(scale))), op.const(np.asarray(mean)))
    if name == "MinMaxScaler":
        return op.Div(op.Sub(y, op.const(transformer.min_)), op.const(transformer.scale_))
    raise Unwritten("the inverse of what transforms its target is not known")
