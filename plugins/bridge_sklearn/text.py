"""Vectorizers: terms counted in documents, and weighed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bridge.terms import BREAK, Terms, count_terms
from bridge_sklearn.columns import inner_models
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import PartBuilder, Unwritten

VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
ITEM = r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[wdsWDS]|\.|[^\\.\[\](){}*+?|^$]"
COUNT = r"\+|\*|\{\d+,?\d*\}"
PATTERN = re.compile(rf"(?:\(\?u\))?(?P<start>\\b)?(?P<items>(?:(?:{ITEM})(?:{COUNT})?)+)(?P<end>\\b)?")
WORD = r"\w"


def reads_documents(src: Any) -> bool:
    """True for a model whose records are texts, one each."""
    if type(src).__name__ in VECTORIZERS:
        return True
    if hasattr(src, "steps"):
        return reads_documents(src.steps[0][1])
    parts = [step for _, step in getattr(src, "transformer_list", [])] or inner_models(src)
    return any(map(reads_documents, parts))


def characters(src: Any) -> tuple[str, int]:
    """The set of characters of tokens, and how many at least. Raises Unwritten for tokens that are no longest
    runs of one set."""
    if src.tokenizer is not None:
        if src.tokenizer is not str.split:
            raise Unwritten("its tokenizer is a function of its own")
        return r"\S", 1
    pattern = src.token_pattern
    match = PATTERN.fullmatch(pattern)
    refusal = Unwritten(f"it parts text by {pattern!r}, which is not runs of characters of one set")
    parts = re.findall(rf"({ITEM})({COUNT})?", match["items"]) if match else []
    if match is None or bool(match["start"]) != bool(match["end"]) or len({item for item, _ in parts}) != 1:
        raise refusal
    counts = [limits(count) for _, count in parts]
    least, most = sum(low for low, _ in counts), sum(high for _, high in counts)
    if most != np.inf or not least:
        raise refusal
    if match["start"] and parts[0][0] != WORD:
        if src.ngram_range[1] > 1 or not re.fullmatch(r"\[[\w-]+\]|\\d", parts[0][0], re.ASCII):
            raise refusal
        return WORD, 1
    return parts[0][0], least


def limits(count: str) -> tuple[int, float]:
    """Least and most repetitions, for a quantifier."""
    if count in ("+", "*"):
        return int(count == "+"), np.inf
    low, comma, high = count.strip("{}").partition(",")
    return (int(low), float(high) if high else np.inf if comma else int(low)) if count else (1, 1)


def terms_of(src: Any) -> Terms:
    """Terms a fitted vectorizer counts. Raises Unwritten for what is a function of its own."""
    if src.preprocessor is not None or callable(src.analyzer):
        raise Unwritten("its preprocessor or analyzer is a function of its own")
    if src.strip_accents is not None:
        raise Unwritten("it strips accents, for which ONNX has no operator")
    if src.input != "content":
        raise Unwritten("it reads files")
    chars, shortest = characters(src) if src.analyzer == "word" else (".", 1)
    listed = sorted(src.vocabulary_, key=src.vocabulary_.__getitem__)
    stops = tuple(sorted(src.get_stop_words() or ())) if src.analyzer == "word" else ()
    low, high = src.ngram_range
    occurs = in_words(src, stops) if src.analyzer == "word" else in_characters(src)
    if src.analyzer == "word" and high > 1 and re.fullmatch(chars, " "):
        raise Unwritten("it counts phrases of words that have blanks inside")
    terms = tuple(t if occurs(t) else f"{BREAK}{i}" for i, t in enumerate(listed))
    return Terms(terms, src.analyzer, bool(src.lowercase), chars, shortest, stops, int(low), int(high))


def in_words(src: Any, stops: tuple[str, ...]) -> Any:
    """True if a term can be met, which words of a vocabulary that is given may never be."""
    low, high = src.ngram_range
    token = re.compile(src.token_pattern if src.tokenizer is None else r"\S+")

    def occurs(term: str) -> bool:
        words = [term] if high == 1 else term.split(" ")
        return low <= len(words) <= high and all(token.fullmatch(w) and w not in stops for w in words)

    return occurs


def in_characters(src: Any) -> Any:
    low, high = src.ngram_range

    def occurs(term: str) -> bool:
        whole = src.analyzer == "char_wb" and len(term) > 2 and term[0] == term[-1] == " "
        return len(term) <= high and (len(term) >= low or whole)

    return occurs


def hashing_vectorizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    raise Unwritten("it hashes terms, for which ONNX has no operator; a CountVectorizer knows them")


def count_vectorizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    counts = count_terms(op, op.functions, frame.column(0), terms_of(src))
    return Frame(op, [op.Min(counts, op.const(np.array(1.0))) if src.binary else counts])


def tfidf_vectorizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    return tfidf_transformer(op, src._tfidf, count_vectorizer(op, src, frame))


def tfidf_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Counts, or one more than their logarithms, times the weight of each term, of one length."""
    x, zero = frame.matrix(), op.const(np.array(0.0))
    if src.sublinear_tf:
        some = op.Greater(x, zero)
        logs = op.Log(op.Where(some, x, op.const(np.array(1.0))))
        x = op.Where(some, op.Add(logs, op.const(np.array(1.0))), zero)
    if src.use_idf:
        x = op.Mul(x, op.const(np.asarray(src.idf_, np.float64).reshape(1, -1)))
    return Frame(op, [x if src.norm is None else of_norm(op, x, src.norm)])


def normalizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    return Frame(op, [of_norm(op, frame.matrix(), src.norm)])


def of_norm(op: PartBuilder, x: Any, norm: str) -> Any:
    """Rows over their norm; rows of zeros as they are."""
    axes = op.const(np.array([1]))
    size = {
        "l1": lambda: op.ReduceSum(op.Abs(x), axes, keepdims=1),
        "l2": lambda: op.Sqrt(op.ReduceSum(op.Mul(x, x), axes, keepdims=1)),
        "max": lambda: op.ReduceMax(op.Abs(x), axes, keepdims=1),
    }[norm]()
    zero = op.Equal(size, op.const(np.array(0.0)))
    return op.Div(x, op.Where(zero, op.const(np.array(1.0)), size))
