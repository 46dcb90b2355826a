"""Nodes of operators: the overload that the types of arguments choose, and how arguments are converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bridge_torchscript.script.code import Foreign
from bridge_torchscript.script.graph import Block, Node, Value
from bridge_torchscript.script.schema import Argument, Schema
from bridge_torchscript.script.types import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    NUMBERS,
    STR,
    TENSOR,
    Type,
    dotted,
    is_subtype,
    joined,
    list_of,
    optional,
    tuple_of,
    without_optional,
)

__all__ = ["Emitter", "Mismatch", "dotted"]

OF_PYTHON = {bool: BOOL, int: INT, float: FLOAT, str: STR, complex: COMPLEX, type(None): NONE}
WORDS = frozenset(["int", "float", "bool", "str", "complex", "number"])
IMPLICIT = {
    "float": "FloatImplicit",
    "int": "IntImplicit",
    "complex": "ComplexImplicit",
    "number": "ScalarImplicit",
}
CASTS = {"float": "Float", "int": "Int", "complex": "Complex", "number": "Int"}
MIRRORED = {
    "add": "add",
    "mul": "mul",
    "eq": "eq",
    "ne": "ne",
    "lt": "gt",
    "gt": "lt",
    "le": "ge",
    "ge": "le",
}
"""Operators of a number and a tensor, and those of the tensor and the number of the same meaning."""


class Mismatch(Exception):
    """Error: arguments that a schema does not take."""


class Emitter:
    """Builder of the nodes of one block after another. `operators(name)` are an operator's overloads."""

    def __init__(self, operators: Callable[[str], Sequence[Schema]]) -> None:
        self.operators = operators
        self.block = Block()
        self.where = ""

    def emit(self, kind: str, inputs: Sequence[Value], *types: Type, **attributes: Any) -> Node:
        return self.block.append(Node(kind, inputs, types, where=self.where, **attributes))

    def constant(self, value: Any, kind: Type | None = None) -> Value:
        """Constant of a Python value, or of a stored one of that type."""
        attributes = {} if value is None else {"value": value}
        return self.emit("prim::Constant", [], kind or OF_PYTHON[type(value)], **attributes).output()

    def literal(self, value: Any, kind: Type) -> Value:
        """Value of a default; lists are built anew."""
        if isinstance(value, (list, tuple)):
            element = without_optional(kind).args[0] if without_optional(kind).args else TENSOR
            return self.list_node(element, [self.literal(item, element) for item in value])
        return self.constant(value, None if type(value) in OF_PYTHON else kind)

    def list_node(self, element: Type, items: Sequence[Value]) -> Value:
        return self.emit("prim::ListConstruct", items, list_of(element)).output()

    def tuple_node(self, items: Sequence[Value], kind: Type | None = None) -> Value:
        made = kind or tuple_of(v.type() for v in items)
        return self.emit("prim::TupleConstruct", items, made).output()

    def unpacked(self, items: Value) -> list[Value]:
        """Elements of a tuple."""
        if items.node().kind() == "prim::TupleConstruct":
            return items.node().inputs()
        return self.emit("prim::TupleUnpack", [items], *items.type().args).outputs()

    def builtin(self, name: str, args: Sequence[Value], named: dict[str, Value] | None = None) -> Value:
        """Result of an operator, of the first overload that takes the arguments as they are, else converted.

        Raises Foreign if there is none.
        """
        for convert in (False, True):
            for schema in self.operators(name):
                before = len(self.block.nodes())
                try:
                    inputs, variables = self.matched(schema, args, named or {}, convert)
                except Mismatch:
                    del self.block.nodes()[before:]
                    continue
                return self.call(name, schema, inputs, variables)
            if len(args) == 2 and args[1].type() == TENSOR and args[0].type().word in NUMBERS:
                mirrored = self._mirrored(name.removeprefix("aten::"), *args)
                if mirrored is not None:
                    return mirrored
        given = ", ".join(str(v.type()) for v in args)
        raise Foreign(f"{name} of {given or 'nothing'}")

    def _mirrored(self, name: str, number: Value, x: Value) -> Value | None:
        """Result of an operator of a number and a tensor by one that takes the tensor first."""
        if name in MIRRORED:
            return self.builtin(f"aten::{MIRRORED[name]}", [x, number])
        if name == "sub":
            return self.builtin("aten::add", [self.builtin("aten::neg", [x]), number])
        if name == "div":
            return self.builtin("aten::mul", [self.builtin("aten::reciprocal", [x]), number])
        return None

    def require_current(self, schema: Schema) -> None:
        """Raise Foreign for an overload that meant something else when the archive was written."""

    def call(self, name: str, schema: Schema, inputs: Sequence[Value], variables: dict[str, Type]) -> Value:
        """Result of an operator whose arguments fit; a tuple of several, None of none."""
        self.require_current(schema)
        types = [evaluated(t, variables) for t in schema.returns]
        node = Node(name, inputs, types, schema.text, schema.writes, self.where)
        outputs = self.block.append(node).outputs()
        if len(outputs) == 1:
            return outputs[0]
        return self.tuple_node(outputs) if outputs else self.constant(None)

    def matched(
        self, schema: Schema, args: Sequence[Value], named: dict[str, Value], convert: bool
    ) -> tuple[list[Value], dict[str, Type]]:
        """Inputs in the order of the schema and the types of its variables. Raises Mismatch."""
        variables: dict[str, Type] = {}
        left, names = list(args), dict(named)
        inputs = []
        for index, argument in enumerate(schema.arguments):
            if left and not argument.kwarg_only:
                if convert and self._takes_rest(schema, index, left[0].type()):
                    element = without_optional(argument.type).args[0]
                    items = [self.fitted(Argument("", element), v, True, variables) for v in left]
                    inputs.append(self.list_node(evaluated(element, variables), items))
                    left = []
                    continue
                value = left.pop(0)
            elif argument.name in names:
                value = names.pop(argument.name)
            elif argument.has_default_value():
                value = self.literal(argument.default, argument.type)
            else:
                raise Mismatch
            inputs.append(self.fitted(argument, value, convert, variables))
        if left or names:
            raise Mismatch
        return inputs, variables

    def _takes_rest(self, schema: Schema, index: int, first: Type) -> bool:
        """True if all arguments from here on are the elements of one list."""
        argument, rest = schema.arguments[index], schema.arguments[index + 1 :]
        formal = without_optional(argument.type)
        if (
            formal.word != "List"
            or argument.size
            or is_variable(formal.args[0])
            or not all(a.kwarg_only for a in rest[:1])
        ):
            return False
        return first.word != "List" and not (first.word == "Tuple" and first.args)

    def fitted(self, argument: Argument, value: Value, convert: bool, variables: dict[str, Type]) -> Value:
        """Value as an argument takes it. Raises Mismatch."""
        formal = without_optional(argument.type)
        if formal.word == "List" and argument.size and formal.args[0] == value.type():
            value = self.list_node(value.type(), [value] * argument.size)
        if not bind(argument.type, value.type(), variables):
            raise Mismatch
        concrete = evaluated(argument.type, variables)
        value = self.converted(value, concrete, convert)
        if not is_subtype(value.type(), concrete):
            raise Mismatch
        return value

    def converted(self, value: Value, to: Type, convert: bool) -> Value:
        """Value after the conversions to a type that TorchScript makes of itself."""
        kind = value.type()
        if to.word == "Optional" and kind.word != "Optional" and kind != NONE:
            return self.converted(value, to.args[0], convert)
        if to.word == "List" and value.node().attributes.get("empty"):
            return self.list_node(to.args[0], [])
        if kind.word == "Tuple" and to.word == "List" and self._is_list_of(kind, to.args[0]):
            return self.list_node(to.args[0], self.unpacked(value))
        if kind.word == to.word == "Tuple" and kind != to and len(kind.args) == len(to.args) and kind.args:
            items = [
                self.converted(v, t, convert) for v, t in zip(self.unpacked(value), to.args, strict=True)
            ]
            return self.tuple_node(items)
        return self._number(value, kind, to) if convert else value

    def _is_list_of(self, kind: Type, element: Type) -> bool:
        return all(is_subtype(item, element) for item in kind.args)

    def _number(self, value: Value, kind: Type, to: Type) -> Value:
        if kind == TENSOR and to.word in IMPLICIT:
            return self.builtin(f"aten::{IMPLICIT[to.word]}", [value])
        if (kind == NUMBER and to.word in ("float", "int", "complex")) or (
            kind == BOOL and to.word in ("float", "int", "number")
        ):
            return self.builtin(f"aten::{CASTS[to.word]}", [value])
        if kind == STR and to == DEVICE:
            return self.device(value)
        return value

    def device(self, value: Value) -> Value:
        """Device of its name, which is a constant."""
        return self.constant(value.toIValue(), DEVICE)


def is_variable(kind: Type) -> bool:
    return not kind.name and kind.word[:1].islower() and kind.word not in WORDS


def bind(formal: Type, actual: Type, variables: dict[str, Type]) -> bool:
    """Set the variables of a formal type so that an actual one may fit; False if none do."""
    if is_variable(formal):
        before = variables.get(formal.word)
        both = actual if before is None else joined(before, actual)
        if both is not None:
            variables[formal.word] = both
        return both is not None
    if not formal.args or formal.name:
        return True
    if formal.word == "Optional":
        if actual == NONE:
            return not has_variables(formal) or all(w in variables for w in names_of(formal))
        return bind(formal.args[0], without_optional(actual), variables)
    if formal.word == actual.word and len(formal.args) == len(actual.args):
        return all(bind(f, a, variables) for f, a in zip(formal.args, actual.args, strict=True))
    if formal.word == "List" and actual.word == "Tuple" and actual.args:
        return all(bind(formal.args[0], a, variables) for a in actual.args)
    return not has_variables(formal)


def names_of(kind: Type) -> list[str]:
    """Names of the variables in a type."""
    return [kind.word] if is_variable(kind) else [n for inner in kind.args for n in names_of(inner)]


def has_variables(kind: Type) -> bool:
    return bool(names_of(kind))


def evaluated(kind: Type, variables: dict[str, Type]) -> Type:
    """Type with its variables replaced."""
    if is_variable(kind):
        return variables.get(kind.word, kind)
    if not kind.args or kind.name:
        return kind
    inner = tuple(evaluated(part, variables) for part in kind.args)
    return optional(inner[0]) if kind.word == "Optional" else Type(kind.word, inner)
