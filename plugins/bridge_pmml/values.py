"""Values of a record as columns of the hub, [N, 1]: doubles with NaN for missing, strings with "" for
missing.

Booleans are doubles 1 and 0. Predicates have three values: a pair of boolean columns, what is true and what
is false.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile

ML = "ai.onnx.ml"
DOUBLE, STRING, BOOL, INT64 = (ir.DataType.DOUBLE, ir.DataType.STRING, ir.DataType.BOOL, ir.DataType.INT64)
LARGEST = 100_000
NUMBERS = ("integer", "float", "double")
COUNTED = re.compile(r"(x-)?dateDaysSince\[\d+\]|(x-)?dateTimeSecondsSince\[\d+\]|timeSeconds")


@dataclass(frozen=True)
class Val:
    """A column. `data_type` is its PMML data type; `values` its valid categories in order, where declared.

    `checked`: no invalid value is left in it; `present`: no missing one. `width`: 1, but for an output that
    holds a list.
    """

    tensor: ir.Value
    data_type: str
    values: tuple[str, ...] = ()
    ordinal: bool = False
    checked: bool = False
    present: bool = False
    missing: bool = False
    width: int = 1

    @property
    def text(self) -> bool:
        """True if the column is of strings."""
        return self.tensor.dtype == STRING

    def with_(self, **changes: Any) -> Val:
        return replace(self, **changes)


@dataclass(frozen=True)
class Truth:
    """A predicate: where it is true and where it is false, bool [N, 1] or known; elsewhere it is unknown."""

    true: Any
    false: Any


YES, NO, UNKNOWN = Truth(True, False), Truth(False, True), Truth(False, False)


@functools.cache
def is_text(data_type: str) -> bool:
    """True if columns of a data type are strings."""
    return data_type not in (*NUMBERS, "boolean") and not COUNTED.fullmatch(data_type)


def parse(value: str, data_type: str) -> Any:
    """A literal of a data type as what its column holds: a float or a str. Raises UnreadableFile."""
    if is_text(data_type):
        return value
    word = value.strip().lower()
    if word in ("true", "false"):
        return float(word == "true")
    try:
        number = float(word)
    except ValueError:
        raise UnreadableFile(f"{value!r} is no {data_type}.") from None
    return float(np.float32(number)) if data_type == "float" else number


def logical_and(a: Any, b: Any, op: Any) -> Any:
    """a and b, where either may be known."""
    if a is False or b is False:
        return False
    if a is True or b is True:
        return b if a is True else a
    return op.And(a, b)


def logical_or(a: Any, b: Any, op: Any) -> Any:
    """a or b, where either may be known."""
    if a is True or b is True:
        return True
    if a is False or b is False:
        return b if a is False else a
    return op.Or(a, b)


def logical_not(a: Any, op: Any) -> Any:
    return (not a) if isinstance(a, bool) else op.Not(a)


def as_tensor(values: Any, words: bool) -> Any:
    """A tensor of text or of doubles."""
    return hub.strings(values) if words else ir.tensor(np.array(values, np.float64))


class Columns:
    """Builds columns on a hub.Builder; `like` is any input, which knows the number of rows."""

    def __init__(self, op: Any, like: ir.Value | None) -> None:
        self.op = op
        self.like = like
        self._ones: ir.Value | None = None
        self._memo: dict[Any, Any] = {}
        self.budget = LARGEST

    def spend(self) -> None:
        """Count one function applied. Raises UnreadableFile for a document that expands beyond measure."""
        self.budget -= 1
        if self.budget < 0:
            raise UnreadableFile(f"The document's functions expand to more than {LARGEST} applications.")

    @property
    def rows_dim(self) -> int | ir.SymbolicDim:
        """The number of rows as a dimension."""
        return 1 if self.like is None or self.like.shape is None else self.like.shape[0]

    def rows(self) -> ir.Value:
        """int64 [2]: the number of rows, 1."""
        if self._ones is None:
            if self.like is None:
                self._ones = self.op.const(np.array([1, 1], np.int64))
            else:
                column, rank = self.like, len(self.like.shape or (0, 0))
                if rank == 1:
                    column = self.op.Unsqueeze(column, np.array([1]))
                elif self.like.shape is None or self.like.shape[1] != 1:
                    column = self.gather_column(column, 0)
                self._ones = self.op.Shape(column)
        return self._ones

    def tile_rows(self, single: ir.Value) -> ir.Value:
        """A [1, 1] value in every row."""
        tiled = self.op.Expand(single, self.rows())
        tiled.shape = ir.Shape([self.rows_dim, 1])
        return tiled

    def constant(self, value: Any, data_type: str = "") -> Val:
        """The same value in every row: a float, a bool or a str."""
        data_type = data_type or (
            "string" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "double"
        )
        key = ("constant", value if value == value else "nan", data_type)
        if key not in self._memo:
            self._memo[key] = self.tile_rows(self.scalar(value))
        missing = value == "" or value != value
        return Val(self._memo[key], data_type, checked=True, present=not missing, missing=bool(missing))

    def constant_value(self, val: Val) -> Any:
        """The value of a constant column; None for others."""
        values = (k[1] for k, t in self._memo.items() if k[0] == "constant" and t is val.tensor)
        return next(values, None)

    def scalar(self, value: Any) -> ir.Value:
        """A [1, 1] constant."""
        return self.op.const(as_tensor([[value]], isinstance(value, str)))

    def mask_column(self, mask: Any) -> ir.Value:
        """A bool column from a mask that may be known."""
        if not isinstance(mask, bool):
            return mask
        if ("mask", mask) not in self._memo:
            self._memo["mask", mask] = self.tile_rows(self.op.const(np.array([[mask]])))
        return self._memo["mask", mask]

    def missing(self, val: Val) -> Any:
        """Mask of the missing values; a bool where it is known."""
        if val.present or val.missing:
            return val.missing
        key = ("missing", id(val.tensor))
        if key not in self._memo:
            mask = self.op.Equal(val.tensor, self.scalar("")) if val.text else self.op.IsNaN(val.tensor)
            self._memo[key] = (mask, val.tensor)
        return self._memo[key][0]

    def where(self, mask: Any, a: Val, b: Val) -> Val:
        """a where the mask holds, else b; strings win over numbers."""
        if isinstance(mask, bool):
            return a if mask else b
        if a.text != b.text:
            a, b = (self.to_text(v) if not v.text else v for v in (a, b))
        return Val(
            self.op.Where(mask, a.tensor, b.tensor),
            a.data_type if not a.missing else b.data_type,
            a.values or b.values,
            a.ordinal or b.ordinal,
            a.checked and b.checked,
            a.present and b.present,
        )

    def blank(self, val: Val, keep: Any) -> Val:
        """The value where `keep` holds, missing elsewhere."""
        if keep is True:
            return val
        gap = self.constant("" if val.text else float("nan"), val.data_type)
        return self.where(keep, val, gap).with_(data_type=val.data_type)

    def number(self, tensor: ir.Value, data_type: str = "double") -> Val:
        return Val(tensor, data_type, checked=True)

    def truth(self, truth: Truth) -> Val:
        """A predicate as a boolean column: 1, 0 or missing."""
        yes, no = self.mask_column(truth.true), self.mask_column(truth.false)
        inner = self.op.Where(no, self.scalar(0.0), self.scalar(float("nan")))
        return Val(self.op.Where(yes, self.scalar(1.0), inner), "boolean", checked=True)

    def as_truth(self, val: Val) -> Truth:
        """A boolean column as a predicate."""
        if val.text:
            val = self.lookup(val, {"true": 1.0, "false": 0.0})
        one, zero = self.scalar(1.0), self.scalar(0.0)
        return Truth(self.op.Equal(val.tensor, one), self.op.Equal(val.tensor, zero))

    def category_index(self, val: Val, keys: Sequence[Any], other: int = -1) -> ir.Value:
        """int64 [N, 1]: the place of each value among `keys`, `other` for the rest (missing among them)."""
        keys = list(keys)
        if not keys:
            return self.tile_rows(self.op.const(np.array([[other]], np.int64)))
        return self.op.node(
            "LabelEncoder",
            val.tensor,
            _domain=ML,
            _dtype=INT64,
            _shape=val.tensor.shape,
            keys_tensor=as_tensor(keys, val.text),
            values_tensor=ir.tensor(np.arange(len(keys), dtype=np.int64)),
            default_tensor=ir.tensor(np.array([other], np.int64)),
        )

    def lookup(self, val: Val, table: Mapping[Any, Any], default: Any = None, missing: Any = None) -> Val:
        """Each value's entry in `table`, whose keys are as the column holds them; entries are all floats or
        all str.

        `default` for values not listed, `missing` for missing ones; both are missing when None.
        """
        words = any(isinstance(v, str) for v in (*table.values(), default, missing))
        gap: Any = "" if words else float("nan")
        default, missing = gap if default is None else default, gap if missing is None else missing
        keys = [k for k in table if k == k and not (val.text and k == "")]
        if val.text and missing != default:
            keys.append("")
        entries = [missing if val.text and k == "" else table[k] for k in keys]
        indices = self.category_index(val, keys, len(keys))
        tensor = self.op.Gather(self.op.const(as_tensor([*entries, default], words)), indices, axis=0)
        if not val.text and not _equal_or_nan(missing, default):
            tensor = self.op.Where(self.op.IsNaN(val.tensor), self.scalar(missing), tensor)
        return Val(tensor, "string" if words else "double", checked=True)

    def to_text(self, val: Val) -> Val:
        """Numbers as their digits: integers without a point. Only integers and booleans have one spelling."""
        if val.text:
            return val
        if val.missing:
            return self.constant("", "string")
        if val.data_type == "boolean":
            return self.lookup(val, {1.0: "true", 0.0: "false"})
        if val.data_type != "integer" and not val.values:
            raise UnreadableFile(f"A {val.data_type} is used as text, whose spelling PMML leaves open.")
        if val.values and val.data_type != "integer":
            return self.lookup(val, {float(v): v for v in val.values})
        digits = self.op.Cast(self.op.Cast(self.blank_zero(val), to=INT64), to=STRING)
        text = Val(digits, "string", val.values, val.ordinal, val.checked)
        return self.blank(text, logical_not(self.missing(val), self.op))

    def blank_zero(self, val: Val) -> ir.Value:
        """Numbers with zero for missing."""
        gone = self.missing(val)
        return (
            val.tensor
            if gone is False
            else self.op.Where(self.mask_column(gone), self.scalar(0.0), val.tensor)
        )

    def to_number(self, val: Val) -> Val:
        """Text as the numbers it spells, by its declared values; what spells none is missing."""
        if not val.text:
            return val
        if val.missing:
            return self.constant(float("nan"))
        table = {}
        for value in val.values:
            try:
                table[value] = float(value)
            except ValueError:
                continue
        if not val.values:
            return Val(self._parse_numbers(val), "double", checked=True)
        return self.lookup(val, table)

    def _parse_numbers(self, val: Val) -> ir.Value:
        """Any decimal number; everything else is NaN."""
        pattern = r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*"
        good = self.op.RegexFullMatch(val.tensor, pattern=pattern)
        return self.op.Cast(self.op.Where(good, val.tensor, self.scalar("NaN")), to=DOUBLE)

    def cast(self, val: Val, data_type: str) -> Val:
        """The value under another data type."""
        if data_type == val.data_type or not data_type:
            return val
        if is_text(data_type):
            return self.to_text(val).with_(data_type=data_type)
        number = self.to_number(val)
        if data_type == "boolean" and val.text:
            number = self.lookup(val, {"true": 1.0, "false": 0.0})
        if data_type == "integer" and number.data_type not in ("integer", "boolean"):
            sign_and_floor = self.op.Sign(number.tensor), self.op.Floor(self.op.Abs(number.tensor))
            return number.with_(tensor=self.op.Mul(*sign_and_floor), data_type=data_type)
        if data_type == "float" and number.data_type == "double":
            narrow = self.op.Cast(self.op.Cast(number.tensor, to=ir.DataType.FLOAT), to=DOUBLE)
            return number.with_(tensor=narrow, data_type=data_type)
        return number.with_(data_type=data_type)

    def concat_numbers(self, vals: Sequence[Val]) -> ir.Value:
        """Numeric columns side by side, [N, n]."""
        tensors = [self.to_number(v).tensor for v in vals]
        return tensors[0] if len(tensors) == 1 else self.op.Concat(*tensors, axis=1)

    def gather_column(self, matrix: ir.Value, column: int) -> ir.Value:
        """One column of a matrix, [N, 1]."""
        return self.op.Gather(matrix, np.array([column], np.int64), axis=1)

    def by_row(self, index: ir.Value, entries: Sequence[Any], data_type: str = "") -> Val:
        """Entries (floats or str) picked by an int64 [N, 1]."""
        words = any(isinstance(e, str) for e in entries)
        tensor = self.op.Gather(self.op.const(as_tensor(list(entries), words)), index, axis=0)
        return Val(tensor, data_type or ("string" if words else "double"), checked=True)


def _equal_or_nan(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)
