"""Strings."""

from __future__ import annotations

import numpy as np

from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition
from bridge.ops import OpTable

ops = OpTable()


@ops.op("StringConcat")
def string_concat(tf, node, x, y):
    shape = tf.BroadcastArgs(tf.Shape(x), tf.Shape(y))
    return tf.StringJoin([tf.BroadcastTo(v, shape) for v in (x, y)])


ops.same(attributes={"pattern": "pattern"}, RegexFullMatch="StaticRegexFullMatch")


@ops.op("StringSplit")
def string_split(tf, node, x):
    """Parts of every string in a new last dimension, padded with empty strings; and their numbers."""
    api = tf.api
    flat = tf.Reshape(x, [-1])
    maxsplit = attr(node, "maxsplit")
    indices, values, shape = tf.StringSplitV2(
        flat, attr(node, "delimiter") or "", maxsplit=-1 if maxsplit is None else maxsplit
    )
    dense = tf.SparseToDense(indices, shape, values, "", validate_indices=False)
    is_part = tf.Fill(tf.Shape(values), True) if attr(node, "delimiter") else tf.NotEqual(values, "")
    ones = tf.Cast(is_part, DstT=api.int64)
    count = tf.UnsortedSegmentSum(
        ones,
        tf.StridedSlice(indices, [0, 0], [0, 1], [1, 1], begin_mask=1, end_mask=1, shrink_axis_mask=2),
        tf.Size(flat),
    )
    dims = tf.Shape(x, out_type=api.int64)
    width = tf.StridedSlice(shape, [1], [2], [1])
    return tf.Reshape(dense, tf.ConcatV2([dims, width], 0)), tf.Reshape(count, dims)


NEVER = b"\xff"
"""A byte that no text in UTF-8 has."""


@ops.op(
    "com.microsoft::Tokenizer",
    needs=(
        attribute("mark", 0),
        condition("an expression that finds tokens", lambda n: bool(attr(n, "tokenexp"))),
        condition("a rank of 1", lambda n: rank_of(n.inputs[0]) == 1),
    ),
)
def tokenizer(tf, node, x):
    """The matches of an expression in each text, [N, tokens]: the odd parts of one with a mark on either side
    of each match."""
    api, pattern = tf.api, attr(node, "tokenexp")
    marked = tf.StaticRegexReplace(x, f"({pattern})", NEVER + rb"\1" + NEVER, replace_global=True)
    indices, values, shape = tf.StringSplitV2(marked, NEVER, maxsplit=-1)
    parts = tf.SparseToDense(indices, shape, values, "", validate_indices=False)
    tokens = tf.StridedSlice(parts, [0, 1], [0, 0], [1, 2], begin_mask=1, end_mask=3)
    return api.where(tf.Equal(tokens, ""), attr(node, "pad_value").encode(), tokens)


@ops.op("StringNormalizer")
def string_normalizer(tf, node, x):
    """Remove the stopwords, then change the case; an empty string if nothing is left."""
    action, stop = attr(node, "case_change_action"), attr(node, "stopwords") or []
    cases = {"LOWER": tf.StringLower, "UPPER": tf.StringUpper}
    is_case_sensitive = attr(node, "is_case_sensitive")
    compared = x if is_case_sensitive else tf.StringLower(x, encoding="utf-8")
    rows = len(node.inputs[0].shape) == 2
    if stop:
        words = np.array([w.encode() if is_case_sensitive else w.lower().encode() for w in stop], object)
        flat = tf.Reshape(compared, [-1, 1])
        mask = tf.LogicalNot(tf.Any(tf.Equal(flat, words[None]), 1))
        x = tf.GatherV2(tf.Reshape(x, [-1]), tf.Reshape(tf.Where(mask), [-1]), 0)
        size = tf.Size(x)
        missing = tf.Maximum(tf.Sub(1, size), 0)
        x = tf.ConcatV2([x, tf.Fill(tf.Reshape(missing, [1]), "")], 0)
        x = tf.Reshape(x, [1, -1]) if rows else x
    return cases[action](x, encoding="utf-8") if action in cases else tf.Identity(x)
