"""Steps that prepare records, in double and as scikit-learn computes them: from a frame to a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn import encoders, functions, splines, text
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import PartBuilder, Unwritten
from bridge_sklearn.kbins_discretizer import kbins_discretizer

Transform = Callable[[PartBuilder, Any, Frame], Frame]


def transform(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The columns a fitted transformer makes: by its own formula, else as its model read alone."""
    if src is None or isinstance(src, str):
        if src == "drop":
            return Frame(op, [])
        return frame
    write = TRANSFORMS.get(type(src).__name__) if type(src).__module__.startswith("sklearn.") else None
    if write is not None:
        return write(op, src, frame)
    if hasattr(src, "get_support"):
        return frame.select(np.flatnonzero(src.get_support()).tolist())
    if not hasattr(src, "transform"):
        raise Unwritten(f"its step {type(src).__name__} transforms nothing")
    outputs = op.embed(src, frame.matrix())
    return Frame(op, [outputs.get("transformed") or next(iter(outputs.values()))])


def has_own_step(src: Any) -> bool:
    """True for a step, or a pipeline with one, whose converter compares in float, or makes what few targets
    hold."""
    steps = (step for _, step in getattr(src, "steps", [("", src)]))
    return any(type(step).__name__ in ("KBinsDiscretizer", "QuantileTransformer") for step in steps)


def writes(src: Any) -> bool:
    """True if the formula of a transformer is known."""
    if src is None or isinstance(src, str):
        return True
    return type(src).__name__ in TRANSFORMS or hasattr(src, "get_support")


def pipeline(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    for _, step in src.steps:
        frame = transform(op, step, frame)
    return frame


def column_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Parts of the columns, each through its own step, side by side."""
    blocks: list[ir.Value | None] = []
    for name, step, _ in src.transformers_:
        places = src._transformer_to_input_indices.get(name, [])
        if len(places) and not (isinstance(step, str) and step == "drop"):
            blocks += transform(op, step, frame.select(list(places))).blocks
    return Frame(op, blocks)


def feature_union(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Steps side by side, each on all columns, and times its weight."""
    blocks: list[ir.Value | None] = []
    for name, step in src.transformer_list:
        made = transform(op, step, frame)
        weight = (src.transformer_weights or {}).get(name)
        if weight is not None:
            made = Frame(op, [op.Mul(made.matrix(), op.const(np.array(float(weight))))])
        blocks += made.blocks
    return Frame(op, blocks)


def row(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(1, -1)


def shifted(op: PartBuilder, x: ir.Value, offset: Any, scale: Any) -> Frame:
    """(x - offset) / scale, where those are not None."""
    if offset is not None:
        x = op.Sub(x, op.const(row(offset)))
    if scale is not None:
        x = op.Div(x, op.const(row(scale)))
    return Frame(op, [x])


def standard_scaler(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    offset = src.mean_ if src.with_mean else None
    return shifted(op, frame.matrix(), offset, src.scale_ if src.with_std else None)


def robust_scaler(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    offset = src.center_ if src.with_centering else None
    return shifted(op, frame.matrix(), offset, src.scale_ if src.with_scaling else None)


def max_abs_scaler(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    return shifted(op, frame.matrix(), None, src.scale_)


def min_max_scaler(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """x · scale + min, cut to the range where that is asked for."""
    x = op.Add(op.Mul(frame.matrix(), op.const(row(src.scale_))), op.const(row(src.min_)))
    if src.clip:
        low, high = (op.const(np.array(float(v))) for v in src.feature_range)
        x = op.Where(op.Less(x, low), low, op.Where(op.Greater(x, high), high, x))
    return Frame(op, [x])


def binarizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    above = op.Greater(frame.matrix(), op.const(np.array(float(src.threshold))))
    return Frame(op, [op.Cast(above, to=int(ir.DataType.DOUBLE))])


def polynomial_features(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Products of columns, each as often as its power says."""
    powers = src.powers_
    if src.include_bias:
        powers = powers[1:]
    x, parts = frame.matrix(), []
    for degree in sorted({int(p.sum()) for p in powers}):
        chosen = np.array([np.repeat(np.arange(len(p)), p) for p in powers if p.sum() == degree])
        product = op.Gather(x, chosen[:, 0].copy(), axis=1)
        for factor in range(1, degree):
            product = op.Mul(product, op.Gather(x, chosen[:, factor].copy(), axis=1))
        parts.append(product)
    if src.include_bias:
        first = op.Gather(x, np.array([0]), axis=1)
        ones = op.Where(op.Equal(first, first), op.const(np.array([[1.0]])), op.const(np.array([[1.0]])))
        parts.insert(0, ones)
    return Frame(op, parts)


def centred_projection(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """(x - mean) · components, each over its deviation where whitened."""
    x = frame.matrix()
    weights = np.asarray(src.components_, np.float64).T
    x = op.MatMul(x, op.const(np.ascontiguousarray(weights)))
    if getattr(src, "mean_", None) is not None:
        x = op.Sub(x, op.const(row(np.asarray(src.mean_).reshape(1, -1) @ weights)))
    if getattr(src, "whiten", False):
        scale = np.sqrt(src.explained_variance_)
        x = op.Div(x, op.const(row(np.maximum(scale, np.finfo(np.float64).eps))))
    return Frame(op, [x])


TRANSFORMS: dict[str, Transform] = {
    "Binarizer": binarizer,
    "ColumnTransformer": column_transformer,
    "CountVectorizer": text.count_vectorizer,
    "FeatureUnion": feature_union,
    "FunctionTransformer": functions.function_transformer,
    "HashingVectorizer": text.hashing_vectorizer,
    "KBinsDiscretizer": kbins_discretizer,
    "MaxAbsScaler": max_abs_scaler,
    "MinMaxScaler": min_max_scaler,
    "MissingIndicator": encoders.missing_indicator,
    "Normalizer": text.normalizer,
    "OneHotEncoder": encoders.one_hot_encoder,
    "OrdinalEncoder": encoders.ordinal_encoder,
    "PCA": centred_projection,
    "Pipeline": pipeline,
    "PolynomialFeatures": polynomial_features,
    "PowerTransformer": functions.power_transformer,
    "QuantileTransformer": splines.quantile_transformer,
    "RobustScaler": robust_scaler,
    "SimpleImputer": encoders.simple_imputer,
    "SplineTransformer": splines.spline_transformer,
    "StandardScaler": standard_scaler,
    "TargetEncoder": encoders.target_encoder,
    "TfidfTransformer": text.tfidf_transformer,
    "TfidfVectorizer": text.tfidf_vectorizer,
    "TruncatedSVD": centred_projection,
}
