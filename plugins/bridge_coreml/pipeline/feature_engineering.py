"""Feature engineering: scalers, imputers, encoders, vectorizers → ai.onnx.ml and tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnsupportedModel
from bridge_coreml import network
from bridge_coreml.pipeline.common import DOUBLE, FLOAT, INT64, ML, Values


def numpy_dtype(x: ir.Value) -> Any:
    """The NumPy dtype of a feature."""
    return (x.dtype or ir.DataType.DOUBLE).numpy()


def scaler(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    dtype = numpy_dtype(x)
    shifted = op.Add(x, op.const(np.array(params.shiftValue, dtype))) if params.shiftValue else x
    return (
        op.Mul(shifted, op.const(np.array(params.scaleValue, dtype)))
        if params.scaleValue
        else op.Identity(shifted)
    )


def normalizer(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    if params.normType == 0:
        norm = op.ReduceMax(op.Abs(x), [-1], keepdims=1)
    else:
        norm = op.node("ReduceL1" if params.normType == 1 else "ReduceL2", x, [-1], keepdims=1)
    return op.Div(x, op.Where(op.Equal(norm, 0.0), op.const(1, x.dtype), norm))


def imputer(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    value_field, replace_field = params.WhichOneof("ImputedValue"), params.WhichOneof("ReplaceValue")
    if value_field not in (
        "imputedDoubleValue",
        "imputedInt64Value",
        "imputedDoubleArray",
        "imputedInt64Array",
    ):
        raise UnsupportedModel("An imputer of texts or dictionaries is not read.", [])
    value = getattr(params, value_field)
    value = np.array(value.vector if value_field.endswith("Array") else value, numpy_dtype(x))
    replaced_value = getattr(params, replace_field) if replace_field else np.nan
    missing = (
        op.IsNaN(x)
        if isinstance(replaced_value, float) and np.isnan(replaced_value)
        else op.Equal(x, op.const(replaced_value, x.dtype))
    )
    return op.Where(missing, op.const(value), x)


def one_hot(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    categories = getattr(params, params.WhichOneof("CategoryType")).vector
    table = network.label_table(op, list(categories))
    if x.dtype is not None and x.dtype != table.dtype:
        table = op.Cast(table, to=int(x.dtype))
    return op.Cast(op.Equal(x, table), to=DOUBLE)


def categorical_mapping(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    (x,) = inputs
    pairs = getattr(params, params.WhichOneof("MappingType")).map
    keys, values = sorted(pairs), [pairs[k] for k in sorted(pairs)]
    unknown = params.WhichOneof("ValueOnUnknown")
    if params.WhichOneof("MappingType") == "stringToInt64Map":
        default, to = params.int64Value if unknown == "int64Value" else -1, ir.DataType.INT64
        tables = {"keys_strings": keys, "values_int64s": values, "default_int64": default}
    else:
        default, to = params.strValue if unknown == "strValue" else "", ir.DataType.STRING
        tables = {"keys_int64s": keys, "values_strings": values, "default_string": default}
        x = x if x.dtype == ir.DataType.INT64 else op.Cast(x, to=INT64)
    return op.LabelEncoder(x, _domain=ML, _dtype=to, _shape=x.shape, **tables)


def feature_vectorizer(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    dtypes = {v.dtype for v in inputs}
    to = FLOAT if dtypes == {ir.DataType.FLOAT} else DOUBLE
    columns = [op.Cast(v, to=to) for v in inputs]
    return columns[0] if len(columns) == 1 else op.Concat(*columns, axis=1)


def array_feature_extractor(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    return op.Gather(inputs[0], op.const(np.array(params.extractIndex, np.int64)), axis=1)


def pass_through(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    outputs = [f.name for f in message.description.output]
    return {name: op.Identity(value) for name, value in zip(outputs, inputs, strict=False)}
