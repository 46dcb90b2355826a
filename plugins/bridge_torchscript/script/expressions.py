"""Expressions of TorchScript source as nodes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge_torchscript.script.calls import Emitter
from bridge_torchscript.script.code import FOREIGN_CLASSES, ClassCode, Code, Foreign
from bridge_torchscript.script.graph import Block, Value
from bridge_torchscript.script.schema import Schema
from bridge_torchscript.script.types import (
    ANY,
    BOOL,
    DEVICE,
    FLOAT,
    INT,
    NONE,
    STR,
    TENSOR,
    Type,
    class_type,
    dotted,
    is_subtype,
    joined,
    list_of,
    without_optional,
)

BINARY = {
    **{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floordiv"},
    **{ast.Mod: "remainder", ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "__and__"},
    **{ast.BitOr: "__or__", ast.BitXor: "__xor__", ast.LShift: "__lshift__", ast.RShift: "__rshift__"},
}
COMPARISONS = {
    **{ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"},
    **{ast.Is: "__is__", ast.IsNot: "__isnot__"},
}
CASTS = {"int": (INT, "Int"), "float": (FLOAT, "Float"), "bool": (BOOL, "Bool"), "str": (STR, "str")}
PROPERTIES = {
    **{
        n: f"prim::{n}"
        for n in ("dtype", "device", "data", "layout", "is_cuda", "requires_grad", "is_quantized")
    },
    **{
        n: f"prim::{n}" for n in ("grad", "is_sparse", "is_cpu", "is_mkldnn", "is_meta", "itemsize", "nbytes")
    },
    **{"shape": "aten::size", "ndim": "aten::dim", "T": "aten::numpy_T", "H": "aten::matrix_H"},
    **{"mT": "aten::mT", "mH": "aten::mH", "real": "aten::real", "imag": "aten::imag"},
}
FUNCTIONS = {
    **{n: f"prim::{n}" for n in ("min", "max", "abs", "rangelist")},
    **{
        n: f"aten::{n}"
        for n in ("len", "all", "any", "sum", "sorted", "ord", "chr", "hex", "oct", "bin", "divmod")
    },
    "unwrap_optional": "aten::_unwrap_optional",
}


@dataclass(frozen=True)
class Named:
    """The meaning of a dotted name that is no value: a namespace of operators, a class, a function."""

    name: str


@dataclass(frozen=True)
class Method:
    """A method of a value, not yet called."""

    owner: Value
    name: str


class Expressions(Emitter):
    """Lowers expressions. `names` are the values of variables, the innermost block last."""

    def __init__(self, code: Code, operators: Callable[[str], Sequence[Schema]]) -> None:
        super().__init__(operators)
        self.code = code
        self.names: list[dict[str, Any]] = [{}]

    def lookup(self, name: str) -> Any:
        """Value or meaning of a variable; None if it has none."""
        return next((frame[name] for frame in reversed(self.names) if name in frame), None)

    def value(self, node: ast.expr) -> Value:
        """Value of an expression. Raises Foreign for what is none."""
        found = self.meaning(node)
        if not isinstance(found, Value):
            raise Foreign(f"{ast.unparse(node)[:80]!r} as a value")
        return found

    def meaning(self, node: ast.expr) -> Any:
        """Value of an expression, or what its name means."""
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise Foreign(f"the expression {ast.unparse(node)[:80]!r}")
        return method(node)

    def _Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, (bytes, type(...))):
            raise Foreign("a literal that is no number or text")
        return self.constant(node.value)

    def _Name(self, node: ast.Name) -> Any:
        found = self.lookup(node.id)
        if found is None and node.id in ("inf", "nan"):
            return self.constant(float(node.id))
        return Named(node.id) if found is None else found

    def _Attribute(self, node: ast.Attribute) -> Any:
        owner = self.meaning(node.value)
        if isinstance(owner, Value):
            return self.attribute(owner, node.attr)
        if not isinstance(owner, Named):
            raise Foreign(f"an attribute of {ast.unparse(node.value)[:80]}")
        name = f"{owner.name}.{node.attr}"
        if owner.name == "CONSTANTS":
            stored = self.code.stored_constant(node)
            return self.constant(stored, type_of_stored(stored))
        if owner.name.startswith("__torch__") and self._is_enum(owner.name):
            held = self.code.class_(owner.name).constants[node.attr]
            return self.constant(held, class_type(owner.name, "Enum"))
        return Named(name)

    def _is_enum(self, name: str) -> bool:
        found = self.code.definition(name)
        return isinstance(found, ast.ClassDef) and self.code.class_(name).word == "Enum"

    def attribute(self, owner: Value, name: str) -> Any:
        """Attribute of a value, or its method."""
        kind = owner.type()
        if kind.word == "Class" and not kind.name.startswith(FOREIGN_CLASSES):
            return self._class_attribute(owner, self.code.class_(kind.name), name)
        if kind.word == "Tuple" and name in kind.fields:
            return self.element(owner, self.constant(kind.fields.index(name)))
        if kind == TENSOR and name in PROPERTIES:
            return self.builtin(PROPERTIES[name], [owner])
        if kind == DEVICE and name in ("type", "index"):
            return self.builtin(f"prim::{name}", [owner])
        if kind.word == "Enum" and name in ("name", "value"):
            raise Foreign(f"the {name} of an enumeration")
        return Method(owner, name)

    def _class_attribute(self, owner: Value, code: ClassCode, name: str) -> Any:
        if name in code.methods:
            return Method(owner, name)
        if name in code.constants:
            return self.literal(code.constants[name], code.attributes[name])
        if name not in code.attributes:
            raise Foreign(f"the attribute {name} of {code.name}")
        return self.emit("prim::GetAttr", [owner], code.attributes[name], name=name).output()

    def _BinOp(self, node: ast.BinOp) -> Value:
        name = BINARY[type(node.op)]
        operands = [self.value(node.left), self.value(node.right)]
        if name == "floordiv" and operands[0].type() == TENSOR:
            name = "floor_divide"
        return self.builtin(f"aten::{name}", operands)

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return self.builtin("aten::__not__", [self.truth(node.operand)])
        if isinstance(node.op, ast.UAdd):
            return self.value(node.operand)
        operand = node.operand
        if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant):
            return self.constant(-operand.value)  # type: ignore[operator]
        if isinstance(node.op, ast.USub) and isinstance(operand, ast.Name) and operand.id == "inf":
            return self.constant(float("-inf"))
        return self.builtin(
            "aten::neg" if isinstance(node.op, ast.USub) else "aten::bitwise_not", [self.value(operand)]
        )

    def _Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1:
            raise Foreign("a chain of comparisons")
        op, left, right = node.ops[0], self.value(node.left), self.value(node.comparators[0])
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self.builtin("aten::__contains__", [right, left])
            return found if isinstance(op, ast.In) else self.builtin("aten::__not__", [found])
        return self.builtin(f"aten::{COMPARISONS[type(op)]}", [left, right])

    def _BoolOp(self, node: ast.BoolOp) -> Value:
        """`and` and `or`, which do not compute the second operand in vain."""
        first, *rest = node.values
        other = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        is_and = isinstance(node.op, ast.And)
        branches = [lambda: self.truth(other), lambda: self.constant(not is_and)]
        return self.choice(self.truth(first), *(branches if is_and else branches[::-1]))

    def _IfExp(self, node: ast.IfExp) -> Value:
        return self.choice(
            self.truth(node.test), lambda: self.value(node.body), lambda: self.value(node.orelse)
        )

    def choice(self, condition: Value, then: Callable[[], Value], other: Callable[[], Value]) -> Value:
        """Result of a condition of two expressions."""
        node = self.emit("prim::If", [condition])
        for branch in (then, other):
            with_block = self.enter(Block())
            node.blocks().append(self.block)
            result = branch()
            self.block.outputs().append(result)
            self.block = with_block
        kind = joined(*(b.outputs()[0].type() for b in node.blocks()))
        if kind is None:
            raise Foreign("values of two types in two branches")
        node.outputs().append(Value(node, kind))
        return node.output()

    def enter(self, block: Block) -> Block:
        """Build in another block from here on; return the one before."""
        before, self.block = self.block, block
        return before

    def truth(self, node: ast.expr) -> Value:
        """Condition as a bool."""
        value = self.value(node)
        return value if value.type() == BOOL else self.builtin("aten::Bool", [value])

    def _List(self, node: ast.List) -> Value:
        items = [self.value(item) for item in node.elts]
        if not items:
            return self.emit("prim::ListConstruct", [], list_of(TENSOR), empty=True).output()
        return self.list_node(self._common(items), items)

    def _common(self, items: list[Value]) -> Type:
        kind: Type | None = items[0].type()
        for item in items[1:]:
            kind = None if kind is None else joined(kind, item.type())
        return ANY if kind is None else kind

    def _Tuple(self, node: ast.Tuple) -> Value:
        return self.tuple_node([self.value(item) for item in node.elts])

    def _Dict(self, node: ast.Dict) -> Value:
        keys = [self.value(key) for key in node.keys if key is not None]
        values = [self.value(item) for item in node.values]
        kind = (
            Type("Dict", (self._common(keys), self._common(values))) if keys else Type("Dict", (STR, TENSOR))
        )
        inputs = [v for pair in zip(keys, values, strict=True) for v in pair]
        return self.emit("prim::DictConstruct", inputs, kind).output()

    def _Subscript(self, node: ast.Subscript) -> Value:
        owner, index = self.value(node.value), node.slice
        kind = owner.type()
        if kind == TENSOR:
            return self.gathered(owner, index.elts if isinstance(index, ast.Tuple) else [index])
        if isinstance(index, ast.Slice):
            return self._sliced(owner, index)
        if kind.word != "Tuple":
            return self.builtin("aten::__getitem__", [owner, self.value(index)])
        at = self.value(index)
        number = at.toIValue()
        if type(number) is not int or not -len(kind.args) <= number < len(kind.args):
            raise Foreign("an element of a tuple by what is no constant")
        return self.element(owner, at)

    def element(self, items: Value, at: Value) -> Value:
        """Element of a tuple at a constant place."""
        index = at.toIValue()
        if items.node().kind() == "prim::TupleConstruct":
            return items.node().inputsAt(index)
        return self.emit("prim::TupleIndex", [items, at], items.type().args[index]).output()

    def bounds(self, index: ast.Slice) -> list[Value]:
        """Start, end and step of a slice."""
        given = [self.constant(None) if b is None else self.value(b) for b in (index.lower, index.upper)]
        return [*given, self.constant(1) if index.step is None else self.value(index.step)]

    def _sliced(self, owner: Value, index: ast.Slice) -> Value:
        kind, bounds = owner.type(), self.bounds(index)
        if kind.word != "Tuple":
            return self.builtin("aten::slice", [owner, *bounds])
        begin, end, step = (b.toIValue() for b in bounds)
        begin, end, _ = slice(begin, end).indices(len(kind.args))
        if step != 1:
            raise Foreign("a slice of a tuple in steps")
        types = Type("Tuple", kind.args[begin:end])
        return self.emit("prim::TupleSlice", [owner], types, beg=begin, end=end).output()

    def gathered(self, x: Value, indices: list[ast.expr]) -> Value:
        """Part of a tensor, one dimension after another; tensors index all at once."""
        dim, tensors = 0, {}
        for place, index in enumerate(indices):
            if isinstance(index, ast.Constant) and index.value is ...:
                rest = [
                    i for i in indices[place + 1 :] if not (isinstance(i, ast.Constant) and i.value is None)
                ]
                if any(not isinstance(i, ast.Slice) for i in rest):
                    raise Foreign("an index after an ellipsis")
                dim = -len(rest)
            elif isinstance(index, ast.Slice):
                x = self.builtin("aten::slice", [x, self.constant(dim), *self.bounds(index)])
                dim += 1
            elif isinstance(index, ast.Constant) and index.value is None:
                x, dim = self.builtin("aten::unsqueeze", [x, self.constant(dim)]), dim + 1
            else:
                at = self.value(index)
                if at.type() == INT:
                    x = self.builtin("aten::select", [x, self.constant(dim), at])
                else:
                    tensors[dim], dim = at, dim + 1
        if not tensors:
            return x
        chosen = [tensors.get(i) or self.constant(None) for i in range(max(tensors) + 1)]
        return self.builtin("aten::index", [x, self.list_node(Type("Optional", (TENSOR,)), chosen)])

    def _Call(self, node: ast.Call) -> Value:
        name = dotted(node.func)
        special = SPECIAL.get(name) if self.lookup(name) is None else None
        if special is not None:
            return special(self, node)
        called = self.meaning(node.func)
        if isinstance(called, Named) and called.name.endswith(".__new__"):
            return self.emit("prim::CreateObject", [], class_type(called.name[:-8])).output()
        args = [self.value(arg) for arg in node.args]
        named = {keyword.arg or "": self.value(keyword.value) for keyword in node.keywords}
        if isinstance(called, Method):
            return self._call_method(called, args, named)
        if isinstance(called, Named):
            return self._call_name(called.name, args, named)
        raise Foreign(f"a call of {ast.unparse(node.func)[:80]}")

    def _call_method(self, method: Method, args: list[Value], named: dict[str, Value]) -> Value:
        kind = method.owner.type()
        if kind.word == "Class" and not kind.name.startswith(FOREIGN_CLASSES):
            definition = self.code.class_(kind.name).methods.get(method.name)
            if definition is None:
                raise Foreign(f"the method {method.name} of {kind}")
            return self.invoke(f"{kind.name}.{method.name}", definition, [method.owner, *args], named)
        if kind.word in ("Class", "Interface", "Future", "Optional"):
            raise Foreign(f"the method {method.name} of {kind}")
        return self.builtin(f"aten::{method.name}", [method.owner, *args], named)

    def _call_name(self, name: str, args: list[Value], named: dict[str, Value]) -> Value:
        space, _, rest = name.partition(".")
        if space == "torch":
            return self.builtin(f"aten::{rest}", args, named)
        if space == "ops" and rest.count(".") == 1:
            return self.builtin(rest.replace(".", "::"), args, named)
        if name in FUNCTIONS:
            return self.builtin(FUNCTIONS[name], args, named)
        function = self.code.function(name) if space == "__torch__" else None
        if function is not None:
            return self.invoke(name, function, args, named)
        if space == "__torch__":
            return self._construct(self.code.named_type(name), args, named)
        raise Foreign(f"the function {name}")

    def _construct(self, kind: Type, args: list[Value], named: dict[str, Value]) -> Value:
        if kind.word == "Tuple":
            items = [*args, *(named[field] for field in kind.fields[len(args) :])]
            fitted = [self.converted(v, t, True) for v, t in zip(items, kind.args, strict=True)]
            return self.tuple_node(fitted, kind)
        if kind.word != "Class":
            raise Foreign(f"an object of {kind}")
        made = self.emit("prim::CreateObject", [], kind).output()
        self._call_method(Method(made, "__init__"), args, named)
        return made

    def invoke(
        self, key: str, definition: ast.FunctionDef, args: list[Value], named: dict[str, Value]
    ) -> Value:
        """Result of a function or method of the archive."""
        raise NotImplementedError


def type_of_stored(value: Any) -> Type:
    """Type of a constant that an archive stores."""
    if hasattr(value, "array"):
        return TENSOR
    if isinstance(value, (list, tuple)) and value:
        types = [type_of_stored(item) for item in value]
        return list_of(types[0]) if isinstance(value, list) else Type("Tuple", tuple(types))
    words = {bool: BOOL, int: INT, float: FLOAT, str: STR, type(None): NONE}
    if type(value) not in words:
        raise Foreign(f"a constant that is a {type(value).__name__}")
    return words[type(value)]


def _annotate(self: Expressions, node: ast.Call) -> Value:
    kind, inner = self.code.type(node.args[0]), node.args[1]
    if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "tolist":
        return _to_list(self, self.value(inner.func.value), kind)
    if isinstance(inner, ast.List) and kind.word == "List":
        return self.list_node(
            kind.args[0], [self.converted(self.value(e), kind.args[0], True) for e in inner.elts]
        )
    if isinstance(inner, ast.Dict):
        made = self.value(inner)
        return self.emit("prim::DictConstruct", made.node().inputs(), kind).output()
    value = self.converted(self.value(inner), kind, True)
    if value.type() == kind or not is_subtype(value.type(), kind):
        return value
    return value if value.type() == NONE else self.emit("prim::unchecked_cast", [value], kind).output()


def _to_list(self: Expressions, x: Value, kind: Type) -> Value:
    depth, element = 0, kind
    while element.word == "List":
        depth, element = depth + 1, element.args[0]
    code = {"int": 0, "float": 1, "bool": 2}.get(element.word)
    if code is None:
        raise Foreign(f"a tensor as {kind}")
    return self.emit("prim::tolist", [x, self.constant(depth), self.constant(code)], kind).output()


def _unchecked_cast(self: Expressions, node: ast.Call) -> Value:
    return self.emit(
        "prim::unchecked_cast", [self.value(node.args[1])], self.code.type(node.args[0])
    ).output()


def _uninitialized(self: Expressions, node: ast.Call) -> Value:
    return self.emit("prim::Uninitialized", [], self.code.type(node.args[0])).output()


def _cast(self: Expressions, node: ast.Call) -> Value:
    kind, name = CASTS[dotted(node.func)]
    value = self.value(node.args[0])
    return value if value.type() == kind else self.builtin(f"aten::{name}", [value])


def _getattr(self: Expressions, node: ast.Call) -> Any:
    owner, name = self.value(node.args[0]), node.args[1]
    if not isinstance(name, ast.Constant):
        raise Foreign("an attribute of a name that is computed")
    return self.attribute(owner, str(name.value))


def _isinstance(self: Expressions, node: ast.Call) -> Value:
    value, asked = self.value(node.args[0]), node.args[1]
    types = [self.code.type(t) for t in (asked.elts if isinstance(asked, ast.Tuple) else [asked])]
    kind = value.type()
    if any(is_subtype(kind, t) for t in types):
        return self.constant(True)
    if kind.word not in ("Optional", "Union", "Any", "number", "Interface"):
        return self.constant(False)
    return self.emit("prim::isinstance", [value], BOOL, types=types).output()


def _device(self: Expressions, node: ast.Call) -> Value:
    value = self.value(node.args[0])
    if not isinstance(value.toIValue(), str):
        raise Foreign("a device of a name that is computed")
    return self.device(value)


def _print(self: Expressions, node: ast.Call) -> Value:
    self.emit("prim::Print", [self.value(arg) for arg in node.args])
    return self.constant(None)


def _format(self: Expressions, node: ast.Call) -> Value:
    return self.emit("aten::format", [self.value(arg) for arg in node.args], STR).output()


def _list_of(self: Expressions, node: ast.Call) -> Value:
    (argument,) = node.args
    if isinstance(argument, ast.Call) and dotted(argument.func) == "range" and len(argument.args) == 1:
        return self.builtin("prim::rangelist", [self.value(argument.args[0])])
    return self.builtin("aten::list", [self.value(argument)])


SPECIAL: dict[str, Callable[[Expressions, ast.Call], Any]] = {
    "annotate": _annotate,
    "unchecked_cast": _unchecked_cast,
    "uninitialized": _uninitialized,
    **dict.fromkeys(CASTS, _cast),
    "getattr": _getattr,
    "isinstance": _isinstance,
    "torch.device": _device,
    "print": _print,
    "torch.format": _format,
    "list": _list_of,
}
__all__ = ["Expressions", "Method", "Named", "without_optional"]
