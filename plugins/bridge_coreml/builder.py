"""MIL's own builder, told hub values: it checks every operator and infers every type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel, first_line
from bridge.ops import OpTable
from bridge.weightfile import FileTensor
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.export_ops.common import HELD, I32_MAX, NUMPY
from bridge_coreml.stored_weights import stored_weights

LARGE = 2**16
"""Bytes from which a constant is written straight from its file."""
BLOBS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Dtypes that MIL holds as they are, and keeps beside the program."""


class Mil:
    """Calls MIL operators by name: `mil.conv(x=x, weight=w)`, or by place for its `x` and `y`:
    `mil.add(a, b)`. Arguments may be hub values, MIL variables, arrays, numbers.

    `table` are the rules of hub operators, `version` is the iOS version written for, `model` the hub model
    that is. Constants are written
    where they are first read.
    """

    def __init__(self, table: OpTable, version: int, model: ir.Model) -> None:
        coremltools()
        from coremltools.converters.mil.mil import Builder

        self.table, self.version, self.model = table, version, model
        self.builder = Builder
        self.variables: dict[ir.Value, Any] = {}
        self.blocks: list[dict[ir.Value, Any]] = [{}]
        self.tensors: dict[Any, ir.TensorProtocol] = {}
        self.names: set[str] = set()
        self.named: set[Any] = set()
        self.node: ir.Node | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        operator = getattr(self.builder, name)

        def call(*inputs: Any, **arguments: Any) -> Any:
            arguments_by_name = {**dict(zip("xy", inputs, strict=False)), **arguments}
            return operator(**{k: self.argument(v) for k, v in arguments_by_name.items() if v is not None})

        return call

    def argument(self, value: Any) -> Any:
        if isinstance(value, ir.Value):
            return self.var(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self.argument(v) for v in value)
        return value

    def var(self, value: ir.Value) -> Any:
        """The MIL variable of a hub value."""
        if value in self.variables:
            return self.variables[value]
        for block in reversed(self.blocks):
            if value in block:
                return block[value]
        constant = stored_weights(self, self.model, value)
        if constant is None:
            constant = self._constant(value)
        self.rename(constant, value.name or "constant")
        self.blocks[-1][value] = constant
        return constant

    def _constant(self, value: ir.Value) -> Any:
        """The MIL constant of a hub constant; the bytes of a large one stay in its file."""
        tensor, array = hub.held(value), None
        if isinstance(tensor, FileTensor) and tensor.dtype in BLOBS and tensor.nbytes >= LARGE:
            constant = self.builder.const(val=tensor.mapped())
            self.tensors[constant] = tensor
            return constant
        array = hub.const(value)
        assert array is not None, f"{value.name} is read before it is made"
        return self.builder.const(val=as_mil_constant(array, value.dtype))

    def rename(self, variable: Any, name: str) -> None:
        variable.name = self.unique(name)
        self.named.add(variable)

    def rename_rest(self, block: Any) -> None:
        """Rename the variables that MIL named itself, such as `concat_2`, so that no name is taken twice."""
        for operation in block.operations:
            for inner in operation.blocks:
                for variable in inner.inputs:
                    self.rename(variable, variable.name)
                self.rename_rest(inner)
            for variable in operation.outputs:
                if variable not in self.named:
                    self.rename(variable, variable.name)

    def unique(self, name: str) -> str:
        """A valid Core ML identifier made of `name`, unused so far."""
        identifier = re.sub(r"\W", "_", name, flags=re.ASCII) or "value"
        identifier = f"_{identifier}" if identifier[0].isdigit() else identifier
        candidate, count = identifier, 0
        while candidate in self.names:
            count += 1
            candidate = f"{identifier}_{count}"
        self.names.add(candidate)
        return candidate

    def dtype_of(self, value: Any) -> str:
        """MIL dtype: fp32, fp16, int32, bool."""
        from coremltools.converters.mil.mil import types

        return types.builtin_to_string(self.argument(value).dtype)

    def cast_to(self, value: Any, mil_dtype: str) -> Any:
        variable = self.argument(value)
        return (
            variable
            if self.dtype_of(variable) == mil_dtype
            else self.builder.cast(x=variable, dtype=mil_dtype)
        )

    def as_numbers(self, value: Any, operate: Callable[[Any], Any]) -> Any:
        """Apply an operator that takes no booleans to 0 and 1, and cast back."""
        variable = self.argument(value)
        if self.dtype_of(variable) != "bool":
            return operate(variable)
        return self.cast_to(operate(self.cast_to(variable, "int32")), "bool")

    def like(self, number: float, value: Any) -> Any:
        """NumPy scalar in the dtype of `value`."""
        return NUMPY[self.dtype_of(value)](number)

    def write_all(self, graph: Any) -> None:
        """Write every node of a graph."""
        for node in graph:
            self.write(node)

    def write(self, node: ir.Node) -> None:
        rule = self.table.find(hub.qualified(node), node, self.version)
        assert rule is not None
        self.node = node
        try:
            results = rule.apply(self, node, *node.inputs)
        except (ValueError, TypeError, AssertionError, KeyError, IndexError, NotImplementedError) as error:
            reason = f"was refused by coremltools: {first_line(error)}"
            raise UnsupportedModel(
                "1 operator cannot be written as Core ML:", [hub.blocker(node, reason)]
            ) from error
        results = results if isinstance(results, (tuple, list)) else (results,)
        for output, result in zip(node.outputs, results, strict=False):
            if result is None or not output.name:
                continue
            self.variables[output] = result
            if result.op is not None and result.op.op_type != "const":
                self.rename(result, output.name)


def as_mil_constant(array: np.ndarray, dtype: ir.DataType | None) -> np.ndarray:
    """Constant in the dtype MIL computes with. Raises ValueError for integers beyond int32, which rules
    refuse beforehand."""
    numpy_dtype = NUMPY[HELD[dtype or ir.DataType.FLOAT]]
    if (
        numpy_dtype is np.int32
        and array.size
        and (int(array.min()) < -I32_MAX - 1 or int(array.max()) > I32_MAX)
    ):
        raise ValueError("a constant does not fit into 32 bits")
    constant: np.ndarray = np.asarray(array, numpy_dtype, order="C")
    return constant if constant.ndim else constant[()]
