"""N-grams of words, row by row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.sparse_ragged import row_coordinates, row_lengths, row_splits
from bridge_savedmodel.values import tensor_of

ops = OpTable()

WHOLE = condition("preserve_short_sequences=False", lambda n: not n.get("preserve_short_sequences"))


def _words(op: Any, *words: str) -> Any:
    return op.const(tensor_of(np.array(words, object)))


@ops.op("StringNGrams", needs=(WHOLE,))
def ngrams(op, node, words, splits):
    """N-grams of each row, sorted by width within the row."""
    begins, lengths = as_int64(op, splits), row_lengths(op, as_int64(op, splits))
    table = op.Concat(words, _words(op, node.get("left_pad"), node.get("right_pad")), axis=0)
    counts, grams, positions = [], [], []
    for width in node.get("ngram_widths"):
        pad_width = node.get("pad_width")
        pad = min(pad_width, width - 1) if pad_width >= 0 else width - 1
        count = op.Max(op.Add(lengths, ints(2 * pad - width + 1)), ints(0))
        rows, nth = row_coordinates(op, row_splits(op, count))
        grams.append(
            _join_words(
                op,
                node.get("separator"),
                width,
                nth,
                pad,
                table,
                *(op.Gather(v, rows, axis=0) for v in (begins, lengths)),
            )
        )
        positions.append((rows, nth))
        counts.append(count)
    new_splits = row_splits(op, functools.reduce(op.Add, counts))
    offsets, targets = new_splits, []
    for (rows, nth), count in zip(positions, counts, strict=True):
        targets.append(op.Add(op.Gather(offsets, rows, axis=0), nth))
        offsets = op.Add(offsets, op.Concat(count, ints(0), axis=0))
    all_grams, target = (op.Concat(*v, axis=0) if len(v) > 1 else v[0] for v in (grams, targets))
    order = op.TopK(target, op.Shape(target), largest=0, _outputs=2)[1]
    return op.Gather(all_grams, order, axis=0), as_dtype(op, new_splits, node.get("Tsplits"))


def _join_words(
    op: Any, separator: str, width: int, nth: Any, pad: int, table: Any, begins: Any, lengths: Any
) -> Any:
    """N-grams that begin at word `nth` of rows with these begins and lengths, padded on both sides."""
    left, right = (op.Add(op.Shape(table), ints(n)) for n in (-2, -1))
    joined: Any = None
    for step in range(width):
        position = op.Add(nth, ints(step - pad))
        index = op.Where(
            op.Less(position, ints(0)),
            left,
            op.Where(op.Less(position, lengths), op.Add(begins, position), right),
        )
        word = op.Gather(table, index, axis=0)
        separated = word if joined is None or not separator else op.StringConcat(_words(op, separator), word)
        joined = word if joined is None else op.StringConcat(joined, separated)
    return joined
