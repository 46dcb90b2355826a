"""Skip-grams of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import INT64

ops = OpTable()

GAPS = " \t\n\v\f\r"
LONGEST_GRAM, MOST_GRAMS = 64, 4096


def word_offsets(size: int, skip: int, shorter: bool) -> Iterator[tuple[int, ...]]:
    """Offsets of the words of each n-gram from its first word, in LiteRT's order: longer n-grams before their
    prefixes."""

    def begin(offsets: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(offsets) < size:
            for gap in range(1, skip + 2):
                yield from begin((*offsets, offsets[-1] + gap))
        if shorter or len(offsets) == size:
            yield offsets

    return begin((0,))


def _has_few_grams(node: Any) -> bool:
    size, wide = node.get("ngramSize", 0), node.get("maxSkipSize", 0) + 1
    return 0 < size <= LONGEST_GRAM and wide > 0 and sum(wide**words for words in range(size)) <= MOST_GRAMS


@ops.op(
    "SKIP_GRAM",
    needs=(
        condition("one text", lambda n: n.shape(0) in ([1], [])),
        condition(
            f"an ngram_size of 1 to {LONGEST_GRAM} and at most {MOST_GRAMS} n-grams that begin with one word",
            _has_few_grams,
        ),
    ),
)
def skip_gram(op, node, x):
    """N-grams with at most `maxSkipSize` words skipped between their words, joined by blanks.

    A text of fewer words than `ngramSize` has none.
    """
    size = node.get("ngramSize", 0)
    ngrams = list(word_offsets(size, node.get("maxSkipSize", 0), node.get("includeAllNgrams", False)))
    offsets = np.array([[*ngram, *[ngram[-1]] * (size - len(ngram))] for ngram in ngrams])
    words = _split_words(op, op.Reshape(x, ints(1)))
    count = op.Size(words)
    starts = op.Range(np.int64(0), count, np.int64(1))
    ends = op.Add(op.Unsqueeze(starts, ints(1)), op.const(offsets[:, -1]))
    complete = op.And(op.Less(ends, count), op.GreaterOrEqual(count, np.int64(size)))
    start, gram = op.Split(op.NonZero(complete), axis=0, num_outputs=2, _outputs=2)
    start, gram = op.Reshape(start, ints(-1)), op.Reshape(gram, ints(-1))
    text = op.Gather(words, start)
    for position in range(1, size):
        word = op.Gather(words, op.Add(start, op.Gather(op.const(offsets[:, position]), gram)))
        longer = op.const(np.array([len(ngram) > position for ngram in ngrams]))
        text = op.Where(op.Gather(longer, gram), op.StringConcat(op.StringConcat(text, " "), word), text)
    return text


def _split_words(op: Any, x: Any) -> Any:
    """Words of one text as LiteRT splits it.

    A gap at the beginning hides the word after it, unless there is no other gap.
    """
    pieces = x
    for gap in GAPS:
        pieces, _ = op.StringSplit(pieces, delimiter=gap, _outputs=2)
    pieces = op.Reshape(pieces, ints(-1))
    non_empty = op.Reshape(op.NonZero(op.Not(op.Equal(pieces, op.const(np.array("", object))))), ints(-1))
    words = op.Concat(x, op.Gather(pieces, non_empty), axis=0)
    hidden = op.RegexFullMatch(x, pattern=f"[{GAPS}][^{GAPS}](.|\\n)*")
    alone = op.RegexFullMatch(x, pattern=f"[{GAPS}][^{GAPS}]*")
    first = op.Where(alone, ints(0), op.Add(op.Cast(hidden, to=INT64), np.int64(1)))
    return op.Slice(words, first, op.Where(alone, ints(1), op.Shape(words)))
