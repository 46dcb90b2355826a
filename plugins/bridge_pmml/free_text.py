"""Functions of any text, by the operators ONNX has for text: it is split at literals, joined, tested by
regular expressions, and its case changed.

What these cannot do of a text fails the run: it reads an element at an index out of range.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_pmml.values import BOOL, INT64, STRING, Columns

SPACES = "\t\n\v\f\r"
LOCALE = "C.UTF-8"
OPSETS = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
LONGEST, BITS = 511, 9
CONTRIB = "com.microsoft"
FINAL_SIGMA = r"(?s).*\pLΣ(\PL.*)?"


def word(op: Any, text: str) -> Any:
    return op.const(hub.strings(np.array(text, object)))


def flat(columns: Columns, text: Any) -> Any:
    """A column as a vector."""
    return columns.op.Reshape(text, np.array([-1]))


def as_column(columns: Columns, vector: Any) -> Any:
    column = columns.op.Reshape(vector, np.array([-1, 1]))
    column.shape = ir.Shape([columns.rows_dim, 1])
    return column


def checked(columns: Columns, text: Any, wrong: Any) -> Any:
    """The column; a run in which a row of `wrong` is true fails."""
    op = columns.op
    flags = op.Concat(np.array([0]), op.Reshape(op.Cast(wrong, to=INT64), np.array([-1])), axis=0)
    zero = op.Gather(np.array([0]), op.ReduceMax(flags, keepdims=1), axis=0)
    return op.Reshape(text, op.Add(columns.rows(), zero))


def join(columns: Columns, table: Any, separator: str, first: Any, last: Any) -> Any:
    """The parts [N, parts] of each row from place `first` to `last`, int64 [N], with a separator between
    them."""
    op = columns.op
    names: dict[str, ir.Value] = {}
    graph = ir.Graph([], [], nodes=[], name="join", opset_imports=OPSETS)
    inner = hub.Builder(graph)
    for name, dtype, shape in (("step", INT64, []), ("going", BOOL, []), ("joined", STRING, ["N"])):
        names[name] = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        graph.inputs.append(names[name])
    step, empty = names["step"], word(inner, "")
    part = inner.Gather(table, step, axis=1)
    mark = inner.Where(inner.Greater(step, first), word(inner, separator), empty)
    inside = inner.And(inner.GreaterOrEqual(step, first), inner.LessOrEqual(step, last))
    part = inner.Where(inside, inner.StringConcat(mark, part), empty)
    graph.outputs.extend([inner.Identity(names["going"]), inner.StringConcat(names["joined"], part)])
    count = op.Squeeze(op.Shape(table, start=1), np.array([0]))
    start = op.Expand(word(op, ""), op.Shape(first))
    body = [ir.AttrGraph("body", graph)]
    node = ir.Node("", "Loop", [count, op.const(np.array(True)), start], body, num_outputs=1)
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(STRING), ir.Shape([columns.rows_dim])
    op.insert(node)
    return node.outputs[0]


def replace_literal(columns: Columns, text: Any, literal: str, by: str) -> Any:
    """A column with every occurrence of a text replaced."""
    op = columns.op
    table, counts = op.StringSplit(flat(columns, text), delimiter=literal, _outputs=2)
    last = op.Sub(counts, np.array(1))
    return as_column(columns, join(columns, table, by, op.Sub(counts, counts), last))


def replace_literals(columns: Columns, text: Any, literals: list[str], by: str) -> Any:
    for literal in literals:
        text = replace_literal(columns, text, literal, by)
    return text


def trim(columns: Columns, text: Any) -> Any:
    """Without blanks at either end; other white space there fails the run."""
    op = columns.op
    table = op.StringSplit(flat(columns, text), delimiter=" ", _outputs=2)[0]
    filled = op.Cast(op.Not(op.Equal(table, word(op, ""))), to=ir.DataType.INT32)
    first = op.ArgMax(filled, axis=1, keepdims=0)
    last = op.ArgMax(filled, axis=1, keepdims=0, select_last_index=1)
    is_blank = op.Equal(op.ReduceMax(filled, np.array([1]), keepdims=0), np.array(0, np.int32))
    last = op.Where(is_blank, np.array(-1), last)
    trimmed = as_column(columns, join(columns, table, " ", first, last))
    return checked(columns, trimmed, op.RegexFullMatch(trimmed, pattern=r"(?s)[\x00-\x20].*|.*[\x00-\x20]"))


def change_case(columns: Columns, text: Any, action: str) -> Any:
    """In upper or lower case; letters whose case depends on others, or is several letters, fail the run."""
    op = columns.op
    if action == "UPPER":
        wrong = op.RegexFullMatch(text, pattern=f"(?s).*[{several_capitals()}].*")
        text = replace_literal(columns, text, "ß", "SS")
    else:
        wrong = op.RegexFullMatch(text, pattern=FINAL_SIGMA)
        text = replace_literal(columns, text, "İ", "i̇")
    changed = op.StringNormalizer(flat(columns, text), case_change_action=action, locale=LOCALE)
    return checked(columns, as_column(columns, changed), wrong)


def length(columns: Columns, text: Any) -> Any:
    """Number of characters, double [N, 1]; longer texts than LONGEST fail the run."""
    op, total = columns.op, columns.scalar(0.0)
    for bit in range(BITS):
        half = 2**bit
        set_bit = op.RegexFullMatch(text, pattern=f"(?s)(?:.{{{2 * half}}})*.{{{half}}}.{{0,{half - 1}}}")
        total = op.Add(total, op.Mul(op.Cast(set_bit, to=11), columns.scalar(float(half))))
    return checked(columns, total, op.RegexFullMatch(text, pattern=f"(?s).{{{LONGEST + 1}}}.*"))


def substring(columns: Columns, text: Any, start: int, count: int) -> Any:
    """The characters from place `start` on; one beyond U+FFFF up to there, which Java counts as two, fails
    the run."""
    op, end = columns.op, start + count
    outside = op.RegexFullMatch(text, pattern=rf"(?s).{{0,{end - 1}}}[\x{{10000}}-\x{{10FFFF}}].*")
    letters = characters(columns, text)
    size = op.Concat(op.Shape(letters, start=0, end=1), np.array([end]), axis=0)
    letters = op.Concat(letters, op.Expand(word(op, ""), size), axis=1)
    joined: Any = None
    for place in range(start, end):
        letter = op.Gather(letters, np.array([place]), axis=1)
        joined = letter if joined is None else op.StringConcat(joined, letter)
    return checked(columns, joined, outside)


def characters(columns: Columns, text: Any) -> Any:
    """The characters of each text, [N, characters], and empty ones behind them."""
    op = columns.op
    op.graph.opset_imports.setdefault(CONTRIB, 1)
    settings = {"mark": 0, "mincharnum": 1, "pad_value": "", "tokenexp": "(?s)."}
    shape = [columns.rows_dim, None]
    return op.node("Tokenizer", flat(columns, text), _domain=CONTRIB, _dtype=STRING, _shape=shape, **settings)


@functools.cache
def several_capitals() -> str:
    """The letters that are several ones in upper case, but the sharp s."""
    return "".join(c for c in map(chr, range(0x110000)) if len(c.upper()) > 1 and c != "ß")


def literals(pattern: str) -> list[str] | None:
    """Texts a regular expression matches that is one text, a set of characters, or white space; None for
    others."""
    if pattern == r"\s":
        return [" ", *SPACES]
    if len(pattern) > 2 and pattern[0] == "[" and pattern[-1] == "]" and pattern[1] != "^":
        inner = pattern[1:-1]
        return list(dict.fromkeys(inner)) if not set(inner) & set("\\[]-&^") else None
    parts = re.findall(r"\\(\W)|([^\\.^$*+?()\[\]{}|])|(.)", pattern, re.DOTALL)
    if not parts or any(special for _, _, special in parts):
        return None
    return ["".join(escaped or plain for escaped, plain, _ in parts)]
