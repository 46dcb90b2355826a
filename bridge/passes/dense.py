"""Dense layers over more than two dimensions, as frameworks spell them out, in one MatMul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of, shape_of
from bridge.passes.rewrite import replace

__all__ = ["Extent", "MergeFlattenedMatMul", "extents_of"]

Extent = int | tuple[ir.Value, int] | None


class MergeFlattenedMatMul(ir.passes.InPlacePass):
    """1. Reshape(MatMul(Reshape(x, [rows, k]), w), [leading dimensions of x, n]), with w of k rows and n
    columns, becomes MatMul(x, w): the rows are taken together and apart again for nothing."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in [model.graph, *model.graph.subgraphs()]:
            for node in list(graph):
                changed |= node.op_type == "Reshape" and not node.domain and _merged(graph, node)
        return ir.passes.PassResult(model, changed)


def _merged(graph: ir.Graph, last: ir.Node) -> bool:
    product = _producer(last.inputs[0], "MatMul")
    first = _producer(product.inputs[0], "Reshape") if product is not None else None
    if product is None or first is None:
        return False
    x, w = first.inputs[0], product.inputs[1]
    if x is None or x.shape is None or len(x.shape) < 3 or rank_of(w) != 2 or rank_of(product.inputs[0]) != 2:
        return False
    rows, columns = shape_of(w) or (None, None)
    if columns is None or x.shape[-1] != rows:
        return False
    wanted = extents_of(last.inputs[1])
    own: list[Extent] = [d if isinstance(d, int) else (x, n) for n, d in enumerate(x.shape)]
    if wanted is None or not _is_same_shape(wanted, [*own[:-1], columns], x):
        return False
    op = hub.Builder(graph, before=last, source=hub.origin(product))
    replace(graph, last, op.MatMul(x, w), op)
    return True


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type and not node.domain else None


def _is_same_shape(wanted: Sequence[Extent], own: Sequence[Extent], x: ir.Value) -> bool:
    """True if the lengths asked for are those there are; one -1 stands for the only one that is left."""
    if len(wanted) != len(own) or wanted.count(-1) > 1:
        return False
    return all(
        w == o or w == -1 or (isinstance(w, tuple) and w[0] is x and w[1] == n)
        for n, (w, o) in enumerate(zip(wanted, own, strict=True))
    )


def extents_of(value: ir.Value | None, depth: int = 8) -> list[Extent] | None:
    """Known entries of a shape: numbers, and dimensions of values; None where nothing is known."""
    known = const(value)
    if known is not None:
        return [int(d) for d in known.reshape(-1)] if known.dtype.kind in "iu" else None
    node = value.producer() if value is not None else None
    if node is None or node.domain or depth == 0 or not node.inputs:
        return None
    source = node.inputs[0]
    if node.op_type in ("Cast", "Identity", "Unsqueeze", "Reshape"):
        extents = extents_of(source, depth - 1)
        return extents if node.op_type != "Reshape" or rank_of(value) in (0, 1) else None
    if node.op_type == "Concat":
        pieces = [_piece(v, depth - 1) for v in node.inputs]
        return None if any(p is None for p in pieces) else [d for p in pieces for d in p or ()]
    if node.op_type == "Shape" and source is not None and source.shape is not None:
        dims: list[Extent] = [(source, n) for n in range(len(source.shape))]
        return dims[slice(attr(node, "start"), attr(node, "end"))]
    if node.op_type == "Gather" and rank_of(source) == 1:
        extents, indices = extents_of(source, depth - 1), const(node.inputs[1])
        if (
            extents is None
            or indices is None
            or (indices.size and np.abs(indices * 2 + 1).max() > 2 * len(extents))
        ):
            return None
        return [extents[int(n)] for n in indices.reshape(-1)]
    return None


def _piece(value: ir.Value | None, depth: int) -> list[Extent] | None:
    """Entries of a part of a shape; one that is not known is None."""
    return extents_of(value, depth) or ([None] if shape_of(value) == [1] else None)
