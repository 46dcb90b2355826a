"""SpaceToBatch and BatchToSpace fused from Reshape, Transpose, Reshape.

This rule for Reshape comes before that of `tensor`: the modules' names decide the order.
"""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from bridge.hub import attr, const, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import BLOCK_DTYPES, TFLITE

ops = OpTable()

BLOCK_TYPES = tuple(ir.DataType[name.upper()] for name in (*BLOCK_DTYPES, "int16"))


def _result_shape(node: ir.Node) -> list[int] | None:
    """Static shape of the output of a Reshape, or None."""
    shape = const(node.inputs[1])
    is_constant = shape is not None and bool((shape > 0).all())
    return shape.tolist() if is_constant else shape_of(node.outputs[0])


def match_blocks(node: ir.Node) -> tuple[str, Any, list[Any]] | None:
    """Match Reshape, Transpose, Reshape (`node`) as (SpaceToBatch or BatchToSpace, its input, block
    sizes)."""
    transpose = node.inputs[0].producer() if node.inputs[0] is not None else None
    reshape = (
        transpose.inputs[0].producer() if transpose is not None and transpose.op_type == "Transpose" else None
    )
    if reshape is None or reshape.op_type != "Reshape" or transpose.domain or reshape.domain:
        return None
    shapes = [shape_of(reshape.inputs[0]), shape_of(reshape.outputs[0]), _result_shape(node)]
    if any(s is None or 0 in s for s in shapes):
        return None
    before, between, after = shapes
    rank, perm = len(before), attr(transpose, "perm")
    count = len(between) - rank
    if count not in (1, 2) or rank != count + 2 or len(after) != rank:
        return None
    pairs = list(range(1, 2 * count, 2))
    if perm == [*(i + 1 for i in pairs), 0, *pairs, 2 * count + 1]:
        block = [between[i + 1] for i in pairs]  # type: ignore[index]
        image = [between[0], *(between[i] * b for i, b in zip(pairs, block, strict=True)), between[-1]]  # type: ignore[index]
        blocks = [between[0] * math.prod(block), *(between[i] for i in pairs), between[-1]]  # type: ignore[index]
        return ("SpaceToBatch", reshape.inputs[0], block) if (before, after) == (image, blocks) else None
    if perm == [count, *(v for i in range(count) for v in (count + 1 + i, i)), 2 * count + 1]:
        block, inner = between[:count], between[count:]  # type: ignore[index]
        image = [inner[0], *(r * b for r, b in zip(inner[1:-1], block, strict=True)), inner[-1]]
        blocks = [inner[0] * math.prod(block), *inner[1:]]
        return ("BatchToSpace", reshape.inputs[0], block) if (before, after) == (blocks, image) else None
    return None


@ops.op(
    "Reshape",
    needs=(condition("blocks moved between space and batch", lambda n: match_blocks(n) is not None),),
)
def blocks(op, node, x, shape):
    operator, source, block = match_blocks(node)
    if source.dtype not in BLOCK_TYPES:
        return NotImplemented
    return op.node(
        operator, source, _domain=TFLITE, _dtype=source.dtype, _shape=node.outputs[0].shape, block=block
    )
