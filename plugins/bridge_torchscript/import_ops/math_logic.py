"""Elementwise comparisons, logical and bitwise operators."""

from __future__ import annotations

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, as_bool, cast, is_float, number, promote
from bridge_torchscript.import_ops.signal_fft import equal_complex
from bridge_torchscript.values import Complex

ops = OpTable()


def register_comparison(hub_name: str, *names: str) -> None:
    @ops.op(*(f"aten::{n}" for n in names))
    def compare(op, x, other):
        if hub_name == "Equal" and (isinstance(x, Complex) or isinstance(other, Complex)):
            return equal_complex(op, x, other)
        a, b = promote(op, x, other)
        if a.dtype == T.BOOL and hub_name != "Equal":
            a, b = (cast(op, v, T.INT32) for v in (a, b))
        return op.node(hub_name, a, b)


register_comparison("Equal", "eq")
register_comparison("Less", "lt", "less")
register_comparison("LessOrEqual", "le", "less_equal")
register_comparison("Greater", "gt", "greater")
register_comparison("GreaterOrEqual", "ge", "greater_equal")


@ops.op("aten::ne", "aten::not_equal")
def not_equal(op, x, other):
    if isinstance(x, Complex) or isinstance(other, Complex):
        return op.Not(equal_complex(op, x, other))
    return op.Not(op.Equal(*promote(op, x, other)))


def register_logical(**names: str) -> None:
    for name, hub_name in names.items():

        @ops.op(f"aten::{name}")
        def combine(op, x, other, hub_name=hub_name):
            return op.node(hub_name, as_bool(op, x), as_bool(op, other))


register_logical(logical_and="And", logical_or="Or", logical_xor="Xor")


@ops.op("aten::logical_not")
def logical_not(op, x):
    return op.Not(as_bool(op, x))


@ops.op("aten::bitwise_not")
def bitwise_not(op, x):
    return op.Not(x) if x.dtype == T.BOOL else op.BitwiseNot(x)


def register_bitwise(hub_name: str, bool_name: str, *names: str) -> None:
    @ops.op(*(f"aten::{n}" for n in names))
    def combine(op, x, other):
        a, b = promote(op, x, other)
        return op.node(bool_name if a.dtype == T.BOOL else hub_name, a, b)


register_bitwise("BitwiseAnd", "And", "bitwise_and", "__and__")
register_bitwise("BitwiseOr", "Or", "bitwise_or", "__or__")
register_bitwise("BitwiseXor", "Xor", "bitwise_xor", "__xor__")


@ops.op("aten::bitwise_left_shift", "aten::__lshift__")
def left_shift(op, x, other):
    a, b = promote(op, x, other)
    return (
        op.Mul(a, cast(op, op.Pow(number(op, 2, a), b), a.dtype))
        if not is_float(a)
        else op.Mul(a, op.Pow(number(op, 2.0, a), b))
    )


@ops.op("aten::isnan")
def isnan(op, x):
    return op.IsNaN(x) if is_float(x) else op.Not(op.Equal(x, x))


@ops.op("aten::isinf")
def isinf(op, x):
    return op.IsInf(x) if is_float(x) else op.Not(op.Equal(x, x))


@ops.op("aten::isposinf")
def isposinf(op, x):
    return op.IsInf(x, detect_negative=0) if is_float(x) else op.Not(op.Equal(x, x))


@ops.op("aten::isneginf")
def isneginf(op, x):
    return op.IsInf(x, detect_positive=0) if is_float(x) else op.Not(op.Equal(x, x))


@ops.op("aten::isfinite")
def isfinite(op, x):
    return op.Not(op.Or(isnan(op, x), isinf(op, x)))


@ops.op("aten::isreal")
def isreal(op, x):
    return op.Equal(x, x) if not is_float(x) else op.Or(op.IsNaN(x), op.Equal(x, x))


@ops.op("aten::isclose")
def isclose(op, x, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    a, b = promote(op, x, other)
    close = op.Equal(a, b)
    if is_float(a):
        bound = op.Add(number(op, atol, a), op.Mul(number(op, rtol, a), op.Abs(b)))
        near = op.And(op.LessOrEqual(op.Abs(op.Sub(a, b)), bound), isfinite(op, b))
        close = op.Or(close, near)
        if equal_nan:
            close = op.Or(close, op.And(op.IsNaN(a), op.IsNaN(b)))
    return close


@ops.op("aten::isin")
def isin(
    op, elements=None, test_elements=None, element=None, test_element=None, assume_unique=False, invert=False
):
    """True where an element is among the others, which may be none."""
    one = element if elements is None else elements
    some, others = promote(op, one, test_element if test_elements is None else test_elements)
    same = op.Equal(op.Unsqueeze(some, ints(-1)), op.Reshape(others, ints(-1)))
    count = op.ReduceSum(op.Cast(same, to=int(T.INT32)), ints(-1), keepdims=0)
    found = op.Greater(count, number(op, 0, count))
    return op.Not(found) if invert else found
