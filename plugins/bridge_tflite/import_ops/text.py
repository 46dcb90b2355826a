"""Words of text."""

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
LONGEST, MOST = 64, 4096


def grams(size: int, skip: int, shorter: bool) -> Iterator[tuple[int, ...]]:
    """Places of the words of each n-gram from its first word on, in LiteRT's order: a longer one before what it begins with."""

    def begin(taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(taken) < size:
            for gap in range(1, skip + 2):
                yield from begin((*taken, taken[-1] + gap))
        if shorter or len(taken) == size:
            yield taken

    return begin((0,))


def _few(node: Any) -> bool:
    size, wide = node.get("ngramSize", 0), node.get("maxSkipSize", 0) + 1
    return 0 < size <= LONGEST and wide > 0 and sum(wide**taken for taken in range(size)) <= MOST


@ops.op(
    "SKIP_GRAM",
    needs=(
        condition("one text", lambda n: n.shape(0) in ([1], [])),
        condition(
            f"an ngram_size of 1 to {LONGEST} and at most {MOST} n-grams that begin with one word", _few
        ),
    ),
)
def skip_gram(op, node, x):
    """Words that follow one another with at most max_skip_size between them, joined by blanks; none of fewer words than ngram_size."""
    size = node.get("ngramSize", 0)
    found = list(grams(size, node.get("maxSkipSize", 0), node.get("includeAllNgrams", False)))
    places = np.array([[*taken, *[taken[-1]] * (size - len(taken))] for taken in found])
    words = _words(op, op.Reshape(x, ints(1)))
    count = op.Size(words)
    starts = op.Range(np.int64(0), count, np.int64(1))
    ends = op.Add(op.Unsqueeze(starts, ints(1)), op.const(places[:, -1]))
    whole = op.And(op.Less(ends, count), op.GreaterOrEqual(count, np.int64(size)))
    start, gram = op.Split(op.NonZero(whole), axis=0, num_outputs=2, _outputs=2)
    start, gram = op.Reshape(start, ints(-1)), op.Reshape(gram, ints(-1))
    text = op.Gather(words, start)
    for place in range(1, size):
        word = op.Gather(words, op.Add(start, op.Gather(op.const(places[:, place]), gram)))
        longer = op.const(np.array([len(taken) > place for taken in found]))
        text = op.Where(op.Gather(longer, gram), op.StringConcat(op.StringConcat(text, " "), word), text)
    return text


def _words(op: Any, x: Any) -> Any:
    """The words of one text as LiteRT finds them: a gap that begins the text hides the word right after it, unless there is no other gap."""
    pieces = x
    for gap in GAPS:
        pieces, _ = op.StringSplit(pieces, delimiter=gap, _outputs=2)
    pieces = op.Reshape(pieces, ints(-1))
    kept = op.Reshape(op.NonZero(op.Not(op.Equal(pieces, op.const(np.array("", object))))), ints(-1))
    words = op.Concat(x, op.Gather(pieces, kept), axis=0)
    hidden = op.RegexFullMatch(x, pattern=f"[{GAPS}][^{GAPS}](.|\\n)*")
    alone = op.RegexFullMatch(x, pattern=f"[{GAPS}][^{GAPS}]*")
    first = op.Where(alone, ints(0), op.Add(op.Cast(hidden, to=INT64), np.int64(1)))
    return op.Slice(words, first, op.Where(alone, ints(1), op.Shape(words)))
