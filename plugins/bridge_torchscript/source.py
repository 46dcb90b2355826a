"""Generated TorchScript: the builder of export rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, qualified, rank_of
from bridge.ops import OpTable
from bridge_torchscript.archive import Module, Weight
from bridge_torchscript.dtypes import storage_dtype
from bridge_torchscript.names import Names, weight_path

WORD = re.compile(r"[A-Za-z_]\w*")
MAX_INLINE = 64


@dataclass
class Line:
    """Statement. If it only defines `makes`, it is dropped when nothing reads them."""

    text: str
    makes: frozenset[str] = frozenset()


@dataclass
class Block:
    """Statement with a body."""

    header: str
    body: list[Line | Block] = field(default_factory=list)


class Source:
    """Body of a method under construction.

    Handlers get the names of their inputs and return expressions. Longer code is written with `let`, `line`
    and `block`. A hub value is read by `name` as a tensor, by `ints` as a list of Python ints, by `number` as
    a literal if it is constant.
    """

    def __init__(self, root: Module, rules: OpTable) -> None:
        self.root, self.rules = root, rules
        self.names = Names()
        self.body: list[Line | Block] = []
        self.library: set[str] = set()
        self._values: dict[ir.Value, str] = {}
        self._lists: list[dict[ir.Value, str]] = [{}]

    def graph(self, graph: ir.Graph) -> None:
        """Write every node of a graph by its rule."""
        for node in graph:
            rule = self.rules.find(qualified(node), node)
            assert rule is not None, node.op_type
            results = rule.apply(self, node, *(None if v is None else self.name(v) for v in node.inputs))
            results = results if isinstance(results, (list, tuple)) else [results]
            for value, expression in zip(node.outputs, results, strict=False):
                self.assign(value, expression)

    def line(self, text: str) -> None:
        """Write a statement with side effects."""
        self.body.append(Line(text))

    def let(self, expression: str, hint: str = "t", annotation: str = "") -> str:
        """Write an assignment of `expression` to a new name; return the name."""
        name = self.names.fresh(hint)
        type_suffix = f": {annotation}" if annotation else ""
        self.body.append(Line(f"{name}{type_suffix} = {expression}", frozenset([name])))
        return name

    def set_name(self, name: str, expression: str) -> None:
        """Write an assignment to a name that another branch also assigns."""
        self.body.append(Line(f"{name} = {expression}", frozenset([name])))

    def unpack(self, expression: str, *hints: str) -> list[str]:
        """Write an unpacking of a tuple; return the new names."""
        names = [self.names.fresh(w) for w in hints]
        targets = ", ".join(names) + ("," if len(names) == 1 else "")
        self.body.append(Line(f"{targets} = {expression}", frozenset(names)))
        return names

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Context in which statements are written under `header`."""
        outer, block = self.body, Block(header)
        outer.append(block)
        self.body = block.body
        self._lists.append({})
        try:
            yield
        finally:
            self.body = outer
            self._lists.pop()

    def lib(self, function: str, *arguments: Any) -> str:
        """Call of a library function."""
        self.library.add(function)
        return f"__torch__.lib.{function}({', '.join(map(str, arguments))})"

    def set(self, value: ir.Value, expression: str) -> None:
        """Read `value` as `expression` from here on."""
        self._values[value] = expression

    def assign(self, value: ir.Value, expression: str, annotation: str = "") -> None:
        """Write an assignment for `value`; an identifier is used as it is."""
        if expression.isidentifier():
            self.set(value, expression)
        else:
            self.set(value, self.let(expression, value.name or "value", annotation))

    def name(self, value: ir.Value) -> str:
        """Expression of a tensor, list or optional."""
        if value not in self._values:
            assert value.const_value is not None, f"{value.name} is read before it is made"
            self._values[value] = self.weight(value.name or "const", value.const_value)
        return self._values[value]

    def weight(self, name: str, tensor: ir.TensorProtocol) -> str:
        """Expression of a weight, which the module stores under its name."""
        learned = tensor.dtype.is_floating_point() and tensor.size > 1
        *path, last = weight_path(name)
        owner = self.root
        steps: list[str] = []
        for step in path:
            if step in owner.weights:
                owner, steps, last = self.root, [], "_".join([*path, last])
                break
            owner = owner.modules.setdefault(step, Module("_".join([owner.cls, step])))
            steps.append(step)
        while last in owner.weights or last in owner.modules:
            last += "_"
        owner.weights[last] = Weight(tensor, learned)
        expression = "self"
        for step in [*steps, last]:
            expression = f"{expression}.{step}" if step.isidentifier() else f'getattr({expression}, "{step}")'
        return expression

    def type(self, value: ir.Value) -> str:
        """Type annotation of a value."""
        return annotation(value.type)

    def dtype(self, value: ir.Value | ir.DataType) -> str:
        """Storage dtype of a value in source: `torch.float32`, …"""
        dtype = value.dtype if isinstance(value, ir.Value) else value
        assert dtype is not None
        return f"torch.{storage_dtype(dtype).name}"

    def number(self, value: ir.Value) -> str | None:
        """Literal of a constant scalar; None for anything else."""
        array = const(value)
        if array is None or array.ndim:
            return None
        return number_literal(array.item()) if array.dtype.kind in "fiub" else None

    def operand(self, value: ir.Value) -> str:
        """Operand of arithmetic: a literal for a finite scalar float, else the tensor."""
        array = const(value)
        if (
            array is not None
            and not array.ndim
            and array.dtype in (np.float32, np.float64)
            and np.isfinite(array)
        ):
            return number_literal(array.item())
        return self.name(value)

    def ints(self, value: ir.Value) -> str:
        """List of ints of an integer vector; without a tensor if its elements are constants or lengths."""
        items = elements(self, value)
        if items is not None:
            return f"[{', '.join(map(str, items))}]"
        for known in self._lists:
            if value in known:
                return known[value]
        reshape = "" if rank_of(value) == 1 else ".reshape([-1])"
        reshape += "" if value.dtype == ir.DataType.INT64 else ".to(torch.int64)"
        name = self.let(f"annotate(List[int], {self.name(value)}{reshape}.tolist())", f"{value.name}_list")
        self._lists[-1][value] = name
        return name

    def int(self, value: ir.Value) -> str:
        """Int of an integer scalar, or of a vector of one element."""
        items = elements(self, value)
        return str(items[0]) if items else f"int({self.name(value)})"

    def code(self, results: Sequence[str]) -> str:
        """Indented statements that `results` depend on."""
        return "\n".join(
            _format_rows(_live_statements(self.body, {w for r in results for w in WORD.findall(r)}), "    ")
        )


def annotation(hub_type: ir.TypeProtocol | None) -> str:
    """TorchScript type of a hub type."""
    if isinstance(hub_type, ir.SequenceType):
        return f"List[{annotation(hub_type.elem_type)}]"
    if isinstance(hub_type, ir.OptionalType):
        return f"Optional[{annotation(hub_type.elem_type)}]"
    return "Tensor"


def number_literal(number: Any) -> str:
    """Literal of a number; infinities and NaN by their names in the archive's language."""
    if isinstance(number, float) and not np.isfinite(number):
        return "nan" if number != number else "inf" if number > 0 else "-inf"
    return repr(number)


def _live_statements(body: list[Line | Block], live: set[str]) -> list[Line | Block]:
    statements: list[Line | Block] = []
    for item in reversed(body):
        if isinstance(item, Block):
            item.body = _live_statements(item.body, live)
            live.update(WORD.findall(item.header))
        elif item.makes and not item.makes & live:
            continue
        else:
            live.update(WORD.findall(item.text))
        statements.append(item)
    return statements[::-1]


def _format_rows(body: list[Line | Block], indent: str) -> Iterator[str]:
    for item in body or [Line("pass")]:
        if isinstance(item, Line):
            yield indent + item.text
        else:
            yield indent + item.header
            yield from _format_rows(item.body, indent + "  ")


def elements(ts: Source, value: ir.Value) -> list[Any] | None:
    """Elements of an integer scalar or vector as ints and int expressions; None if they need a tensor."""
    array = const(value)
    if array is not None:
        return (
            [int(v) for v in array.reshape(-1)]
            if array.dtype.kind in "iu" and array.size <= MAX_INLINE
            else None
        )
    node = value.producer()
    if node is None or node.domain or rank_of(value) not in (0, 1) or value in ts._lists[0]:
        return None
    rule = ELEMENTS.get(node.op_type)
    return rule(ts, node) if rule is not None else None


def _shape_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    x = node.inputs[0]
    if x is None or x.shape is None or not isinstance(x.type, ir.TensorType):
        return None
    dims = list(x.shape)
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(dims))
    return [d if isinstance(d, int) else f"{ts.name(x)}.size({i})" for i, d in enumerate(dims)][start:end]


def _size_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    return [f"{ts.name(node.inputs[0])}.numel()"] if node.inputs[0] is not None else None


def _same_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    return elements(ts, node.inputs[0]) if node.inputs[0] is not None else None


def _cast_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    x, integer_dtypes = node.inputs[0], (ir.DataType.INT64, ir.DataType.INT32)
    is_int64_cast = x is not None and x.dtype in integer_dtypes and node.outputs[0].dtype == ir.DataType.INT64
    return _same_elements(ts, node) if is_int64_cast else None


def _concat_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    lists = [elements(ts, v) for v in node.inputs if v is not None]
    return None if any(p is None for p in lists) else [e for p in lists for e in p or ()]


def _gather_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    data, indices_value = node.inputs
    index, items = const(indices_value), None if data is None else elements(ts, data)
    if index is None or items is None or rank_of(data) != 1:
        return None
    indices = index.reshape(-1)
    return [items[int(i)] for i in indices] if all(-len(items) <= i < len(items) for i in indices) else None


def _slice_elements(ts: Source, node: ir.Node) -> list[Any] | None:
    bounds = [const(v) for v in list(node.inputs)[1:] if v is not None]
    items = _same_elements(ts, node)
    if items is None or any(b is None or b.size != 1 for b in bounds):
        return None
    start, end = (int(b.reshape(())) for b in bounds[:2])  # type: ignore[union-attr]
    step = int(bounds[3].reshape(())) if len(bounds) > 3 else 1  # type: ignore[union-attr]
    return items[start:end:step] if step > 0 else None


def _arithmetic_elements(sign: str) -> Any:
    def combine(ts: Source, node: ir.Node) -> list[Any] | None:
        one, other = (elements(ts, v) for v in node.inputs)  # type: ignore[arg-type]
        if one is None or other is None or node.outputs[0].dtype != ir.DataType.INT64:
            return None
        if 1 not in (len(one), len(other)) and len(one) != len(other):
            return None
        count = max(len(one), len(other)) if one and other else 0
        one, other = (p * count if len(p) == 1 else p for p in (one, other))
        return [f"({a} {sign} {b})" for a, b in zip(one, other, strict=True)]

    return combine


ELEMENTS = {
    "Shape": _shape_elements,
    "Size": _size_elements,
    "Identity": _same_elements,
    "Unsqueeze": _same_elements,
    "Squeeze": _same_elements,
    "Reshape": _same_elements,
    "Cast": _cast_elements,
    "Concat": _concat_elements,
    "Gather": _gather_elements,
    "Slice": _slice_elements,
    "Add": _arithmetic_elements("+"),
    "Sub": _arithmetic_elements("-"),
    "Mul": _arithmetic_elements("*"),
}
