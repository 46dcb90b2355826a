"""Contractions that are matrix products."""

from __future__ import annotations

import re

import onnx_ir as ir

from bridge.hub import Builder, attr
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["RaiseContractions"]

PRODUCT = re.compile(r"([A-Za-z]{2,}),([A-Za-z]{2,})->([A-Za-z]{2,})")

ops = OpTable()


class RaiseContractions(Rewrite):
    """1. An Einsum of two operands that share their first letters with the result, and are matrices in the
    last two, is a MatMul, of transposed operands where the letters are the other way round.
    """

    precedes = ("ChannelsLast", "Decompose")

    def __init__(self) -> None:
        super().__init__(ops)


@ops.op("Einsum")
def einsum(op, node, *operands):
    terms = PRODUCT.fullmatch(attr(node, "equation").replace(" ", ""))
    if terms is None or len(operands) != 2:
        return NotImplemented
    (left, right, result), (a, b) = terms.groups(), operands
    batch, (row, column) = result[:-2], result[-2:]
    if row in right and column in left:
        left, right, a, b = right, left, b, a
    inner = next((letter for letter in left if letter not in result), "")
    first, second = batch + row + inner, batch + inner + column
    distinct = len(set(batch + row + column + inner)) == len(batch) + 3
    if not (distinct and _is_turned(left, first) and _is_turned(right, second)):
        return NotImplemented
    sizes = {x.shape[term.index(inner)] for x, term in ((a, left), (b, right)) if x.shape is not None}
    if len(sizes) > 1 and (1 in sizes or all(isinstance(size, int) for size in sizes)):
        return NotImplemented
    return op.MatMul(_turned(op, a, left, first), _turned(op, b, right, second))


def _is_turned(term: str, matrix: str) -> bool:
    return term in (matrix, matrix[:-2] + matrix[:-3:-1])


def _turned(op: Builder, x: ir.Value, term: str, matrix: str) -> ir.Value:
    if term == matrix:
        return x
    last = len(term) - 1
    return op.Transpose(x, perm=[*range(last - 1), last, last - 1])
