"""Terms counted in text: the operator CountTerms, what it means, and its body.

`ai.bridge.text::CountTerms` takes texts [N, 1] and gives how often each of its `terms` occurs, double
[N, terms]. A text is put in lower case if `lowercase`, then parted into tokens: with `analyzer` "word" the
longest runs of at least `shortest` characters of the set `characters`, without those in `stop_words`; with
"char" its characters, runs of white space being one blank; with "char_wb" those of each word, a blank before
and after it, and none of two words together. A term is `min_n` to `max_n` tokens that follow one another,
words with a blank between them.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub

__all__ = ["DOMAIN", "OPERATOR", "Terms", "code_ranges", "count_terms", "members"]

DOMAIN = "ai.bridge.text"
OPERATOR = f"{DOMAIN}::CountTerms"
CONTRIB = "com.microsoft"
LOCALE = "C.UTF-8"
PAD, BREAK = "\ue000", "\ue001"
OTHER_LOWER = r"(?s).*(İ|\pLΣ(\PL.*)?)"
"""Texts whose lower case depends on what stands around a letter, or has more letters."""


@dataclass(frozen=True)
class Terms:
    """Terms that CountTerms counts, as the attributes of its node."""

    terms: tuple[str, ...]
    analyzer: str = "word"
    lowercase: bool = True
    characters: str = r"\w"
    shortest: int = 1
    stop_words: tuple[str, ...] = ()
    min_n: int = 1
    max_n: int = 1

    @classmethod
    def of(cls, node: ir.Node) -> Terms:
        """Those of a node."""
        values = {name: hub.attr(node, name) for name in cls.__dataclass_fields__}
        lists = {n: tuple(map(_text, values[n] or ())) for n in ("terms", "stop_words")}
        texts = {n: _text(values[n]) for n in ("analyzer", "characters")}
        return cls(**{**values, **lists, **texts, "lowercase": bool(values["lowercase"])})

    def tokens(self, term: str) -> list[str]:
        """The tokens of a term."""
        if self.analyzer != "word":
            return list(term)
        return [term] if self.max_n == 1 else term.split(" ")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@functools.cache
def members(characters: str) -> str:
    """The inside of a bracket expression of the characters that a set of a regular expression of Python has,
    by their codes. Raises re.error for what is no expression."""
    pattern = re.compile(f"(?s:{characters})")
    codes = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000 and pattern.fullmatch(chr(c))]
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in code_ranges(codes))


def code_ranges(codes: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of codes that follow one another."""
    array = np.array(codes, np.int64)
    runs = np.split(array, np.flatnonzero(np.diff(array) > 1) + 1) if len(array) else []
    return [(int(run[0]), int(run[-1])) for run in runs]


_serial = itertools.count()


def count_terms(op: hub.Builder, functions: dict[Any, ir.Function], text: ir.Value, what: Terms) -> ir.Value:
    """A node that counts terms, [N, terms] in double; its body is added to `functions`."""
    overload = f"t{next(_serial)}"
    attributes = ir.convenience.convert_attributes(
        {n: v for n, v in asdict(what).items() if v != () or n == "terms"}
    )
    node = ir.Node(DOMAIN, "CountTerms", [text], attributes, num_outputs=1, overload=overload)
    rows = text.shape[0] if text.shape is not None else None
    node.outputs[0].type = ir.TensorType(ir.DataType.DOUBLE)
    node.outputs[0].shape = ir.Shape([rows, len(what.terms)])
    function = _body(what, overload, [ir.Attr(a.name, a.type, None) for a in attributes])
    functions[function.identifier()] = function
    for domain in (DOMAIN, CONTRIB):
        op.graph.opset_imports.setdefault(domain, 1)
    return op.insert(node)


def _body(what: Terms, overload: str, attributes: list[ir.Attr]) -> ir.Function:
    text = ir.Value(name="text", type=ir.TensorType(ir.DataType.STRING), shape=ir.Shape(["N", 1]))
    imports = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET, CONTRIB: 1}
    graph = ir.Graph([text], [], nodes=[], opset_imports=imports)
    op = hub.Builder(ir.Function(DOMAIN, "CountTerms", overload, graph=graph, attributes=attributes))
    flat = op.Reshape(text, op.const(np.array([-1])))
    if what.lowercase:
        flat = _lower(op, flat)
    tokens = {"word": _words, "char": _characters, "char_wb": _characters_of_words}[what.analyzer](
        op, flat, what
    )
    graph.outputs.append(op.Cast(_counts(op, tokens, what), to=int(ir.DataType.DOUBLE)))
    for index, value in enumerate(v for node in graph for v in node.outputs):
        value.name = f"v{index}"
    assert isinstance(op.graph, ir.Function)
    return op.graph


def _lower(op: hub.Builder, flat: Any) -> Any:
    """In lower case; a text whose lower case ONNX has no operator for fails the run."""
    lower = op.StringNormalizer(flat, case_change_action="LOWER", locale=LOCALE)
    wrong = op.Cast(op.RegexFullMatch(flat, pattern=OTHER_LOWER), to=int(ir.DataType.INT64))
    first = op.Gather(op.const(np.zeros(1, np.int64)), op.ReduceMax(wrong, keepdims=1), axis=0)
    return op.Reshape(lower, op.Add(op.Shape(flat), first))


def _tokenized(op: hub.Builder, flat: Any, pattern: str) -> Any:
    """The matches of a regular expression, [N, tokens]."""
    return op.node(
        "Tokenizer",
        flat,
        _domain=CONTRIB,
        _dtype=ir.DataType.STRING,
        _shape=["N", None],
        mark=0,
        pad_value=PAD,
        mincharnum=1,
        tokenexp=pattern,
    )


def _words(op: hub.Builder, flat: Any, what: Terms) -> Any:
    tokens = _tokenized(op, flat, f"[{members(what.characters)}]{{{what.shortest},}}")
    return _without(op, tokens, what.stop_words) if what.stop_words and what.max_n > 1 else tokens


def _without(op: hub.Builder, tokens: Any, words: Sequence[str]) -> Any:
    """Tokens without some words, those behind them moved up."""
    kept = op.node(
        "LabelEncoder",
        tokens,
        _domain="ai.onnx.ml",
        keys_strings=list(words),
        values_int64s=[0] * len(words),
        default_int64=1,
    )
    count = op.Shape(tokens, start=1, end=2)
    places = op.Range(
        *(op.Reshape(v, op.const(np.zeros(0, np.int64))) for v in (np.zeros(1, np.int64), count)),
        op.const(np.array(1)),
    )
    order = op.Sub(op.Mul(kept, count), places)
    _, chosen = op.TopK(order, count, axis=1, _outputs=2)
    moved = op.GatherElements(tokens, chosen, axis=1)
    left = op.Cast(op.GatherElements(kept, chosen, axis=1), to=int(ir.DataType.BOOL))
    return op.Where(left, moved, op.const(hub.strings(np.array(PAD, object))))


def _characters(op: hub.Builder, flat: Any, what: Terms) -> Any:
    spaces = f"[{members(chr(92) + 's')}]{{2,}}"
    tokens = _tokenized(op, flat, f"(?s){spaces}|.")
    return op.Where(op.RegexFullMatch(tokens, pattern=spaces), _word(op, " "), tokens)


def _characters_of_words(op: hub.Builder, flat: Any, what: Terms) -> Any:
    words = _tokenized(op, flat, f"[{members(chr(92) + 'S')}]+")
    spaced = op.StringConcat(_word(op, " "), op.StringConcat(words, _word(op, f" {BREAK}")))
    inner = op.Not(op.Equal(words, _word(op, PAD)))
    return _tokenized(op, _joined(op, op.Where(inner, spaced, _word(op, "")), flat), "(?s).")


def _word(op: hub.Builder, text: str) -> Any:
    return op.const(hub.strings(np.array(text, object)))


def _joined(op: hub.Builder, parts: Any, like: Any) -> Any:
    """The parts [N, parts] of each row as one text, [N]."""
    types: tuple[tuple[ir.DataType, list[str]], ...] = (
        (ir.DataType.INT64, []),
        (ir.DataType.BOOL, []),
        (ir.DataType.STRING, ["N"]),
    )
    inputs = [
        ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        for name, (dtype, shape) in zip(("step", "going", "joined"), types, strict=True)
    ]
    graph = ir.Graph(inputs, [], nodes=[], name="join", opset_imports={"": hub.HUB_OPSET})
    inner = hub.Builder(graph)
    part = inner.Gather(parts, inputs[0], axis=1)
    graph.outputs.extend([inner.Identity(inputs[1]), inner.StringConcat(inputs[2], part)])
    for index, node in enumerate(graph):
        node.outputs[0].name = f"inner{index}"
    count = op.Reshape(op.Shape(parts, start=1, end=2), op.const(np.zeros(0, np.int64)))
    start = op.Expand(_word(op, ""), op.Shape(like))
    body = [ir.AttrGraph("body", graph)]
    node = ir.Node("", "Loop", [count, op.const(np.array(True)), start], body, num_outputs=1)
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(ir.DataType.STRING), ir.Shape(["N"])
    return op.insert(node)


def _counts(op: hub.Builder, tokens: Any, what: Terms) -> Any:
    """Number of times each term occurs, float [N, terms]; none stands behind the tokens of each row."""
    size = op.Concat(op.Shape(tokens, start=0, end=1), op.const(np.ones(1, np.int64)), axis=0)
    tokens = op.Concat(tokens, op.Expand(_word(op, PAD), size), axis=1)
    listed = [what.tokens(term) for term in what.terms]
    places = sorted(range(len(listed)), key=lambda i: len(listed[i]))
    lengths = [len(listed[i]) for i in places]
    longest = max(lengths)
    starts = [sum(n for n in lengths if n < length) for length in range(1, longest + 1)]
    return op.TfIdfVectorizer(
        tokens,
        mode="TF",
        min_gram_length=min(lengths),
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=places,
        pool_strings=[token for i in places for token in listed[i]],
    )
