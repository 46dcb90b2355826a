"""Blocks moved between space and batch."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from bridge.hub import attr, const, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import BLOCKS, TFLITE

ops = OpTable()

BLOCK_DTYPES = tuple(ir.DataType[name.upper()] for name in (*BLOCKS, "int16"))


def _reshaped(node: ir.Node) -> list[int] | None:
    """The static shape of a Reshape's result."""
    asked = const(node.inputs[1])
    known = asked is not None and bool((asked > 0).all())
    return asked.tolist() if known else shape_of(node.outputs[0])


def blocked(node: ir.Node) -> tuple[str, Any, list[Any]] | None:
    """SpaceToBatch or BatchToSpace, its input and block, where Reshape, Transpose and `node` are one."""
    turn = node.inputs[0].producer() if node.inputs[0] is not None else None
    cut = turn.inputs[0].producer() if turn is not None and turn.op_type == "Transpose" else None
    if cut is None or cut.op_type != "Reshape" or turn.domain or cut.domain:
        return None
    shapes = [shape_of(cut.inputs[0]), shape_of(cut.outputs[0]), _reshaped(node)]
    if any(s is None or 0 in s for s in shapes):
        return None
    before, between, after = shapes
    rank, perm = len(before), attr(turn, "perm")
    count = len(between) - rank
    if count not in (1, 2) or rank != count + 2 or len(after) != rank:
        return None
    pairs = list(range(1, 2 * count, 2))
    if perm == [*(i + 1 for i in pairs), 0, *pairs, 2 * count + 1]:
        block = [between[i + 1] for i in pairs]  # type: ignore[index]
        whole = [between[0], *(between[i] * b for i, b in zip(pairs, block, strict=True)), between[-1]]  # type: ignore[index]
        parts = [between[0] * math.prod(block), *(between[i] for i in pairs), between[-1]]  # type: ignore[index]
        return ("SpaceToBatch", cut.inputs[0], block) if (before, after) == (whole, parts) else None
    if perm == [count, *(v for i in range(count) for v in (count + 1 + i, i)), 2 * count + 1]:
        block, rest = between[:count], between[count:]  # type: ignore[index]
        whole = [rest[0], *(r * b for r, b in zip(rest[1:-1], block, strict=True)), rest[-1]]
        parts = [rest[0] * math.prod(block), *rest[1:]]
        return ("BatchToSpace", cut.inputs[0], block) if (before, after) == (parts, whole) else None
    return None


@ops.op(
    "Reshape", needs=(condition("blocks moved between space and batch", lambda n: blocked(n) is not None),)
)
def blocks(op, node, x, shape):
    word, source, block = blocked(node)
    if source.dtype not in BLOCK_DTYPES:
        return NotImplemented
    return op.node(
        word, source, _domain=TFLITE, _dtype=source.dtype, _shape=node.outputs[0].shape, block=block
    )
