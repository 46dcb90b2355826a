"""Strings taken apart and put together again: literal patterns, classes of characters, ASCII case."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.hub import const
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.control import close, subgraph
from bridge_savedmodel.values import tensor_of, text

ops = OpTable()

CLASSES = {"d": string.digits, "s": "\t\n\f\r ", "w": string.ascii_letters + string.digits + "_"}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
MOST = 128
ZERO, ONE = np.array(0, np.int64), np.array(1, np.int64)


def _escaped(pattern: str, place: int) -> str | None:
    """The characters that the escape at `place` stands for."""
    mark = pattern[place + 1 : place + 2]
    if mark in CLASSES or mark in CONTROLS:
        return CLASSES.get(mark) or CONTROLS[mark]
    return None if not mark or mark.isalnum() else mark


def _character(body: str, place: int) -> tuple[str | None, int]:
    """The character, or the characters of the escape, at `place`; and where what follows begins."""
    if body[place] == "\\":
        return _escaped(body, place), place + 2
    return body[place], place + 1


def _class(body: str) -> str | None:
    """The characters of what stands between brackets."""
    found, place = "", 0
    if not body or body[0] == "^" or "[:" in body:
        return None
    while place < len(body):
        own, place = _character(body, place)
        if own is not None and body[place : place + 1] == "-" and place + 1 < len(body):
            last, place = _character(body, place + 1)
            if last is None or len(own) != 1 or len(last) != 1 or not own <= last <= chr(ord(own) + MOST):
                return None
            own = "".join(map(chr, range(ord(own), ord(last) + 1)))
        if own is None:
            return None
        found += own
    return "".join(dict.fromkeys(found))


def _bracketed(pattern: str) -> int:
    """The place of the bracket that closes the one a pattern begins with; -1 where there is none."""
    place = 2 if pattern[1:2] == "]" else 1
    while place < len(pattern) and pattern[place] != "]":
        place += 1 + (pattern[place] == "\\")
    return place if place < len(pattern) else -1


def literals(pattern: str) -> list[str] | None:
    """The texts a pattern matches, where it is one text, or one of several characters; None for any other."""
    if pattern[:1] == "[" and _bracketed(pattern) == len(pattern) - 1:
        characters = _class(pattern[1:-1])
        return None if characters is None else list(characters)
    if len(pattern) == 2 and pattern[0] == "\\" and pattern[1] in CLASSES:
        return list(CLASSES[pattern[1]])
    ways = pattern.split("|")
    if len(ways) > 1 and "\\" not in pattern:
        each = [literals(way) for way in ways]
        known = all(e is not None and len(e) == 1 and len(e[0]) == 1 for e in each)
        return list(dict.fromkeys(e[0] for e in each if e)) if known else None
    made, place = "", 0
    while place < len(pattern):
        if pattern[place] in ".^$*+?()[]{}|":
            return None
        own, place = _character(pattern, place)
        if own is None or len(own) != 1:
            return None
        made += own
    return [made] if made else None


def _steps(pattern: str, rewrite: str, everywhere: bool) -> list[str] | None:
    """The texts to replace one after another for the same result; None where no order does that."""
    found = literals(pattern)
    if found is None or "\\" in rewrite or len(found) > MOST or (not everywhere and len(found) > 1):
        return None
    again = [f for f in found if f in rewrite] if len(found) > 1 else []
    return None if len(again) > 1 else [*again, *(f for f in found if f not in again)]


def _word(op: Any, value: str) -> Any:
    return op.const(tensor_of(np.array(value, object)))


def _replaced(op: Any, x: Any, literal: str, rewrite: str, everywhere: bool = True) -> Any:
    """A vector of strings with another text in place of one: split there, and joined with the other."""
    table, counts = op.StringSplit(x, delimiter=literal, maxsplit=None if everywhere else 1, _outputs=2)
    graph, inner = subgraph("join")
    kinds = [("step", T.INT64, []), ("going", T.BOOL, []), ("joined", T.STRING, list(x.shape or [None]))]
    for stem, dtype, shape in kinds:
        name = hub.fresh_name(graph, stem)
        graph.inputs.append(ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape)))
    step, going, joined = graph.inputs
    piece = inner.Gather(table, step, axis=1)
    if rewrite:
        between = inner.And(inner.Greater(step, ZERO), inner.Less(step, counts))
        piece = inner.StringConcat(inner.Where(between, _word(inner, rewrite), _word(inner, "")), piece)
    close(graph, inner, [inner.Identity(going), inner.StringConcat(joined, piece)])
    width = op.Squeeze(op.Shape(table, start=1), ints(0))
    empty = op.Expand(_word(op, ""), op.Shape(x))
    body = [ir.AttrGraph("body", graph)]
    loop = ir.Node("", "Loop", [width, op.const(np.array(True)), empty], body, num_outputs=1)
    loop.outputs[0].type, loop.outputs[0].shape = ir.TensorType(T.STRING), x.shape
    op.insert(loop)
    return loop.outputs[0]


def flattened(op: Any, x: Any, work: Any) -> Any:
    """What `work` makes of a vector of all elements, in the shape of `x`."""
    if hub.rank_of(x) == 1:
        return work(x)
    made = op.Reshape(work(op.Reshape(x, ints(-1))), op.Shape(x))
    made.shape = x.shape
    return made


def _replace(op: Any, x: Any, steps: list[str], rewrite: str, everywhere: bool) -> Any:
    def work(flat: Any) -> Any:
        for literal in steps:
            flat = _replaced(op, flat, literal, rewrite, everywhere)
        return flat

    return flattened(op, x, work)


PLAIN = (
    "a pattern of one text, or of a class of characters, and a rewrite without groups: ONNX has no "
    "operator that replaces by an expression"
)


def _static(node: Any) -> bool:
    return _steps(node.get("pattern"), node.get("rewrite"), node.get("replace_global")) is not None


@ops.op("StaticRegexReplace", needs=(condition(PLAIN, _static),))
def static_replace(op, node, x):
    pattern, rewrite, everywhere = (
        node.get("pattern"),
        node.get("rewrite"),
        node.get("replace_global"),
    )
    return _replace(op, x, _steps(pattern, rewrite, everywhere), rewrite, everywhere)


def _given(node: Any) -> tuple[str, str, bool] | None:
    """Pattern, rewrite and whether it is done everywhere, where they are constants."""
    found = [const(v) for v in node.inputs[1:3]]
    if any(f is None for f in found):
        return None
    pattern, rewrite = (str(text(f).reshape(())) for f in found)
    return pattern, rewrite, node.get("replace_global")


def _dynamic(node: Any) -> bool:
    given = _given(node)
    return given is not None and _steps(*given) is not None


@ops.op("RegexReplace", needs=(condition(PLAIN, _dynamic),))
def replace(op, node, x, *rest):
    given = _given(node)
    return _replace(op, x, _steps(*given), *given[1:])


@ops.op(
    "StringLower", "StringUpper", needs=(condition("encoding=utf-8", lambda n: n.get("encoding") == "utf-8"),)
)
def case(op, node, x):
    action = "LOWER" if node.op == "StringLower" else "UPPER"
    return flattened(op, x, lambda flat: op.StringNormalizer(flat, case_change_action=action))


@ops.op(
    "StringLower", "StringUpper", needs=(condition("encoding of bytes", lambda n: not n.get("encoding")),)
)
def ascii_case(op, node, x):
    """Without an encoding TensorFlow changes the letters of ASCII alone, which StringNormalizer does not
    do."""
    before, after = string.ascii_uppercase, string.ascii_lowercase
    pairs = zip(before, after, strict=True) if node.op == "StringLower" else zip(after, before, strict=True)

    def work(flat: Any) -> Any:
        for old, new in pairs:
            flat = _replaced(op, flat, old, new)
        return flat

    return flattened(op, x, work)


def _separators(node: Any) -> str | None:
    known = const(node.inputs[1])
    return None if known is None or not known.size else str(text(known).reshape(-1)[0])


@ops.op("StringSplit", needs=(condition("a constant delimiter of one character or more", _separators),))
def split(op, node, x, delimiter):
    """Places, parts and shape of the table of parts; any character of the delimiter parts two."""
    first, *others = _separators(node)
    for other in others:
        x = _replaced(op, x, other, first)
    table, counts = op.StringSplit(x, delimiter=first, _outputs=2)
    places = arange(op, op.Shape(table, start=1))
    kept = op.Less(op.Unsqueeze(places, ints(0)), op.Unsqueeze(counts, ints(1)))
    kept = op.And(kept, op.Unsqueeze(op.Not(op.Equal(x, _word(op, ""))), ints(1)))
    if node.get("skip_empty"):
        kept = op.And(kept, op.Not(op.Equal(table, _word(op, ""))))
    return compacted(op, table, kept)


def compacted(op: Any, table: Any, kept: Any) -> tuple[Any, Any, Any]:
    """The elements of a table that are kept, moved to the left: places, values, and the shape they need."""
    found = op.Transpose(op.NonZero(kept), perm=[1, 0])
    number = op.Cast(kept, to=int(T.INT64))
    order = op.GatherND(op.CumSum(number, op.const(ONE), exclusive=1), found)
    rows = op.Slice(found, ints(0), ints(1), ints(1))
    indices = op.Concat(rows, op.Unsqueeze(order, ints(1)), axis=1)
    most = op.ReduceMax(op.Concat(op.ReduceSum(number, ints(1), keepdims=0), ints(0), axis=0), keepdims=0)
    shape = op.Concat(op.Shape(table, start=0, end=1), op.Unsqueeze(most, ints(0)), axis=0)
    return indices, op.GatherND(table, found), shape
