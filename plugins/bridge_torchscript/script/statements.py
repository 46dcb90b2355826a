"""Statements of TorchScript source, and functions whole, as graphs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bridge.errors import UnreadableFile
from bridge_torchscript.script.calls import Mismatch
from bridge_torchscript.script.code import Code, Foreign
from bridge_torchscript.script.expressions import Expressions
from bridge_torchscript.script.graph import Block, Node, Value, order_results, pool_constants, remove_unused
from bridge_torchscript.script.schema import NOTHING, Argument, Schema
from bridge_torchscript.script.types import INT, NONE, TENSOR, Type, class_type, dotted, is_subtype, joined

ENDLESS = 2**63 - 1
CHANGED = {
    "aten::div": dict.fromkeys(("Tensor", "Scalar", "out", "Tensor_mode", "Scalar_mode", "out_mode"), 4),
    "aten::div_": dict.fromkeys(("Tensor", "Scalar", "Tensor_mode", "Scalar_mode"), 4),
    "aten::full": dict.fromkeys(("", "out"), 5),
}
"""Overloads that meant something else before a version of the archive."""
MAX_STATEMENTS = 100_000
"""In one function, those after a branch that may return counted on both sides."""
RESULT = "return"
"""What a function returns is a variable of this name, which no source can have."""


class Function(Expressions):
    """Lowers one function to a graph, its calls of others as nodes that name them (`callee`)."""

    def __init__(
        self,
        code: Code,
        operators: Callable[[str], Sequence[Schema]],
        version: int,
        record: str,
        lines: list[str],
    ) -> None:
        super().__init__(code, operators)
        self.version, self.record, self.lines = version, record, lines
        self.statements = 0

    def lower(self, definition: ast.FunctionDef, schema: Schema) -> Block:
        """Graph of a function of that schema. Raises Foreign."""
        graph = self.block
        self.returns = schema.returns[0]
        for argument in schema.arguments:
            self.names[0][argument.name] = graph.add_input(argument.type, argument.name)
        self.body(definition.body)
        result = self.lookup(RESULT)
        graph.outputs().append(result if result is not None else self.constant(None))
        remove_unused(graph)
        pool_constants(graph)
        order_results(graph)
        return graph

    def require_current(self, schema: Schema) -> None:
        overloads = CHANGED.get(schema.name, {})
        if self.version < overloads.get(schema.overload_name, 0):
            raise Foreign(f"{schema.name} as it was in version {self.version} of the archive")

    def body(self, statements: list[ast.stmt]) -> bool:
        """Lower statements; True if none is reached after them."""
        for index, statement in enumerate(statements):
            self.where = self._range(statement)
            self.statements += 1
            if self.statements > MAX_STATEMENTS:
                raise UnreadableFile(f"code/{self.record} has functions larger than any model's.")
            if isinstance(statement, ast.If):
                rest = statements[index + 1 :]
                if any(isinstance(n, ast.Return) for n in ast.walk(statement)):
                    return self._if(statement.test, [*statement.body, *rest], [*statement.orelse, *rest])
                if self._if(statement.test, statement.body, statement.orelse):
                    return True
                continue
            method = getattr(self, f"_{type(statement).__name__}", None)
            if method is None:
                raise Foreign(f"the statement {ast.unparse(statement)[:80]!r}")
            if method(statement):
                return True
        return False

    def _range(self, statement: ast.stmt) -> str:
        """The words of torch for where a node comes from: the record, and the lines around."""
        line = statement.lineno
        around = "\n".join(self.lines[max(line - 4, 0) : line + 3])
        return f'  File "code/{self.record}", line {line}\n{around}'

    def _Pass(self, statement: ast.Pass) -> None:
        pass

    def _Expr(self, statement: ast.Expr) -> bool:
        if isinstance(statement.value, ast.Constant):
            return False
        before = len(self.block.nodes())
        self.meaning(statement.value)
        return any(n.kind() == "prim::RaiseException" for n in self.block.nodes()[before:])

    def _Assign(self, statement: ast.Assign) -> bool:
        before = len(self.block.nodes())
        found = self.meaning(statement.value)
        for target in statement.targets:
            self.assign(target, found)
        return any(n.kind() == "prim::RaiseException" for n in self.block.nodes()[before:])

    def _AnnAssign(self, statement: ast.AnnAssign) -> None:
        if statement.value is None:
            raise Foreign("a declaration without a value")
        kind = self.code.type(statement.annotation)
        value = self.converted(self.value(statement.value), kind, True)
        self.assign(statement.target, self._typed(value, kind))

    def _typed(self, value: Value, kind: Type) -> Value:
        if value.type() == kind:
            return value
        if not is_subtype(value.type(), kind):
            raise Foreign(f"{value.type()} in the place of {kind}")
        return self.emit("prim::unchecked_cast", [value], kind).output()

    def _AugAssign(self, statement: ast.AugAssign) -> None:
        operation = ast.BinOp(_as_read(statement.target), statement.op, statement.value)
        if not isinstance(statement.target, ast.Name) or self.value(operation.left).type() in (TENSOR,):
            raise Foreign("an assignment that changes a tensor")
        self.assign(statement.target, self.value(operation))

    def assign(self, target: ast.expr, found: Any) -> None:
        """Assign a value, or what a name means."""
        if isinstance(target, ast.Name):
            if isinstance(found, Value) and not found.name and found.node().kind() != "prim::Constant":
                found.name = target.id
            self.names[-1][target.id] = found
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._assign_items(target.elts, found)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value)
            kind = self.code.class_(owner.type().name).attributes.get(target.attr, found.type())
            self.emit("prim::SetAttr", [owner, self.converted(found, kind, True)], name=target.attr)
        elif isinstance(target, ast.Subscript):
            self._assign_part(target, found)
        else:
            raise Foreign(f"an assignment to {ast.unparse(target)[:80]}")

    def _assign_items(self, targets: list[ast.expr], found: Value) -> None:
        kind = found.type()
        if kind.word == "Tuple" and len(kind.args) == len(targets):
            items = self.unpacked(found)
        elif kind.word == "List":
            items = self.emit("prim::ListUnpack", [found], *[kind.args[0]] * len(targets)).outputs()
        else:
            raise Foreign(f"{kind} as {len(targets)} values")
        for target, item in zip(targets, items, strict=True):
            self.assign(target, item)

    def _assign_part(self, target: ast.Subscript, found: Value) -> None:
        owner = self.value(target.value)
        if owner.type() == TENSOR or isinstance(target.slice, ast.Slice):
            raise Foreign("an assignment to a part of a tensor")
        self.builtin("aten::_set_item", [owner, self.value(target.slice), found])

    def _Return(self, statement: ast.Return) -> bool:
        value = self.constant(None) if statement.value is None else self.value(statement.value)
        value = self.converted(value, self.returns, True)
        if not is_subtype(value.type(), self.returns):
            raise Foreign(f"a result of type {value.type()} in the place of {self.returns}")
        self.names[-1][RESULT] = value
        return True

    def _Raise(self, statement: ast.Raise) -> bool:
        self.emit("prim::RaiseException", [self.constant("an exception")])
        return True

    def _Assert(self, statement: ast.Assert) -> None:
        raising: list[ast.stmt] = [ast.copy_location(ast.Raise(), statement)]
        self._if(statement.test, [ast.copy_location(ast.Pass(), statement)], raising)
        refined = self._refinement(statement.test)
        if refined and refined[1]:
            self._refine(refined[0])

    def _refinement(self, test: ast.expr) -> tuple[str, bool] | None:
        """A variable that a condition asks whether it is None, and whether it is not where that is so."""
        if not (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name)):
            return None
        other = test.comparators[0]
        if not isinstance(other, ast.Constant) or other.value is not None:
            return None
        return test.left.id, isinstance(test.ops[0], ast.IsNot)

    def _refine(self, name: str) -> None:
        value = self.lookup(name)
        if isinstance(value, Value) and value.type().word == "Optional":
            self.names[-1][name] = self.emit("prim::unchecked_cast", [value], value.type().args[0]).output()

    def _decided(self, test: ast.expr) -> bool | None:
        """Truth of a question for None that types answer."""
        refined = self._refinement(test)
        if refined is None:
            return None
        value = self.lookup(refined[0])
        if not isinstance(value, Value) or value.type().word in ("Optional", "Any", "Union"):
            return None
        return (value.type() != NONE) == refined[1]

    def _if(self, test: ast.expr, then: list[ast.stmt], other: list[ast.stmt]) -> bool:
        decided = self._decided(test)
        if decided is not None:
            return self.body(then if decided else other)
        condition, refined = self.truth(test), self._refinement(test)
        node = self.emit("prim::If", [condition])
        frames, ends = [], []
        for index, statements in enumerate((then, other)):
            outer = self.enter(Block())
            node.blocks().append(self.block)
            self.names.append({})
            if refined and refined[1] == (index == 0):
                self._refine(refined[0])
            assumed = dict(self.names[-1])
            ends.append(self.body(statements))
            frame = self.names.pop()
            frames.append({n: v for n, v in frame.items() if assumed.get(n) is not v})
            self.block = outer
        self._merge(node, frames, ends)
        return all(ends)

    def _merge(self, node: Node, frames: list[dict[str, Any]], ends: list[bool]) -> None:
        """Results of a condition: the variables that either branch sets and both have."""
        raises = [end and RESULT not in frame for end, frame in zip(ends, frames, strict=True)]
        for name in sorted({*frames[0], *frames[1]}):
            pair = [frame.get(name, self.lookup(name)) for frame in frames]
            if any(isinstance(v, Value) for v in pair) and any(raises):
                known = next(v for v in pair if isinstance(v, Value))
                pair = [
                    self._uninitialized_in(block, known.type()) if r and v is None else v
                    for v, r, block in zip(pair, raises, node.blocks(), strict=True)
                ]
            if all(isinstance(v, Value) for v in pair):
                kind = self.returns if name == RESULT else joined(pair[0].type(), pair[1].type())
                if kind is not None:
                    node.outputs().append(Value(node, kind, name))
                    for block, value in zip(node.blocks(), pair, strict=True):
                        block.outputs().append(value)
                    self.names[-1][name] = node.outputs()[-1]

    def _uninitialized_in(self, block: Block, kind: Type) -> Value:
        return block.append(Node("prim::Uninitialized", [], [kind])).output()

    def _While(self, statement: ast.While) -> None:
        self._loop(
            statement.body, self.constant(ENDLESS), lambda: self.truth(statement.test), lambda number: None
        )

    def _For(self, statement: ast.For) -> None:
        source = statement.iter
        if isinstance(source, ast.Call) and dotted(source.func) == "range" and self.lookup("range") is None:
            limit, item = self._range_items([self.value(arg) for arg in source.args])
        else:
            items = self.value(source)
            if items.type().word == "Tuple":
                for element in self.unpacked(items):
                    self.assign(statement.target, element)
                    self.body(statement.body)
                return
            limit = self.builtin("aten::len", [items])

            def item(number: Value) -> Value:
                return self.builtin("aten::__getitem__", [items, number])

        self._loop(
            statement.body,
            limit,
            lambda: self.constant(True),
            lambda number: self.assign(statement.target, item(number)),
        )

    def _range_items(self, bounds: list[Value]) -> tuple[Value, Callable[[Value], Value]]:
        """Number of steps of a range, and the element of a step."""
        if len(bounds) == 1:
            return self.converted(bounds[0], INT, True), lambda number: number
        start, stop, step = bounds if len(bounds) == 3 else [*bounds, self.constant(1)]
        limit = self.builtin("aten::__range_length", [start, stop, step])
        return limit, lambda number: self.builtin("aten::__derive_index", [number, start, step])

    def _loop(
        self,
        statements: list[ast.stmt],
        limit: Value,
        going: Callable[[], Value],
        start: Callable[[Value], None],
    ) -> None:
        """A loop that carries the variables it sets and that there were before."""
        if any(isinstance(n, (ast.Return, ast.Break, ast.Continue)) for s in statements for n in ast.walk(s)):
            raise Foreign("a loop that is left from inside")
        names = [n for n in sorted(set(_assigned(statements))) if isinstance(self.lookup(n), Value)]
        before = [self.lookup(n) for n in names]
        node = self.emit("prim::Loop", [limit, going(), *before], *(v.type() for v in before))
        body = Block()
        node.blocks().append(body)
        number = body.add_input(INT)
        outer = self.enter(body)
        self.names.append({n: body.add_input(v.type(), n) for n, v in zip(names, before, strict=True)})
        start(number)
        if self.body(statements):
            raise Foreign("a loop that ends in its first round")
        after = [self._typed(self.lookup(n), v.type()) for n, v in zip(names, before, strict=True)]
        body.outputs().extend([going(), *after])
        self.names.pop()
        self.block = outer
        for name, value in zip(names, node.outputs(), strict=True):
            value.name = name
            self.names[-1][name] = value

    def invoke(
        self, key: str, definition: ast.FunctionDef, args: list[Value], named: dict[str, Value]
    ) -> Value:
        owner = args[0].type() if definition.args.args[:1] and definition.args.args[0].arg == "self" else None
        schema = signature(self.code, key, definition, owner)
        try:
            inputs, _ = self.matched(schema, args, named, True)
        except Mismatch:
            raise Foreign(f"{key} of {', '.join(str(v.type()) for v in args)}") from None
        kind = "prim::CallFunction" if owner is None else "prim::CallMethod"
        return self.emit(kind, inputs, schema.returns[0], callee=key).output()


def signature(code: Code, key: str, definition: ast.FunctionDef, owner: Type | None) -> Schema:
    """Schema of a function or method."""
    rules = definition.args
    plain = [*rules.posonlyargs, *rules.args]
    if rules.vararg or rules.kwarg:
        raise Foreign(f"a signature that {key} has")
    defaults = [NOTHING] * (len(plain) - len(rules.defaults)) + [code.constant(d) for d in rules.defaults]
    named = [NOTHING if d is None else code.constant(d) for d in rules.kw_defaults]
    arguments = []
    for parameter, default in zip([*plain, *rules.kwonlyargs], [*defaults, *named], strict=True):
        is_self = parameter.arg == "self" and owner is not None
        kind = owner if is_self else code.type(parameter.annotation) if parameter.annotation else TENSOR
        assert kind is not None
        arguments.append(Argument(parameter.arg, kind, default, parameter in rules.kwonlyargs))
    returns = code.type(definition.returns) if definition.returns is not None else TENSOR
    return Schema(key, "", tuple(arguments), (returns,))


def _as_read(target: ast.expr) -> ast.expr:
    return ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else target


def _assigned(statements: list[ast.stmt]) -> Iterator[str]:
    """Names that statements assign to, also inside others."""
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


__all__ = ["Function", "class_type", "signature"]
