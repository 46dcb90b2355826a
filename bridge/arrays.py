"""Hub values in numpy's formulas: one text of a formula computes arrays, or builds the nodes that compute
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import Builder

__all__ = ["HubArray"]

OPERATORS: dict[Any, str] = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.floor: "Floor",
    np.ceil: "Ceil",
    np.rint: "Round",
    np.minimum: "Min",
    np.maximum: "Max",
    np.equal: "Equal",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.logical_and: "And",
    np.where: "Where",
}


class HubArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A hub value of the float type `dtype`, or a comparison of such. Python's operators, numpy's universal
    functions and numpy.where build nodes of it, in which numbers and arrays are constants of that type."""

    def __init__(self, op: Builder, value: ir.Value, dtype: ir.DataType | None = None) -> None:
        self.op, self.value = op, value
        self.dtype = dtype or value.dtype or ir.DataType.FLOAT

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return NotImplemented if method != "__call__" or options else self._node(ufunc, inputs)

    def __array_function__(self, function: Any, types: Any, args: Sequence[Any], options: Any) -> Any:
        return NotImplemented if options else self._node(function, args)

    def _node(self, function: Any, inputs: Sequence[Any]) -> Any:
        if function not in OPERATORS:
            return NotImplemented
        values = [v.value if isinstance(v, HubArray) else self._constant(v) for v in inputs]
        return HubArray(self.op, self.op.node(OPERATORS[function], *values), self.dtype)

    def _constant(self, number: Any) -> ir.Value:
        array = np.asarray(number)
        return self.op.const(array if array.dtype == np.bool_ else array.astype(self.dtype.numpy()))
