"""Fourier transforms as ONNX Runtime computes them right."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import const, input_at
from bridge.passes.decompose import DECOMPOSITIONS
from bridge.passes.rewrite import Rewrite

__all__ = ["ProductTransforms"]

LONGEST = 512


class ProductTransforms(Rewrite):
    """1. A DFT or STFT of a known length that is no power of two, up to 512, is a product with the matrix of
    the roots of unity.

    ONNX Runtime 1.31 multiplies roots up as it goes: of 200 elements the result is 5e-5 of the largest off,
    and takes ten times as long as the product.
    """

    def __init__(self) -> None:
        super().__init__(DECOMPOSITIONS, keep=lambda node: not _is_rounded(node))


def _is_rounded(node: ir.Node) -> bool:
    length = {"DFT": _transformed, "STFT": _frame}.get(node.op_type, lambda n: None)(node)
    return node.domain == "" and length is not None and length <= LONGEST and bool(length & (length - 1))


def _transformed(node: ir.Node) -> int | None:
    """The length of a DFT; None where it is not known."""
    x, axis = node.inputs[0], input_at(node, 2)
    if input_at(node, 1) is not None:
        return _number(input_at(node, 1))
    at = -2 if axis is None else _number(axis)
    return None if at is None else _side(x, at)


def _frame(node: ir.Node) -> int | None:
    window, length = input_at(node, 2), input_at(node, 3)
    return _side(window, 0) if length is None else _number(length)


def _number(value: ir.Value | None) -> int | None:
    array = const(value)
    return None if array is None else int(array.item())


def _side(value: ir.Value | None, axis: int) -> int | None:
    size = None if value is None or value.shape is None else value.shape[axis]
    return size if isinstance(size, int) else None
