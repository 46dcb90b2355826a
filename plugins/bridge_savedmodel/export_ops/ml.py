"""Label encoders and n-gram counts of `ai.onnx` and `ai.onnx.ml`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.ml import grams
from bridge_savedmodel.export_ops.common import T

ops = OpTable()

DEFAULT_ATTRIBUTES = {"strings": "default_string", "int64s": "default_int64", "floats": "default_float"}
LABEL_DTYPES = {"strings": object, "int64s": np.int64, "floats": np.float32}


def encoder_labels(node: ir.Node, role: str) -> np.ndarray | None:
    """The keys or values of a LabelEncoder."""
    tensor = attr(node, f"{role}_tensor")
    if tensor is not None:
        return tensor.numpy().reshape(-1)
    return next(
        (
            np.array(values, LABEL_DTYPES[k])
            for k in LABEL_DTYPES
            if (values := attr(node, f"{role}_{k}")) is not None
        ),
        None,
    )


def default_label(node: ir.Node, values: np.ndarray) -> np.ndarray:
    tensor = attr(node, "default_tensor")
    if tensor is not None:
        return tensor.numpy().reshape(1)
    label_type = "strings" if values.dtype == object else "floats" if values.dtype.kind == "f" else "int64s"
    return np.array([attr(node, DEFAULT_ATTRIBUTES[label_type])], values.dtype)


def _has_unique_keys(node: ir.Node) -> bool:
    keys = encoder_labels(node, "keys")
    return (
        keys is not None
        and encoder_labels(node, "values") is not None
        and len({*map(_key, keys)}) == len(keys)
    )


def _key(value: Any) -> Any:
    return "nan" if isinstance(value, (float, np.floating)) and np.isnan(value) else value


@ops.op(
    "ai.onnx.ml::LabelEncoder",
    needs=(condition("keys that are all different, and values", _has_unique_keys),),
)
def label_encoder(tf, node, x):
    """A hash table gives the index of the value; the default is the value after the last."""
    keys, values = encoder_labels(node, "keys"), encoder_labels(node, "values")
    source = tf.tensor(x)
    if x.dtype.is_floating_point():
        source, keys = _as_bits(tf, source), _constant_bits(keys.astype(x.dtype.numpy()))
    elif x.dtype != T.STRING:
        source, keys = tf.Cast(source, DstT=tf.api.int64), keys.astype(np.int64)
    index = tf.lookup(keys, source)
    return tf.GatherV2(tf.constant(np.concatenate([values, default_label(node, values)])), index, 0)


def _as_bits(tf: Any, x: Any) -> Any:
    """Floats as int64 that are equal where the floats are: one zero, one NaN."""
    canonical = tf.SelectV2(
        tf.IsNan(x), tf.api.constant(np.nan, x.dtype), tf.AddV2(x, tf.api.zeros([], x.dtype))
    )
    dtype = {2: tf.api.int16, 4: tf.api.int32, 8: tf.api.int64}[x.dtype.size]
    return tf.Cast(tf.Bitcast(canonical, type=dtype), DstT=tf.api.int64)


def _constant_bits(keys: np.ndarray) -> np.ndarray:
    """Constant floats as int64, like `_as_bits`."""
    canonical = np.where(np.isnan(keys), np.nan, keys + 0).astype(keys.dtype)
    return canonical.view(f"i{keys.dtype.itemsize}").astype(np.int64)


@ops.op("TfIdfVectorizer", needs=(condition("a rank of 1 or 2", lambda n: rank_of(n.inputs[0]) in (1, 2)),))
def tf_idf(tf, node, x):
    """Counts of each n-gram of the pool in a row, over every skip; for IDF its weight if it occurs."""
    api = tf.api
    rows = tf.tensor(x) if rank_of(x) == 2 else tf.ExpandDims(x, 0)
    if x.dtype != T.STRING:
        rows = tf.Cast(rows, DstT=api.int64)
    length, output_count = api.shape(rows)[1], max(attr(node, "ngram_indexes")) + 1
    total = api.zeros([api.shape(rows)[0], output_count], api.float32)
    for gram in grams(node):
        gram_length = gram.length
        counts: Any = 0.0
        for skip in range(attr(node, "max_skip_count") + 1 if gram_length > 1 else 1):
            starts = api.range(api.maximum(length - (gram_length - 1) * (skip + 1), 0))
            windows = api.gather(
                rows, starts[:, None] + np.arange(gram_length, dtype=np.int32) * (skip + 1), axis=1
            )
            is_match = api.reduce_all(
                api.equal(windows[:, :, None, :], api.constant(gram.rows)[None, None]), -1
            )
            counts = counts + api.reduce_sum(api.cast(is_match, api.float32), 1)
        total += api.matmul(counts, np.eye(output_count, dtype=np.float32)[gram.outputs])
    weights, mode = attr(node, "weights"), attr(node, "mode")
    scale = np.array(weights or np.ones(len(attr(node, "ngram_indexes"))), np.float32)
    output_weights = np.zeros(output_count, np.float32)
    output_weights[attr(node, "ngram_indexes")] = scale
    present = api.cast(total > 0, api.float32)
    result = total if mode == "TF" else (present if mode == "IDF" else total) * output_weights
    return result if rank_of(x) == 2 else tf.Squeeze(result, axis=[0])
