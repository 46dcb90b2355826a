"""MIL's own builder, told hub values: it checks every operator and infers every type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.export_ops.common import HELD, I32_MAX, NUMPY


class Mil:
    """Calls MIL operators by name: `mil.conv(x=x, weight=w)`, or by place for its `x` and `y`:
    `mil.add(a, b)`. Arguments may be hub values, MIL variables, arrays, numbers.

    `table` are the rules of hub operators, `version` is the iOS version written for. Constants are written
    where they are first read.
    """

    def __init__(self, table: OpTable, version: int) -> None:
        coremltools()
        from coremltools.converters.mil.mil import Builder

        self.table, self.version = table, version
        self.builder = Builder
        self.variables: dict[ir.Value, Any] = {}
        self.blocks: list[dict[ir.Value, Any]] = [{}]
        self.names: set[str] = set()
        self.named: set[Any] = set()
        self.node: ir.Node | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        operator = getattr(self.builder, name)

        def call(*inputs: Any, **arguments: Any) -> Any:
            given = {**dict(zip("xy", inputs, strict=False)), **arguments}
            return operator(**{k: self.argument(v) for k, v in given.items() if v is not None})

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
        array = hub.const(value)
        assert array is not None, f"{value.name} is read before it is made"
        made = self.builder.const(val=held(array, value.dtype))
        self.rename(made, value.name or "constant")
        self.blocks[-1][value] = made
        return made

    def rename(self, made: Any, name: str) -> None:
        made.name = self.unique(name)
        self.named.add(made)

    def rename_rest(self, block: Any) -> None:
        """What MIL named itself, such as `concat_2`, gives way to the model's own names."""
        for operation in block.operations:
            for inner in operation.blocks:
                for made in inner.inputs:
                    self.rename(made, made.name)
                self.rename_rest(inner)
            for made in operation.outputs:
                if made not in self.named:
                    self.rename(made, made.name)

    def unique(self, name: str) -> str:
        """`name` as Core ML allows it, and nobody else's."""
        plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "value"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        found, count = plain, 0
        while found in self.names:
            count += 1
            found = f"{plain}_{count}"
        self.names.add(found)
        return found

    def kind(self, value: Any) -> str:
        """MIL dtype: fp32, fp16, int32, bool."""
        from coremltools.converters.mil.mil import types

        return types.builtin_to_string(self.argument(value).dtype)

    def cast_to(self, value: Any, kind: str) -> Any:
        made = self.argument(value)
        return made if self.kind(made) == kind else self.builder.cast(x=made, dtype=kind)

    def as_numbers(self, value: Any, operate: Callable[[Any], Any]) -> Any:
        """An operator that takes no booleans, done on 0 and 1."""
        made = self.argument(value)
        if self.kind(made) != "bool":
            return operate(made)
        return self.cast_to(operate(self.cast_to(made, "int32")), "bool")

    def like(self, number: float, value: Any) -> Any:
        """A number of the dtype of `value`."""
        return NUMPY[self.kind(value)](number)

    def write_all(self, graph: Any) -> None:
        """Write every node of a graph."""
        for node in graph:
            self.write(node)

    def write(self, node: ir.Node) -> None:
        rule = self.table.find(hub.qualified(node), node, self.version)
        assert rule is not None
        self.node = node
        try:
            results = rule.handler(self, node, *node.inputs)
        except (ValueError, TypeError, AssertionError, KeyError, IndexError, NotImplementedError) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = f"was refused by coremltools: {why}"
            blocker = Blocker(node.op_type, node.name or "", str(hub.origin(node)), reason)
            raise UnsupportedModel("1 operator cannot be written as Core ML:", [blocker]) from error
        results = results if isinstance(results, (tuple, list)) else (results,)
        for output, made in zip(node.outputs, results, strict=False):
            if made is None or not output.name:
                continue
            self.variables[output] = made
            if made.op is not None and made.op.op_type != "const":
                self.rename(made, output.name)


def held(array: np.ndarray, dtype: ir.DataType | None) -> np.ndarray:
    """A constant in the dtype MIL computes with. Integers beyond 32 bits are an error: rules refuse them
    beforehand."""
    kind = NUMPY[HELD[dtype or ir.DataType.FLOAT]]
    if kind is np.int32 and array.size and (int(array.min()) < -I32_MAX - 1 or int(array.max()) > I32_MAX):
        raise ValueError("a constant does not fit into 32 bits")
    made: np.ndarray = np.asarray(array, kind, order="C")
    return made if made.ndim else made[()]
