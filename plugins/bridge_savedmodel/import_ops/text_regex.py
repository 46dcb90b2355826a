"""Replacing and splitting strings by literal patterns and character classes; ASCII case."""

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
from bridge_savedmodel.import_ops.control import add_outputs, subgraph
from bridge_savedmodel.values import decode_strings, tensor_of

ops = OpTable()

CLASSES = {"d": string.digits, "s": "\t\n\f\r ", "w": string.ascii_letters + string.digits + "_"}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
MAX_CLASS = 128
ZERO, ONE = np.array(0, np.int64), np.array(1, np.int64)


def _escape_characters(pattern: str, position: int) -> str | None:
    """The characters that the escape at `position` matches; None for an unsupported one."""
    mark = pattern[position + 1 : position + 2]
    if mark in CLASSES or mark in CONTROLS:
        return CLASSES.get(mark) or CONTROLS[mark]
    return None if not mark or mark.isalnum() else mark


def _character(body: str, position: int) -> tuple[str | None, int]:
    """The character or the characters of the escape at `position`, and the position after it."""
    if body[position] == "\\":
        return _escape_characters(body, position), position + 2
    return body[position], position + 1


def _class_characters(body: str) -> str | None:
    """The characters of a class, from the text between its brackets; None for an unsupported one."""
    members, position = "", 0
    if not body or body[0] == "^" or "[:" in body:
        return None
    while position < len(body):
        characters, position = _character(body, position)
        if characters is not None and body[position : position + 1] == "-" and position + 1 < len(body):
            last, position = _character(body, position + 1)
            if (
                last is None
                or len(characters) != 1
                or len(last) != 1
                or not characters <= last <= chr(ord(characters) + MAX_CLASS)
            ):
                return None
            characters = "".join(map(chr, range(ord(characters), ord(last) + 1)))
        if characters is None:
            return None
        members += characters
    return "".join(dict.fromkeys(members))


def _closing_bracket(pattern: str) -> int:
    """Position of the bracket that closes the first character of a pattern; -1 without one."""
    position = 2 if pattern[1:2] == "]" else 1
    while position < len(pattern) and pattern[position] != "]":
        position += 1 + (pattern[position] == "\\")
    return position if position < len(pattern) else -1


def literals(pattern: str) -> list[str] | None:
    """The literals a pattern matches: one text, or several single characters. None for any other pattern."""
    if pattern[:1] == "[" and _closing_bracket(pattern) == len(pattern) - 1:
        characters = _class_characters(pattern[1:-1])
        return None if characters is None else list(characters)
    if len(pattern) == 2 and pattern[0] == "\\" and pattern[1] in CLASSES:
        return list(CLASSES[pattern[1]])
    alternatives = pattern.split("|")
    if len(alternatives) > 1 and "\\" not in pattern:
        options = [literals(way) for way in alternatives]
        are_characters = all(e is not None and len(e) == 1 and len(e[0]) == 1 for e in options)
        return list(dict.fromkeys(e[0] for e in options if e)) if are_characters else None
    literal, position = "", 0
    while position < len(pattern):
        if pattern[position] in ".^$*+?()[]{}|":
            return None
        character, position = _character(pattern, position)
        if character is None or len(character) != 1:
            return None
        literal += character
    return [literal] if literal else None


def _replacement_order(pattern: str, rewrite: str, replace_global: bool) -> list[str] | None:
    """The literals in an order in which replacing one after another equals the pattern's replacement; None
    without one."""
    matched = literals(pattern)
    if (
        matched is None
        or "\\" in rewrite
        or len(matched) > MAX_CLASS
        or (not replace_global and len(matched) > 1)
    ):
        return None
    in_rewrite = [f for f in matched if f in rewrite] if len(matched) > 1 else []
    return None if len(in_rewrite) > 1 else [*in_rewrite, *(f for f in matched if f not in in_rewrite)]


def _string_constant(op: Any, value: str) -> Any:
    return op.const(tensor_of(np.array(value, object)))


def _replace_literal(op: Any, x: Any, literal: str, rewrite: str, replace_global: bool = True) -> Any:
    """A vector of strings with a literal replaced: split at the literal, joined with the rewrite."""
    table, counts = op.StringSplit(x, delimiter=literal, maxsplit=None if replace_global else 1, _outputs=2)
    graph, inner = subgraph("join")
    inputs = [("step", T.INT64, []), ("going", T.BOOL, []), ("joined", T.STRING, list(x.shape or [None]))]
    for stem, dtype, shape in inputs:
        name = hub.fresh_name(graph, stem)
        graph.inputs.append(ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape)))
    step, condition, joined = graph.inputs
    piece = inner.Gather(table, step, axis=1)
    if rewrite:
        is_after_first = inner.And(inner.Greater(step, ZERO), inner.Less(step, counts))
        piece = inner.StringConcat(
            inner.Where(is_after_first, _string_constant(inner, rewrite), _string_constant(inner, "")), piece
        )
    add_outputs(graph, inner, [inner.Identity(condition), inner.StringConcat(joined, piece)])
    width = op.Squeeze(op.Shape(table, start=1), ints(0))
    empty = op.Expand(_string_constant(op, ""), op.Shape(x))
    body = [ir.AttrGraph("body", graph)]
    loop = ir.Node("", "Loop", [width, op.const(np.array(True)), empty], body, num_outputs=1)
    loop.outputs[0].type, loop.outputs[0].shape = ir.TensorType(T.STRING), x.shape
    op.insert(loop)
    return loop.outputs[0]


def map_flat(op: Any, x: Any, work: Any) -> Any:
    """`work` applied to the vector of all elements, in the shape of `x`."""
    if hub.rank_of(x) == 1:
        return work(x)
    mapped = op.Reshape(work(op.Reshape(x, ints(-1))), op.Shape(x))
    mapped.shape = x.shape
    return mapped


def _replace_literals(op: Any, x: Any, steps: list[str], rewrite: str, replace_global: bool) -> Any:
    def work(flat: Any) -> Any:
        for literal in steps:
            flat = _replace_literal(op, flat, literal, rewrite, replace_global)
        return flat

    return map_flat(op, x, work)


LITERAL = (
    "a pattern of one text, or of a class of characters, and a rewrite without groups: ONNX has no "
    "operator that replaces by an expression"
)


def _is_static_literal(node: Any) -> bool:
    return (
        _replacement_order(node.get("pattern"), node.get("rewrite"), node.get("replace_global")) is not None
    )


@ops.op("StaticRegexReplace", needs=(condition(LITERAL, _is_static_literal),))
def static_replace(op, node, x):
    pattern, rewrite, replace_global = (
        node.get("pattern"),
        node.get("rewrite"),
        node.get("replace_global"),
    )
    return _replace_literals(
        op, x, _replacement_order(pattern, rewrite, replace_global), rewrite, replace_global
    )


def _constant_arguments(node: Any) -> tuple[str, str, bool] | None:
    """Pattern, rewrite and replace_global where the first two are constants, else None."""
    arguments = [const(v) for v in node.inputs[1:3]]
    if any(f is None for f in arguments):
        return None
    pattern, rewrite = (str(decode_strings(f).reshape(())) for f in arguments)
    return pattern, rewrite, node.get("replace_global")


def _is_constant_literal(node: Any) -> bool:
    arguments = _constant_arguments(node)
    return arguments is not None and _replacement_order(*arguments) is not None


@ops.op("RegexReplace", needs=(condition(LITERAL, _is_constant_literal),))
def replace(op, node, x, *rest):
    arguments = _constant_arguments(node)
    return _replace_literals(op, x, _replacement_order(*arguments), *arguments[1:])


@ops.op(
    "StringLower", "StringUpper", needs=(condition("encoding=utf-8", lambda n: n.get("encoding") == "utf-8"),)
)
def unicode_case(op, node, x):
    action = "LOWER" if node.op == "StringLower" else "UPPER"
    return map_flat(op, x, lambda flat: op.StringNormalizer(flat, case_change_action=action))


@ops.op(
    "StringLower", "StringUpper", needs=(condition("encoding of bytes", lambda n: not n.get("encoding")),)
)
def ascii_case(op, node, x):
    """Map the ASCII letters only, as TensorFlow does without an encoding; StringNormalizer maps others
    too."""
    before, after = string.ascii_uppercase, string.ascii_lowercase
    pairs = zip(before, after, strict=True) if node.op == "StringLower" else zip(after, before, strict=True)

    def work(flat: Any) -> Any:
        for old, new in pairs:
            flat = _replace_literal(op, flat, old, new)
        return flat

    return map_flat(op, x, work)


def _separators(node: Any) -> str | None:
    known = const(node.inputs[1])
    return None if known is None or not known.size else str(decode_strings(known).reshape(-1)[0])


@ops.op("StringSplit", needs=(condition("a constant delimiter of one character or more", _separators),))
def split(op, node, x, delimiter):
    """Indices, values and shape of the parts; each character of the delimiter separates."""
    first, *others = _separators(node)
    for other in others:
        x = _replace_literal(op, x, other, first)
    table, counts = op.StringSplit(x, delimiter=first, _outputs=2)
    positions = arange(op, op.Shape(table, start=1))
    mask = op.Less(op.Unsqueeze(positions, ints(0)), op.Unsqueeze(counts, ints(1)))
    mask = op.And(mask, op.Unsqueeze(op.Not(op.Equal(x, _string_constant(op, ""))), ints(1)))
    if node.get("skip_empty"):
        mask = op.And(mask, op.Not(op.Equal(table, _string_constant(op, ""))))
    return compact_rows(op, table, mask)


def compact_rows(op: Any, table: Any, kept: Any) -> tuple[Any, Any, Any]:
    """Elements of a table where `kept` is true, moved to the left in their row: indices, values, shape."""
    indices_kept = op.Transpose(op.NonZero(kept), perm=[1, 0])
    counts = op.Cast(kept, to=int(T.INT64))
    columns = op.GatherND(op.CumSum(counts, op.const(ONE), exclusive=1), indices_kept)
    rows = op.Slice(indices_kept, ints(0), ints(1), ints(1))
    indices = op.Concat(rows, op.Unsqueeze(columns, ints(1)), axis=1)
    width = op.ReduceMax(op.Concat(op.ReduceSum(counts, ints(1), keepdims=0), ints(0), axis=0), keepdims=0)
    shape = op.Concat(op.Shape(table, start=0, end=1), op.Unsqueeze(width, ints(0)), axis=0)
    return indices, op.GatherND(table, indices_kept), shape
