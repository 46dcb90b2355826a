"""Operators on Python values: executed if all are static, emitted as hub scalars otherwise."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge_torchscript.import_ops.common import int64_scalar, length, rank, tensor
from bridge_torchscript.values import (
    Complex,
    Items,
    ListGrows,
    Poison,
    Sequence,
    Sym,
    Unsupported,
    Var,
    check_mutable,
    collection_like,
    is_outside,
)

T = ir.DataType
NUMBER = (bool, int, float, complex)
MAKES_LISTS = {
    *(f"aten::{n}" for n in ("add", "items", "keys", "list", "mul", "size", "slice", "tolist", "values")),
    "prim::tolist",
}
"""Operators whose list nobody else has, so that it can change where it was made."""


class Functions(dict[str, Callable[..., Any]]):
    """Python functions by operator name. They return NotImplemented for tensors."""

    def op(self, *names: str) -> Callable:
        """Register the decorated function for `names`."""

        def register(function: Callable) -> Callable:
            self.update(dict.fromkeys(names, function))
            return function

        return register


PYTHON = Functions()


def sym(value: ir.Value) -> Any:
    """Python number of a constant hub scalar; a Sym otherwise."""
    array = const(value)
    return array.reshape(()).item() if array is not None and array.size == 1 else Sym(value)


def operands(op: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Two numbers as scalars of one dtype: double if either is a float."""
    kinds = [v.python_type if isinstance(v, Sym) else type(v) for v in (x, y)]
    dtype = T.DOUBLE if float in kinds else T.INT64 if int in kinds else T.BOOL
    return tensor(op, x, dtype), tensor(op, y, dtype)


def register_arithmetic(name: str, function: Callable, hub_name: str) -> None:
    @PYTHON.op(name)
    def compute(op, x, y, alpha=1):
        if (
            isinstance(x, (list, tuple, str))
            and not isinstance(x, Sym)
            and name in ("aten::add", "aten::mul")
        ):
            return type(x)(function(x, y)) if isinstance(x, tuple) else function(x, y)
        if not (isinstance(x, (*NUMBER, Sym)) and isinstance(y, (*NUMBER, Sym))) or alpha != 1:
            return NotImplemented
        if isinstance(x, Sym) or isinstance(y, Sym):
            if name == "aten::add" and type(x) is int and x == 0 and y.python_type is int:
                return y
            return sym(op.node(hub_name, *operands(op, x, y)))
        return function(x, y)


register_arithmetic("aten::add", operator.add, "Add")
register_arithmetic("aten::sub", operator.sub, "Sub")
register_arithmetic("aten::mul", operator.mul, "Mul")


@PYTHON.op("aten::div")
def div(op, x, y, rounding_mode=None):
    if not (isinstance(x, (*NUMBER, Sym)) and isinstance(y, (*NUMBER, Sym))) or rounding_mode is not None:
        return NotImplemented
    if isinstance(x, Sym) or isinstance(y, Sym):
        return sym(op.Div(tensor(op, x, T.DOUBLE), tensor(op, y, T.DOUBLE)))
    return x / y


@PYTHON.op("aten::floordiv")
def floordiv(op, x, y):
    if not isinstance(x, Sym) and not isinstance(y, Sym):
        return x // y
    a, b = operands(op, x, y)
    if a.dtype == T.DOUBLE:
        return sym(op.Floor(op.Div(a, b)))
    return sym(op.Div(op.Sub(a, op.Mod(a, b)), b))


@PYTHON.op("aten::remainder")
def remainder(op, x, y):
    if isinstance(x, Var) or isinstance(y, Var):
        return NotImplemented
    if not isinstance(x, Sym) and not isinstance(y, Sym):
        return x % y
    a, b = operands(op, x, y)
    if a.dtype == T.DOUBLE:
        return sym(op.Sub(a, op.Mul(op.Floor(op.Div(a, b)), b)))
    return sym(op.Mod(a, b))


def register_comparison(name: str, function: Callable, hub_name: str) -> None:
    @PYTHON.op(name)
    def compare(op, x, y):
        if isinstance(x, (Var, Complex)) or isinstance(y, (Var, Complex)):
            return NotImplemented
        if isinstance(x, Sym) or isinstance(y, Sym):
            result = op.node(hub_name if hub_name != "NotEqual" else "Equal", *operands(op, x, y))
            return sym(op.Not(result) if hub_name == "NotEqual" else result)
        if isinstance(x, list) and isinstance(y, list) and any(isinstance(v, (Var, Sym)) for v in [*x, *y]):
            return compare_lists(op, x, y, name)
        return function(x, y)


def compare_lists(op: Any, x: list[Any], y: list[Any], name: str) -> Any:
    """Equality, or inequality, of two lists of numbers."""
    if name not in ("aten::eq", "aten::ne") or any(isinstance(v, Var) for v in [*x, *y]):
        raise Unsupported("compares lists of values known at run time alone")
    results = [
        True if one == two else sym(op.Equal(*operands(op, one, two))) for one, two in zip(x, y, strict=False)
    ]
    unknown = [p for p in results if isinstance(p, Sym)]
    result: Any = len(x) == len(y) and False not in results
    if result and unknown:
        result = sym(functools.reduce(op.And, [p.value for p in unknown]))
    if name == "aten::eq":
        return result
    return sym(op.Not(result.value)) if isinstance(result, Sym) else not result


register_comparison("aten::eq", operator.eq, "Equal")
register_comparison("aten::ne", operator.ne, "NotEqual")
register_comparison("aten::lt", operator.lt, "Less")
register_comparison("aten::le", operator.le, "LessOrEqual")
register_comparison("aten::gt", operator.gt, "Greater")
register_comparison("aten::ge", operator.ge, "GreaterOrEqual")


def register_logical(name: str, function: Callable, hub_name: str) -> None:
    @PYTHON.op(name)
    def combine(op, x, y):
        if isinstance(x, Var) or isinstance(y, Var):
            return NotImplemented
        if not isinstance(x, Sym) and not isinstance(y, Sym):
            return function(x, y)
        return sym(op.node(hub_name, *(tensor(op, v, T.BOOL) for v in (x, y))))


register_logical("aten::__and__", operator.and_, "And")
register_logical("aten::__or__", operator.or_, "Or")
register_logical("aten::__xor__", operator.xor, "Xor")


@PYTHON.op("aten::__not__")
def not_(op, x):
    return sym(op.Not(tensor(op, x.value, T.BOOL))) if isinstance(x, Sym) else not x


@PYTHON.op("aten::__is__")
def is_(op, x, y):
    return x is y


@PYTHON.op("aten::__isnot__")
def is_not(op, x, y):
    return not is_(op, x, y)


@PYTHON.op("aten::sum")
def sum_(op, x, *rest):
    if not isinstance(x, list) or rest:
        return NotImplemented
    result: Any = 0
    for value in x:
        result = PYTHON["aten::add"](op, result, value)
    return result


def register_quantifier(name: str, function: Callable, combined: str) -> None:
    @PYTHON.op(name)
    def quantify(op, x, *rest):
        if not isinstance(x, list) or rest:
            return NotImplemented
        result: Any = function([])
        for value in x:
            result = PYTHON[combined](op, result, to_bool(op, value))
        return result


register_quantifier("aten::all", all, "aten::__and__")
register_quantifier("aten::any", any, "aten::__or__")


@PYTHON.op("aten::neg")
def neg(op, x):
    if isinstance(x, Sym):
        return sym(op.Neg(x.value))
    return -x if isinstance(x, NUMBER) else NotImplemented


def convert_scalar(op: Any, x: Any, python_type: type, dtype: ir.DataType) -> Any:
    if isinstance(x, Var):
        value = x.read(op)
        array = const(value)
        if array is not None:
            return python_type(array.reshape(()).item())
        if rank(value):
            value = op.Reshape(value, op.const(np.zeros(0, np.int64)))
        return Sym(op.Cast(value, to=int(dtype)) if value.dtype != dtype else value)
    if isinstance(x, Sym):
        return sym(tensor(op, x, dtype))
    return python_type(x)


@PYTHON.op("aten::Int", "aten::IntImplicit")
def to_int(op, x):
    return convert_scalar(op, x, int, T.INT64)


@PYTHON.op("aten::Float", "aten::FloatImplicit")
def to_float(op, x):
    return convert_scalar(op, x, float, T.DOUBLE)


@PYTHON.op("aten::Bool")
def to_bool(op, x):
    return convert_scalar(op, x, bool, T.BOOL)


@PYTHON.op("aten::item", "aten::ScalarImplicit", "aten::_local_scalar_dense")
def item(op, x):
    value = x.read(op)
    if value.dtype == T.BOOL:
        return to_bool(op, x)
    return to_int(op, x) if value.dtype.is_integer() else to_float(op, x)


@PYTHON.op("aten::len")
def len_(op, x):
    if isinstance(x, (Var, Complex)):
        return length(op, _read(op, x), 0)
    return Sym(op.SequenceLength(x.value)) if isinstance(x, Sequence) else len(x)


@PYTHON.op("aten::dim", "prim::ndim")
def dim(op, x):
    return rank(_read(op, x))


def _read(op: Any, x: Any) -> Any:
    """The tensor itself; of complex numbers their real parts, which have the same shape."""
    return op.Gather(x.value, np.array(0), axis=-1) if isinstance(x, Complex) else x.read(op)


@PYTHON.op("aten::size", "aten::sym_size")
def size(op, x, dim=None):
    value = _read(op, x)
    if dim is None:
        return [length(op, value, i) for i in range(rank(value))]
    return length(op, value, dim)


@PYTHON.op("aten::numel", "aten::sym_numel")
def numel(op, x):
    value = _read(op, x)
    lengths = [length(op, value, i) for i in range(rank(value))]
    return math.prod(lengths) if all(isinstance(p, int) for p in lengths) else Sym(op.Size(value))


@PYTHON.op("aten::is_floating_point")
def is_floating_point(op, x):
    return not isinstance(x, Complex) and x.read(op).dtype.is_floating_point()


@PYTHON.op("aten::is_complex")
def is_complex(op, x):
    return isinstance(x, Complex)


@PYTHON.op("aten::is_sparse", "aten::is_nested", "aten::is_cuda")
def never(op, x):
    return False


@PYTHON.op("aten::__getitem__")
def getitem(op, x, index):
    if isinstance(x, Sequence):
        return x.at(op, int64_scalar(op, index))
    if isinstance(index, Sym):
        if isinstance(x, (list, tuple)) and all(isinstance(v, (int, Sym)) for v in x):
            stacked = op.Concat(*(op.Reshape(tensor(op, v, T.INT64), np.array([1])) for v in x), axis=0)
            return Sym(op.Gather(stacked, index.value))
        raise Unsupported("picks from a list by an index known at run time alone")
    try:
        return x[index]
    except (IndexError, KeyError) as error:
        raise Unsupported(f"picks {index!r}, which is not there") from error


@PYTHON.op("aten::__contains__")
def contains(op, x, item):
    if isinstance(item, (Sym, Var)) or (isinstance(x, list) and any(isinstance(v, (Sym, Var)) for v in x)):
        if isinstance(item, Sym):
            result: Any = False
            for value in x:
                same = PYTHON["aten::eq"](op, item, value)
                result = PYTHON["aten::__or__"](op, result, same)
            return result
        raise Unsupported("looks for a value known at run time alone")
    return item in x


def register_mutation(name: str, change: Callable) -> None:
    @PYTHON.op(name)
    def apply(op, x, *rest):
        if not isinstance(x, (list, dict)):
            return NotImplemented
        check_mutable(op, x)
        return change(x, *rest)


def _insert(x: list, index: int, value: Any) -> list:
    x.insert(index, value)
    return x


@PYTHON.op("aten::append")
def append(op, x, value):
    if not isinstance(x, list):
        return NotImplemented
    if isinstance(x, Items) and x.sequence is not None and isinstance(value, Var):
        x.append_to_sequence(op, value.read(op))
        return x
    if isinstance(x, Items) and is_outside(op, x) and isinstance(value, Var):
        raise ListGrows(x, value.read(op).dtype)
    check_mutable(op, x)
    x.append(value)
    return x


def _extend(x: list, values: Any) -> None:
    x.extend(values)


def _set_item(x: Any, key: Any, value: Any) -> Any:
    x[key] = value
    return x


register_mutation("aten::extend", _extend)
register_mutation("aten::insert", _insert)
register_mutation("aten::pop", lambda x, *rest: x.pop(*rest))
register_mutation("aten::_set_item", _set_item)
register_mutation("aten::clear", lambda x: x.clear())
register_mutation("aten::update", lambda x, other: x.update(other))
register_mutation("aten::setdefault", lambda x, key, value: x.setdefault(key, value))
register_mutation("aten::Delete", lambda x, key: x.__delitem__(key))
register_mutation("aten::reverse", lambda x: x.reverse())


@PYTHON.op("aten::keys")
def keys(op, x):
    return list(x)


@PYTHON.op("aten::values")
def values(op, x):
    return list(x.values())


@PYTHON.op("aten::items")
def items(op, x):
    return list(x.items())


@PYTHON.op("aten::get")
def get(op, x, key, default=None):
    return x.get(key, default)


@PYTHON.op("aten::list")
def list_(op, x):
    return NotImplemented if isinstance(x, Var) else list(x)


@PYTHON.op("aten::copy")
def copy(op, x):
    if isinstance(x, list):
        return collection_like(op, x, x)
    return dict(x) if isinstance(x, dict) else NotImplemented


@PYTHON.op("aten::dict")
def dict_(op, x=()):
    return dict(x)


@PYTHON.op("aten::slice")
def slice_(op, x, *bounds):
    if not isinstance(x, (list, str)):
        return NotImplemented
    start, end, step = (*bounds, None, None, None)[:3]
    return x[start : None if end is None or end > len(x) else end : step]


def register_text(name: str, function: Callable) -> None:
    """Register a text function of static values. Text of run-time values may only be printed or raised."""

    @PYTHON.op(name)
    def make(op, *inputs):
        if any(_has_run_time_value(v) for v in inputs):
            return Poison("uses text made of values known at run time alone")
        return function(*inputs)


def _has_run_time_value(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_run_time_value(v) for pair in value.items() for v in pair)
    if isinstance(value, (list, tuple)):
        return any(_has_run_time_value(v) for v in value)
    return not isinstance(value, (*NUMBER, str, type(None)))


register_text("aten::str", str)
register_text("aten::format", lambda text, *values: text.format(*values))
register_text("aten::percentFormat", lambda text, *values: text % values)
register_text("aten::join", lambda separator, parts: separator.join(parts))


@PYTHON.op("aten::__range_length")
def range_length(op, low, high, step):
    if any(isinstance(v, Sym) for v in (low, high, step)):
        if isinstance(step, Sym) or step == 0:
            raise Unsupported("counts in steps known at run time alone")
        span = op.Sub(int64_scalar(op, high), int64_scalar(op, low))
        up = op.Add(span, np.array(step - (1 if step > 0 else -1)))
        return sym(op.Max(op.Div(up, np.array(step)), np.array(0)))
    return len(range(low, high, step))


@PYTHON.op("aten::__derive_index")
def derive_index(op, index, start, step):
    if all(isinstance(v, int) for v in (index, start, step)):
        return start + index * step
    return sym(op.Add(int64_scalar(op, start), op.Mul(int64_scalar(op, index), int64_scalar(op, step))))


ON_HUB = {"sqrt": "Sqrt", "log": "Log", "exp": "Exp", "sin": "Sin", "cos": "Cos", "isnan": "IsNaN"}


def _of_run_time(op: Any, name: str, x: Any, y: Any = None) -> Any:
    """Function of numbers known at run time: floors and ceilings are integers, as in Python."""
    if name in ("ceil", "floor"):
        whole = x.python_type is not float
        return x if whole else sym(op.Cast(op.node(name.capitalize(), x.value), to=int(T.INT64)))
    if name == "pow" and all(isinstance(v, (*NUMBER, Sym)) for v in (x, y)):
        return sym(op.Pow(*operands(op, x, y)))
    if name in ON_HUB and y is None:
        return sym(op.node(ON_HUB[name], tensor(op, x, T.DOUBLE)))
    if name == "abs":
        return sym(op.Abs(x.value))
    return NotImplemented


def register_math(**functions: Callable) -> None:
    for name, function in functions.items():

        @PYTHON.op(f"aten::{name}")
        def compute(op, *inputs, name=name, function=function):
            if any(isinstance(v, Sym) for v in inputs):
                return _of_run_time(op, name, *inputs)
            if not all(isinstance(v, NUMBER) for v in inputs):
                return NotImplemented
            return function(*inputs)


register_math(
    sqrt=math.sqrt,
    ceil=math.ceil,
    floor=math.floor,
    log=math.log,
    exp=math.exp,
    sin=math.sin,
    cos=math.cos,
    pow=operator.pow,
    abs=abs,
    round=round,
    isnan=math.isnan,
    isinf=math.isinf,
    gcd=math.gcd,
)


def register_extreme(name: str, function: Callable, hub_name: str) -> None:
    @PYTHON.op(f"prim::{name}")
    def compute(op, *inputs):
        if len(inputs) == 1 and isinstance(inputs[0], list):
            inputs = tuple(inputs[0])
        if any(isinstance(v, Var) for v in inputs):
            return NotImplemented
        if any(isinstance(v, Sym) for v in inputs):
            result = inputs[0]
            for value in inputs[1:]:
                result = sym(op.node(hub_name, *operands(op, result, value)))
            return result
        return function(inputs)


register_extreme("min", min, "Min")
register_extreme("max", max, "Max")


@PYTHON.op("prim::abs")
def absolute(op, x):
    if isinstance(x, Sym):
        return sym(op.Abs(x.value))
    return abs(x) if isinstance(x, NUMBER) else NotImplemented


@PYTHON.op("aten::device", "prim::device")
def device(op, *inputs):
    return "cpu"


NOTHING = (
    "aten::warn aten::manual_seed aten::set_grad_enabled prim::Enter prim::Exit aten::_assert_scalar"
    " aten::_assert_async aten::_assert_tensor_metadata aten::sym_constrain_range"
    " aten::sym_constrain_range_for_size"
)


@PYTHON.op(*NOTHING.split())
def nothing(op, *inputs):
    return None


ALWAYS_FALSE = (
    "aten::is_grad_enabled aten::is_autocast_enabled aten::is_autocast_cpu_enabled aten::is_scripting"
    " prim::is_cuda prim::is_meta prim::is_mkldnn prim::is_xpu prim::is_sparse prim::is_nested"
)


@PYTHON.op(*ALWAYS_FALSE.split())
def always_false(op, *inputs):
    return False


@PYTHON.op("prim::type")
def device_type(op, x):
    return "cpu" if isinstance(x, str) else NotImplemented


@PYTHON.op("prim::itemsize")
def refuse_itemsize(op, *inputs):
    raise Unsupported("is not read")


@PYTHON.op("aten::tolist", "prim::tolist")
def tolist(op, x, *rest):
    value = x.read(op)
    if rank(value) != 1 or not isinstance(value.shape[0], int) or not value.dtype.is_integer():
        raise Unsupported("makes a list of a length known at run time alone")
    return [sym(op.Gather(op.Cast(value, to=7), np.array(i))) for i in range(value.shape[0])]
