"""Strings."""

from __future__ import annotations

import numpy as np

from bridge.hub import attr
from bridge.ops import OpTable

ops = OpTable()


@ops.op("StringConcat")
def string_concat(tf, node, x, y):
    shape = tf.BroadcastArgs(tf.Shape(x), tf.Shape(y))
    return tf.StringJoin([tf.BroadcastTo(v, shape) for v in (x, y)])


ops.same(attributes={"pattern": "pattern"}, RegexFullMatch="StaticRegexFullMatch")


@ops.op("StringSplit")
def string_split(tf, node, x):
    """Parts of every string in a last dimension as long as the most parts, empty strings after fewer; and how
    many."""
    api = tf.api
    flat = tf.Reshape(x, [-1])
    most = attr(node, "maxsplit")
    indices, values, shape = tf.StringSplitV2(
        flat, attr(node, "delimiter") or "", maxsplit=-1 if most is None else most
    )
    dense = tf.SparseToDense(indices, shape, values, "", validate_indices=False)
    filled = tf.Fill(tf.Shape(values), True) if attr(node, "delimiter") else tf.NotEqual(values, "")
    ones = tf.Cast(filled, DstT=api.int64)
    count = tf.UnsortedSegmentSum(
        ones,
        tf.StridedSlice(indices, [0, 0], [0, 1], [1, 1], begin_mask=1, end_mask=1, shrink_axis_mask=2),
        tf.Size(flat),
    )
    dims = tf.Shape(x, out_type=api.int64)
    width = tf.StridedSlice(shape, [1], [2], [1])
    return tf.Reshape(dense, tf.ConcatV2([dims, width], 0)), tf.Reshape(count, dims)


@ops.op("StringNormalizer")
def string_normalizer(tf, node, x):
    """Without stopwords, then in the case asked for; an empty string where nothing is left."""
    action, stop = attr(node, "case_change_action"), attr(node, "stopwords") or []
    cases = {"LOWER": tf.StringLower, "UPPER": tf.StringUpper}
    strict = attr(node, "is_case_sensitive")
    compared = x if strict else tf.StringLower(x, encoding="utf-8")
    rows = len(node.inputs[0].shape) == 2
    if stop:
        words = np.array([w.encode() if strict else w.lower().encode() for w in stop], object)
        flat = tf.Reshape(compared, [-1, 1])
        kept = tf.LogicalNot(tf.Any(tf.Equal(flat, words[None]), 1))
        x = tf.GatherV2(tf.Reshape(x, [-1]), tf.Reshape(tf.Where(kept), [-1]), 0)
        size = tf.Size(x)
        blank = tf.Maximum(tf.Sub(1, size), 0)
        x = tf.ConcatV2([x, tf.Fill(tf.Reshape(blank, [1]), "")], 0)
        x = tf.Reshape(x, [1, -1]) if rows else x
    return cases[action](x, encoding="utf-8") if action in cases else tf.Identity(x)
