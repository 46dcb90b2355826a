"""Text, which is moved by a gather of its flat elements."""

from __future__ import annotations

import numpy as np

from bridge.dims import lengths, reshape
from bridge.hub import attr, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TEXT

ops = OpTable()


@ops.op(
    "Expand",
    "Gather",
    "GatherElements",
    "Transpose",
    needs=(
        dtype(*TEXT),
        condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None),
    ),
)
def text(op, node, x, *rest):
    """What moves text moves its places, by which the flat text is gathered."""
    places = np.arange(int(np.prod(shape_of(x)))).reshape(shape_of(x))
    kept = {name: attr(node, name) for name in node.attributes}
    moved = op.node(node.op_type, op.const(places), *rest, **kept)
    found = op.Gather(op.Reshape(x, [-1]), op.Reshape(moved, [-1]), axis=0)
    return reshape(op, found, lengths(op, moved))
