"""Text moved by a Gather of its flat elements."""

from __future__ import annotations

import numpy as np

from bridge.dims import lengths, reshape
from bridge.hub import attr, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TEXT_DTYPES

ops = OpTable()


@ops.op(
    "Expand",
    "Gather",
    "GatherElements",
    "Transpose",
    needs=(
        dtype(*TEXT_DTYPES),
        condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None),
        condition("a result of known rank", lambda n: n.outputs[0].shape is not None),
    ),
)
def text(op, node, x, *others):
    """Move the flat indices by the operator, then gather the text by them."""
    positions = np.arange(int(np.prod(shape_of(x)))).reshape(shape_of(x))
    attributes = {name: attr(node, name) for name in node.attributes}
    moved = op.node(node.op_type, op.const(positions), *others, **attributes)
    gathered = op.Gather(op.Reshape(x, [-1]), op.Reshape(moved, [-1]), axis=0)
    return reshape(op, gathered, lengths(op, moved))
