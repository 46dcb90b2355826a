"""Words joined to n-grams, row by row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.ragged import ends_of, lengths_of, rows_of
from bridge_savedmodel.values import tensor_of

ops = OpTable()

WHOLE = condition("preserve_short_sequences=False", lambda n: not n.get("preserve_short_sequences"))


def _word(op: Any, *words: str) -> Any:
    return op.const(tensor_of(np.array(words, object)))


@ops.op("StringNGrams", needs=(WHOLE,))
def ngrams(op, node, words, splits):
    """All of one row, width by width, before those of the next."""
    begins, lengths = as_int64(op, splits), lengths_of(op, as_int64(op, splits))
    table = op.Concat(words, _word(op, node.get("left_pad"), node.get("right_pad")), axis=0)
    counts, made, places = [], [], []
    for width in node.get("ngram_widths"):
        asked = node.get("pad_width")
        pad = min(asked, width - 1) if asked >= 0 else width - 1
        count = op.Max(op.Add(lengths, ints(2 * pad - width + 1)), ints(0))
        rows, nth = rows_of(op, ends_of(op, count))
        made.append(
            _joined(
                op,
                node.get("separator"),
                width,
                nth,
                pad,
                table,
                *(op.Gather(v, rows, axis=0) for v in (begins, lengths)),
            )
        )
        places.append((rows, nth))
        counts.append(count)
    ends = ends_of(op, functools.reduce(op.Add, counts))
    before, slots = ends, []
    for (rows, nth), count in zip(places, counts, strict=True):
        slots.append(op.Add(op.Gather(before, rows, axis=0), nth))
        before = op.Add(before, op.Concat(count, ints(0), axis=0))
    whole, slot = (op.Concat(*v, axis=0) if len(v) > 1 else v[0] for v in (made, slots))
    order = op.TopK(slot, op.Shape(slot), largest=0, _outputs=2)[1]
    return op.Gather(whole, order, axis=0), as_dtype(op, ends, node.get("Tsplits"))


def _joined(
    op: Any, separator: str, width: int, nth: Any, pad: int, table: Any, begins: Any, lengths: Any
) -> Any:
    """The words from the `nth` on of rows that begin and are as long as given, padded on both sides."""
    left, right = (op.Add(op.Shape(table), ints(n)) for n in (-2, -1))
    made: Any = None
    for step in range(width):
        at = op.Add(nth, ints(step - pad))
        place = op.Where(
            op.Less(at, ints(0)), left, op.Where(op.Less(at, lengths), op.Add(begins, at), right)
        )
        word = op.Gather(table, place, axis=0)
        joint = word if made is None or not separator else op.StringConcat(_word(op, separator), word)
        made = word if made is None else op.StringConcat(made, joint)
    return made
