"""Feature engineering: scalers, imputers, encoders, vectorizers → ai.onnx.ml and tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnsupportedModel
from bridge_coreml import network
from bridge_coreml.pipeline.common import DOUBLE, FLOAT, INT64, ML, Values


def numpy_of(x: ir.Value) -> Any:
    """The NumPy dtype of a feature."""
    return (x.dtype or ir.DataType.DOUBLE).numpy()


def scaler(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    kind = numpy_of(x)
    made = op.Add(x, op.const(np.array(held.shiftValue, kind))) if held.shiftValue else x
    return op.Mul(made, op.const(np.array(held.scaleValue, kind))) if held.scaleValue else op.Identity(made)


def normalizer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    if held.normType == 0:
        size = op.ReduceMax(op.Abs(x), [-1], keepdims=1)
    else:
        size = op.node("ReduceL1" if held.normType == 1 else "ReduceL2", x, [-1], keepdims=1)
    return op.Div(x, op.Where(op.Equal(size, 0.0), op.const(1, x.dtype), size))


def imputer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    which, replaced = held.WhichOneof("ImputedValue"), held.WhichOneof("ReplaceValue")
    if which not in ("imputedDoubleValue", "imputedInt64Value", "imputedDoubleArray", "imputedInt64Array"):
        raise UnsupportedModel("An imputer of texts or dictionaries is not read.", [])
    value = getattr(held, which)
    value = np.array(value.vector if which.endswith("Array") else value, numpy_of(x))
    gone = getattr(held, replaced) if replaced else np.nan
    missing = (
        op.IsNaN(x) if isinstance(gone, float) and np.isnan(gone) else op.Equal(x, op.const(gone, x.dtype))
    )
    return op.Where(missing, op.const(value), x)


def one_hot(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    categories = getattr(held, held.WhichOneof("CategoryType")).vector
    table = network.label_table(op, list(categories))
    if x.dtype is not None and x.dtype != table.dtype:
        table = op.Cast(table, to=int(x.dtype))
    return op.Cast(op.Equal(x, table), to=DOUBLE)


def categorical_mapping(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    pairs = getattr(held, held.WhichOneof("MappingType")).map
    keys, values = sorted(pairs), [pairs[k] for k in sorted(pairs)]
    unknown = held.WhichOneof("ValueOnUnknown")
    if held.WhichOneof("MappingType") == "stringToInt64Map":
        answer, to = held.int64Value if unknown == "int64Value" else -1, ir.DataType.INT64
        tables = {"keys_strings": keys, "values_int64s": values, "default_int64": answer}
    else:
        answer, to = held.strValue if unknown == "strValue" else "", ir.DataType.STRING
        tables = {"keys_int64s": keys, "values_strings": values, "default_string": answer}
        x = x if x.dtype == ir.DataType.INT64 else op.Cast(x, to=INT64)
    return op.LabelEncoder(x, _domain=ML, _dtype=to, _shape=x.shape, **tables)


def feature_vectorizer(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    kinds = {v.dtype for v in inputs}
    to = FLOAT if kinds == {ir.DataType.FLOAT} else DOUBLE
    parts = [op.Cast(v, to=to) for v in inputs]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)


def array_feature_extractor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    return op.Gather(inputs[0], op.const(np.array(held.extractIndex, np.int64)), axis=1)


def unchanged(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    outputs = [f.name for f in message.description.output]
    return {name: op.Identity(value) for name, value in zip(outputs, inputs, strict=False)}
