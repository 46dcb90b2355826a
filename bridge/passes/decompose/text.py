"""Text."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.dims import reshape
from bridge.hub import attr, shape_of
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge.passes.decompose.control import choice

ops = OpTable()


def compares_exactly(node: ir.Node) -> bool:
    """True if stop words, if any, are compared as they are."""
    return not attr(node, "stopwords") or bool(attr(node, "is_case_sensitive"))


@ops.op(
    "StringNormalizer",
    needs=(
        attribute("case_change_action", "NONE"),
        condition("stop words that are case-sensitive", compares_exactly),
        condition("a static shape, not empty", lambda n: bool(np.prod(shape_of(n.inputs[0]) or [0]))),
    ),
)
def without_stop_words(op, node, x):
    """The words that equal no stop word; an empty text where none is left."""
    words, rank = attr(node, "stopwords") or [], len(x.shape)
    if not words:
        return op.Identity(x)
    flat, mask = reshape(op, x, [-1]), None
    for word in words:
        other = op.Not(op.Equal(flat, op.const(np.array(word, object))))
        mask = other if mask is None else op.And(mask, other)
    indices = op.Reshape(op.NonZero(mask), [-1])
    return choice(
        op,
        op.Greater(op.Size(indices), np.int64(0)),
        lambda some: reshape(some, some.Gather(flat, indices), [1] * (rank - 1) + [-1]),
        lambda none: none.Identity(none.const(np.full([1] * rank, "", object))),
    )
