"""Encoders of categories and of missing values, column by column. A missing text is the empty one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, PartBuilder, Unwritten, cast

BOOL = int(ir.DataType.BOOL)


def is_missing(value: Any) -> bool:
    return value is None or value != value


def missing_mask(op: PartBuilder, column: ir.Value) -> ir.Value:
    if column.dtype == ir.DataType.STRING:
        return op.Equal(column, op.const(np.array([[""]], object)))
    return op.IsNaN(column)


def category_marks(op: PartBuilder, column: ir.Value, categories: Any) -> ir.Value:
    """1 in the column of the category a record has, [N, categories], in double. Raises Unwritten for
    categories that are both text and numbers, and for a text that stands for a missing one."""
    listed = list(categories)
    present = [c for c in listed if not is_missing(c)]
    if column.dtype == ir.DataType.STRING:
        if not all(isinstance(c, str) for c in present) or "" in present:
            raise Unwritten("its categories are not all text, or one of them is empty")
        marks = op.Equal(column, op.const(np.array([["" if is_missing(c) else c for c in listed]], object)))
        return op.Cast(marks, to=int(DOUBLE))
    numbers = cast(op, column, DOUBLE)
    if any(isinstance(c, str) for c in present):
        raise Unwritten("its categories are text where numbers are read")
    values = np.array([[0.0 if is_missing(c) else float(c) for c in listed]])
    marks = op.Equal(numbers, op.const(values))
    if len(present) == len(listed):
        return op.Cast(marks, to=int(DOUBLE))
    gaps = op.const(np.array([[is_missing(c) for c in listed]]))
    return op.Cast(op.Where(gaps, op.IsNaN(numbers), marks), to=int(DOUBLE))


def rare_places(src: Any, index: int) -> np.ndarray | None:
    """The place of each category where rare ones are put together, last; None where none are."""
    if not getattr(src, "_infrequent_enabled", False):
        return None
    mapping = src._default_to_infrequent_mappings[index]
    return None if mapping is None else np.asarray(mapping)


def one_hot_encoder(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """A column for each category, those without one left out and rare ones put together; missing where an
    unknown category is an error."""
    blocks = []
    for index, categories in enumerate(src.categories_):
        marks = category_marks(op, frame.column(index), categories)
        if src.handle_unknown == "error":
            known = op.Greater(op.ReduceSum(marks, np.array([1]), keepdims=1), op.const(np.array(0.5)))
            marks = op.Where(known, marks, op.const(np.array(np.nan)))
        rare = rare_places(src, index)
        places = np.arange(len(categories)) if rare is None else rare
        table = np.eye(int(places.max()) + 1)[places]
        if rare is not None:
            known = op.ReduceSum(marks, np.array([1]), keepdims=1)
            marks = op.MatMul(marks, op.const(table))
            if src.handle_unknown in ("infrequent_if_exist", "warn"):
                last = op.const(np.eye(table.shape[1])[-1:])
                marks = op.Add(marks, op.Mul(op.Sub(op.const(np.array(1.0)), known), last))
        dropped = None if src._drop_idx_after_grouping is None else src._drop_idx_after_grouping[index]
        if dropped is not None:
            kept = [i for i in range(table.shape[1]) if i != dropped]
            if not kept:
                continue
            marks = op.Gather(marks, np.array(kept, np.int64), axis=1)
        blocks.append(marks)
    return Frame(op, blocks)


def table_lookup(
    op: PartBuilder, column: ir.Value, categories: Any, values: np.ndarray, other: Any
) -> ir.Value:
    """The values [categories, C] of the category a record has, `other` [C] where it has none of them, [N, C].

    A value that is missing itself is set apart, since nothing times it is not zero.
    """
    marks = category_marks(op, column, categories)
    values, fallback = np.asarray(values, np.float64), np.asarray(other, np.float64).reshape(1, -1)
    half, gaps = op.const(np.array(0.5)), np.isnan(values)
    found = op.MatMul(marks, op.const(np.where(gaps, 0.0, values)))
    if gaps.any():
        lost = op.Greater(op.MatMul(marks, op.const(gaps.astype(np.float64))), half)
        found = op.Where(lost, op.const(np.array(np.nan)), found)
    known = op.Greater(op.ReduceSum(marks, np.array([1]), keepdims=1), half)
    return op.Where(known, found, op.const(fallback))


def ordinal_encoder(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The number of each category, what is said for missing and unknown ones."""
    blocks = []
    unknown = src.unknown_value if src.handle_unknown == "use_encoded_value" else np.nan
    for index, categories in enumerate(src.categories_):
        numbers = np.arange(len(categories), dtype=np.float64)
        rare = rare_places(src, index)
        if rare is not None:
            numbers = rare.astype(np.float64)
        for place in range(len(categories)):
            if is_missing(categories[place]):
                numbers[place] = src.encoded_missing_value
        blocks.append(table_lookup(op, frame.column(index), categories, numbers[:, None], unknown))
    return Frame(op, blocks)


def target_encoder(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The mean of the target by category, of several classes for each; that of all where it is unknown."""
    classes = len(src.classes_) if src.target_type_ == "multiclass" else 1
    means = np.asarray(src.target_mean_, np.float64).reshape(-1)
    blocks = []
    for index, categories in enumerate(src.categories_):
        tables = [src.encodings_[index * classes + c] for c in range(classes)]
        blocks.append(table_lookup(op, frame.column(index), categories, np.stack(tables, axis=1), means))
    return Frame(op, blocks)


def simple_imputer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The statistic of a column where it is missing; columns without one are left out; behind them whether
    each was missing."""
    blocks = []
    for index, value in enumerate(src.statistics_):
        column = frame.column(index)
        mask = replaced_mask(op, column, src.missing_values)
        text = column.dtype == ir.DataType.STRING
        if is_missing(value) and not src.keep_empty_features:
            continue
        filler = np.array([[value]], object if text else np.float64)
        column = column if text else cast(op, column, DOUBLE)
        blocks.append(op.Where(mask, op.const(filler), column))
    if src.add_indicator:
        blocks += indicators(op, src.indicator_, frame)
    return Frame(op, joined_numbers(op, blocks))


def joined_numbers(op: PartBuilder, blocks: list[ir.Value]) -> list[ir.Value]:
    if len(blocks) > 1 and all(b.dtype == DOUBLE for b in blocks):
        return [op.Concat(*blocks, axis=1)]
    return blocks


def replaced_mask(op: PartBuilder, column: ir.Value, replaced: Any) -> ir.Value:
    """Mask of the records that an imputer takes as missing."""
    if is_missing(replaced):
        return missing_mask(op, column)
    if isinstance(replaced, str) != (column.dtype == ir.DataType.STRING):
        raise Unwritten("what it takes as missing is of another kind than its columns")
    kind = object if isinstance(replaced, str) else np.float64
    column = column if isinstance(replaced, str) else cast(op, column, DOUBLE)
    return op.Equal(column, op.const(np.array([[replaced]], kind)))


def indicators(op: PartBuilder, src: Any, frame: Frame) -> list[ir.Value]:
    """1 where a column is missing, for the columns that were so when it was fitted."""
    marks = (replaced_mask(op, frame.column(int(i)), src.missing_values) for i in src.features_)
    return [op.Cast(mark, to=int(DOUBLE)) for mark in marks]


def missing_indicator(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    return Frame(op, joined_numbers(op, indicators(op, src, frame)))
