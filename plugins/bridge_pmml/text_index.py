"""TextIndex: words counted in text, as far as tensor operators of strings can."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.errors import UnsupportedModel
from bridge.report import Blocker
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, children, column, describe, flag, inline_table, number
from bridge_pmml.reader import text as attribute
from bridge_pmml.values import DOUBLE, Columns, Val, logical_not

WEIGHTS = ("termFrequency", "binary", "logarithmic")
LONGEST = 20_000
ROUNDS = 100


def refuse_expression(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("An expression cannot be read:", [Blocker(node.tag, describe(node), "", why)])


def count_hits(scope: Scope, node: Element, term: Any) -> Val:
    """TextIndex: number of places where the words of `term`, a constant, follow one another in a text.

    Punctuation around words does not count. A maximum Levenshtein distance is that of all the words together;
    with countHits="bestHits" hits of the smallest distance alone count.
    """
    columns, op = scope.columns, scope.columns.op
    weighting = node.get("localTermWeights", "termFrequency")
    if weighting not in WEIGHTS:
        raise refuse_expression(
            node, f"weighs a term by {weighting}, for which all other terms are counted too"
        )
    if not flag(node, "tokenize", True):
        raise refuse_expression(node, "looks for a term in text that is not parted into words")
    words = [strip_punctuation(w) for w in str(columns.constant_value(term) or "").split()]
    if not words or not all(words):
        raise refuse_expression(node, "counts a term that is no constant")
    val, matcher = scope.get(attribute(node, "textField")), Matcher.of(node, words)
    tokens = split_words(scope, node, columns.to_text(val).tensor, len(words))
    axes = np.arange(2, len(tokens.shape))
    total: Any = None
    for index, word in enumerate(words):
        distance = matcher.distance(columns, tokens, word)
        ends = [-(len(words) - 1 - index)] if index + 1 < len(words) else [2**62]
        distance = op.Slice(distance, [index], ends, [2]) if len(words) > 1 else distance
        total = distance if total is None else op.Add(total, distance)
    count: Any = None
    for limit in range(matcher.edits, -1, -1):
        hits = op.Cast(op.LessOrEqual(total, op.const(np.array(float(limit)))), to=DOUBLE)
        count_at_limit = op.ReduceSum(hits, axes, keepdims=0)
        best = count is not None and matcher.best
        if count is None or best:
            count = (
                op.Where(op.Greater(count_at_limit, columns.scalar(0.0)), count_at_limit, count)
                if best
                else count_at_limit
            )
    if weighting == "binary":
        count = op.Cast(op.Greater(count, columns.scalar(0.0)), to=DOUBLE)
    elif weighting == "logarithmic":
        logged = op.Log(op.Add(columns.scalar(1.0), count))
        count = op.Mul(logged, columns.scalar(1 / np.log(10)))
    data_type = "integer" if weighting != "logarithmic" else "double"
    return columns.blank(columns.number(count, data_type), logical_not(columns.missing(val), op))


def strip_punctuation(word: str) -> str:
    """A word without the punctuation around it."""
    inner = [i for i, c in enumerate(word) if not unicodedata.category(c).startswith("P")]
    return word[inner[0] : inner[-1] + 1] if inner else ""


def split_words(scope: Scope, node: Element, tokens: Any, count: int) -> Any:
    """The words of a text, [N, 1, words], or with more axes where several characters part them.

    A phrase of `count` words needs one separator, or white space.
    """
    op, pattern = scope.columns.op, node.get("wordSeparatorCharacterRE", r"\s+")
    separators = separator_characters(pattern)
    if separators is None:
        raise refuse_expression(node, f"parts words by {pattern}, which is no set of characters")
    if count > 1 and (len(separators) > 1 or pattern not in (r"\s+", *(re.escape(s) for s in separators))):
        raise refuse_expression(node, f"counts a phrase in words parted by {pattern}")
    for character in sorted(separators, reverse=True):
        options = {} if character.isspace() else {"delimiter": character}
        tokens = op.StringSplit(tokens, _outputs=2, **options)[0]
    return tokens


def separator_characters(pattern: str) -> set[str] | None:
    """The characters of a regular expression that is one of them, or a set; white space is " ". None for
    others."""
    inner = pattern.removesuffix("+")
    if len(inner) > 2 and inner[0] == "[" and inner[-1] == "]" and inner[1] != "^":
        inner = inner[1:-1]
    elif len(inner) > 1 and not inner.startswith("\\"):
        return None
    parts = re.findall(r"\\.|[^\\]", inner, re.DOTALL)
    characters = set()
    for index, part in enumerate(parts):
        if part == r"\s":
            characters.add(" ")
        elif len(part) == 2 and not part[1].isalnum():
            characters.add(part[1])
        elif (
            len(part) == 1
            and (len(parts) > 1 or part not in ".^$*?()|{[")
            and not (part == "-" and 0 < index < len(parts) - 1)
        ):
            characters.add(part)
        else:
            return None
    blanks = any(c.isspace() for c in characters)
    if blanks and r"\s" not in parts:
        return None
    return characters or None


@dataclass(frozen=True)
class Matcher:
    """Comparison of words: case sensitivity, number of edits, and normalizations."""

    folds: bool
    edits: int
    best: bool
    stems: tuple[tuple[dict[str, str], bool], ...]

    @classmethod
    def of(cls, node: Element, words: list[str]) -> Matcher:
        folds, edits = not flag(node, "isCaseSensitive"), int(number(node, "maxLevenshteinDistance", 0.0))
        stems = tuple(normalization(each, folds) for each in children(node, "TextIndexNormalization"))
        if edits and stems:
            raise refuse_expression(node, "compares normalized words by their distance")
        if edits and any(unicodedata.category(c).startswith("P") for w in words for c in w):
            raise refuse_expression(node, "compares words with punctuation inside by their distance")
        return cls(folds, edits, node.get("countHits", "allHits") == "bestHits", stems)

    def distance(self, columns: Columns, tokens: Any, word: str) -> Any:
        """Edit distance of each token from a word, double; at most one above the edits allowed."""
        op, total = columns.op, None
        for edits in range(self.edits + 1):
            pattern = "|".join(edit_pattern(w, edits) for w in self.sources(word)) or r"[^\s\S]"
            if len(pattern) > LONGEST:
                raise UnsupportedModel(
                    "An expression cannot be read:",
                    [Blocker("TextIndex", word, "", f"allows {edits} edits of a word so long")],
                )
            mode = "(?is)" if self.folds else "(?s)"
            hit = op.RegexFullMatch(tokens, pattern=rf"{mode}\pP*(?:{pattern})\pP*")
            off = op.Cast(op.Not(hit), to=DOUBLE)
            total = off if total is None else op.Add(total, off)
        if self.edits >= len(word):
            empty = op.RegexFullMatch(tokens, pattern=r"\pP*")
            total = op.Where(empty, op.const(np.array(self.edits + 1.0)), total)
        return total

    def sources(self, word: str) -> list[str]:
        """The words that are normalized to `word`."""
        word = word.lower() if self.folds else word
        listed = dict.fromkeys([word, *(w for table, _ in self.stems for w in table)])
        return [w for w in listed if self.normalize_word(w) == word]

    def normalize_word(self, word: str) -> str:
        for stems, recursive in self.stems:
            for _ in range(ROUNDS if recursive else 1):
                before = word
                for old, new in stems.items():
                    word = new if word == old else word
                if word == before:
                    break
        return word


def normalization(node: Element, folds: bool) -> tuple[dict[str, str], bool]:
    """Replacements of a TextIndexNormalization, word by word, and whether it repeats until nothing
    changes."""
    names = [
        column(node, a, d) for a, d in (("inField", "string"), ("outField", "stem"), ("regexField", "regex"))
    ]
    if flag(node, "isCaseSensitive", not folds) == folds or number(node, "maxLevenshteinDistance", 0.0):
        raise refuse_expression(node, "compares words in another way than its TextIndex")
    replacements = {}
    for row in inline_table(node):
        old, new, regex = (row.get(name, "") for name in names)
        if regex.strip().lower() in ("true", "1"):
            raise refuse_expression(node, "replaces by regular expressions, which no tensor operator does")
        if not (
            old
            and strip_punctuation(old) == old
            and strip_punctuation(new) == new
            and len(old.split()) == len(new.split()) == 1
        ):
            raise refuse_expression(node, "replaces phrases, and not one word by another")
        replacements[old.lower() if folds else old] = new.lower() if folds else new
    return replacements, flag(node, "recursive")


def edit_pattern(word: str, edits: int) -> str:
    """A regular expression of the words that so many insertions, deletions and substitutions make of this
    one."""
    patterns: dict[tuple[int, int], str] = {}
    for left in range(edits + 1):
        for position in range(len(word), -1, -1):
            alternatives = (
                [re.escape(word[position]) + patterns[position + 1, left]] if position < len(word) else [""]
            )
            if left:
                alternatives.append("." + patterns[position, left - 1])
            if left and position < len(word):
                alternatives += ["." + patterns[position + 1, left - 1], patterns[position + 1, left - 1]]
            patterns[position, left] = (
                alternatives[0] if len(alternatives) == 1 else f"(?:{'|'.join(alternatives)})"
            )
            if len(patterns[position, left]) > LONGEST:
                return patterns[position, left]
    return patterns[0, edits]
