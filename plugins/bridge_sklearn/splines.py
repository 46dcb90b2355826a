"""Bases of splines: a polynomial between each two knots."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, PartBuilder, Unwritten, cast, mark_decisive


def spline_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Values of the basis splines, each column's side by side."""
    blocks = [basis(op, src, spline, frame.column(i)) for i, spline in enumerate(src.bsplines_)]
    if not src.include_bias:
        kept = np.arange(src.bsplines_[0].c.shape[1] - 1)
        blocks = [op.Gather(block, kept, axis=1) for block in blocks]
    return Frame(op, blocks)


def basis(op: PartBuilder, src: Any, spline: Any, x: ir.Value) -> ir.Value:
    """The basis of one column, [N, splines]: in each interval the sum of the powers of the way into it."""
    from scipy.interpolate import PPoly

    degree, missing = src.degree, None
    if src.handle_missing == "zeros":
        missing = op.IsNaN(x)
        x = op.Where(missing, op.const(np.array([[float(spline.t[degree])]])), x)
    low, high = float(spline.t[degree]), float(spline.t[-degree - 1])
    if src.extrapolation == "periodic":
        span = op.const(np.array([[high - low]]))
        first = op.const(np.array([[low]]))
        rest = op.Mod(op.Sub(x, first), span, fmod=1)
        rest = op.Where(op.Less(rest, op.const(np.array([[0.0]]))), op.Add(rest, span), rest)
        x = op.Add(first, rest)
    elif src.extrapolation not in ("constant", "linear", "continue", "error"):
        raise Unwritten(f"its extrapolation is {src.extrapolation}")
    inner = x
    if src.extrapolation in ("constant", "linear"):
        first, last = op.const(np.array([[low]])), op.const(np.array([[high]]))
        inner = op.Where(op.Less(x, first), first, op.Where(op.Greater(x, last), last, x))
    pieces = [PPoly.from_spline((spline.t, each, spline.k)) for each in spline.c.T]
    starts = np.asarray(spline.t[degree : len(spline.t) - degree], np.float64)
    weights = np.stack([each.c[:, degree : len(spline.t) - 1 - degree] for each in pieces], axis=2)
    result = piecewise(op, inner, starts, weights)
    if src.extrapolation == "linear":
        result = op.Add(result, beyond(op, spline, x, inner, low, high))
    return result if missing is None else op.Where(missing, op.const(np.array([[0.0]])), result)


def piecewise(op: PartBuilder, x: ir.Value, starts: np.ndarray, weights: np.ndarray) -> ir.Value:
    """Polynomials [powers, intervals, splines], highest power first, of the way into the interval a record is
    in; the first and the last one go on beyond."""
    inside = intervals(op, x, starts, "GreaterOrEqual")
    way = op.Sub(x, op.MatMul(inside, op.const(starts[:-1, None])))
    result = op.MatMul(inside, op.const(np.ascontiguousarray(weights[0])))
    for power in weights[1:]:
        result = op.Add(op.Mul(result, way), op.MatMul(inside, op.const(np.ascontiguousarray(power))))
    return result


def intervals(op: PartBuilder, x: ir.Value, starts: np.ndarray, reached: str) -> ir.Value:
    """A 1 in the interval a record is in, [N, intervals]; an operator tells whether it has reached one."""
    marks = np.eye(len(starts) - 1)
    inside = op.const(marks[:1])
    if len(starts) > 2:
        passed = op.Cast(op.node(reached, x, op.const(starts[None, 1:-1])), to=int(DOUBLE))
        inside = op.Add(op.MatMul(passed, op.const(marks[1:] - marks[:-1])), inside)
    return inside


def beyond(op: PartBuilder, spline: Any, x: ir.Value, inner: ir.Value, low: float, high: float) -> ir.Value:
    """The slope at the ends times the way beyond them."""
    zero = op.const(np.array([[0.0]]))
    gap = op.Sub(x, inner)
    first = op.MatMul(op.Min(gap, zero), op.const(np.asarray(spline(low, nu=1), np.float64)[None]))
    last = op.MatMul(op.Max(gap, zero), op.const(np.asarray(spline(high, nu=1), np.float64)[None]))
    return op.Add(first, last)


def quantile_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The share of the training records below a number, column by column. Raises Unwritten for a normal
    distribution, whose quantiles ONNX has no operator for."""
    if src.output_distribution != "uniform":
        raise Unwritten("it makes a normal distribution, for whose quantiles ONNX has no operator")
    references = np.asarray(src.references_, np.float64)
    columns = range(src.quantiles_.shape[1])
    return Frame(op, [share(op, src.quantiles_[:, i], references, frame.column(i)) for i in columns])


def share(op: PartBuilder, quantiles: np.ndarray, references: np.ndarray, x: ir.Value) -> ir.Value:
    """The line between the references of two quantiles; at one that several share, the middle of theirs; 0 at
    the first of all and 1 at the last."""
    points, first, counts = np.unique(quantiles, return_index=True, return_counts=True)
    low, high = references[first], references[first + counts - 1]
    x = cast(op, x, DOUBLE)
    ends = [op.const(np.array([[float(end)]])) for end in (points[0], points[-1])]
    at = (low + high) / 2
    at[-1], at[0] = 1.0, 0.0
    if len(points) == 1:
        below = op.Less(x, ends[0])
        line = op.Where(below, op.const(low[:1, None]), op.const(high[:1, None]))
    else:
        inner = op.Where(op.Less(x, ends[0]), ends[0], op.Where(op.Greater(x, ends[1]), ends[1], x))
        slopes = (low[1:] - high[:-1]) / np.diff(points)
        line = piecewise(op, inner, points, np.stack([slopes[:, None], high[:-1, None]]))
        line = op.Where(op.Greater(x, ends[1]), op.const(high[-1:, None]), line)
        line = op.Where(op.Less(x, ends[0]), op.const(low[:1, None]), line)
    told = np.flatnonzero((counts > 1) | (np.arange(len(points)) % max(len(points) - 1, 1) == 0))
    equal = op.Equal(x, op.const(points[None, told]))
    if (counts > 1).any():
        mark_decisive(equal.producer())
    marks = op.Cast(equal, to=int(DOUBLE))
    hit = op.Greater(op.ReduceSum(marks, np.array([1]), keepdims=1), op.const(np.array(0.5)))
    line = op.Where(hit, op.MatMul(marks, op.const(at[told, None])), line)
    return op.Where(op.Equal(x, x), line, x)
