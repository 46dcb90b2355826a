"""The code of an archive: its classes and functions, found by their qualified names."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import UnreadableFile
from bridge_torchscript.script.types import (
    NONE,
    Type,
    class_type,
    dotted,
    list_of,
    optional,
    tuple_of,
    word_type,
)

BASES = {"Module": "Class", "NamedTuple": "Tuple", "Enum": "Enum", "Interface": "Interface"}
BASES["ModuleInterface"] = "Interface"
FOREIGN_CLASSES = "__torch__.torch.classes."


class Foreign(Exception):
    """Error: code that is read by torch alone. The message says what it holds."""


@dataclass
class ClassCode:
    """A class: `word` of its types, attributes with their types, constants, and methods."""

    name: str
    word: str = "Class"
    attributes: dict[str, Type] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, ast.FunctionDef] = field(default_factory=dict)


PARSING = threading.Lock()
"""Python 3.11 counts the depth of all trees that threads build side by side as one."""


def parsed(text: str, record: str) -> list[ast.stmt]:
    """Statements of a record's text. Raises UnreadableFile."""
    try:
        with PARSING:
            return ast.parse(text).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise UnreadableFile(f"code/{record} is no code that torch writes: {error}") from error


class Code:
    """Classes and functions of an archive. `source(record)` is the text of `code/RECORD`, None without it."""

    def __init__(self, source: Callable[[str], str | None], constants: tuple[Any, ...]) -> None:
        self.source, self.constants = source, constants
        self._files: dict[str, Mapping[str, ast.stmt]] = {}
        self._classes: dict[str, ClassCode] = {}

    def record(self, name: str) -> str:
        """Record that holds what has a qualified name."""
        return name.rpartition(".")[0].replace(".", "/") + ".py"

    def definition(self, name: str) -> ast.stmt | None:
        """Class or function by its qualified name."""
        record = self.record(name)
        if record not in self._files:
            text = self.source(record)
            body = parsed(text, record) if text is not None else []
            known = [s for s in body if isinstance(s, (ast.ClassDef, ast.FunctionDef))]
            self._files[record] = {statement.name: statement for statement in known}
        return self._files[record].get(name.rpartition(".")[2])

    def function(self, name: str) -> ast.FunctionDef | None:
        found = self.definition(name)
        return found if isinstance(found, ast.FunctionDef) else None

    def class_(self, name: str) -> ClassCode:
        """Class by its qualified name. Raises Foreign."""
        if name not in self._classes:
            found = self.definition(name)
            if not isinstance(found, ast.ClassDef):
                raise Foreign(f"the class {name}")
            self._classes[name] = code = ClassCode(name)
            self._fill(code, found)
        return self._classes[name]

    def named_type(self, name: str) -> Type:
        """Type of a class by its qualified name."""
        if name.startswith(FOREIGN_CLASSES):
            return class_type(name)
        code = self.class_(name)
        if code.word != "Tuple":
            return class_type(name, code.word)
        return Type("Tuple", tuple(code.attributes.values()), name, tuple(code.attributes))

    def type(self, node: ast.expr | None) -> Type:
        """Type of an annotation. Raises Foreign."""
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return NONE
        name = dotted(node)
        if name:
            return self.named_type(name) if "." in name else word_type(name)
        if not isinstance(node, ast.Subscript):
            raise Foreign(f"the type {ast.unparse(node)[:80]}")
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        args = [self.type(item) for item in inner]
        match dotted(node.value):
            case "Optional":
                return optional(args[0])
            case "List":
                return list_of(args[0])
            case "Final":
                return args[0]
            case "Tuple":
                return tuple_of(args)
            case word:
                return Type(word, tuple(args))

    def _fill(self, code: ClassCode, definition: ast.ClassDef) -> None:
        base = dotted(definition.bases[0]) if definition.bases else ""
        code.word = BASES.get(base, "Class")
        for statement in definition.body:
            if isinstance(statement, ast.FunctionDef):
                code.methods[statement.name] = statement
            elif isinstance(statement, ast.AnnAssign):
                self._annotated(code, dotted(statement.target), statement)
            elif isinstance(statement, ast.Assign):
                self._assigned(code, statement.targets[0], statement.value)

    def _annotated(self, code: ClassCode, name: str, statement: ast.AnnAssign) -> None:
        code.attributes[name] = self.type(statement.annotation)
        if statement.value is not None:
            code.constants[name] = self.constant(statement.value)

    def _assigned(self, code: ClassCode, target: ast.expr, value: ast.expr) -> None:
        """`__annotations__["0"] = TYPE`, lists of names, hooks, and the values of enumerations."""
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            code.attributes[str(target.slice.value)] = self.type(value)
        elif "hooks" in dotted(target) and getattr(value, "elts", None):
            raise Foreign(f"hooks of {code.name}")
        elif code.word == "Enum":
            code.constants[dotted(target)] = self.constant(value)

    def stored_constant(self, node: ast.Attribute) -> Any:
        """Value of `CONSTANTS.cN`."""
        return self.constants[int(node.attr[1:])]

    def constant(self, node: ast.expr) -> Any:
        """Value of a literal. Raises Foreign for anything else."""
        if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
            return float(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.constant(node.operand)
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.device":
            return str(self.constant(node.args[0]))
        if isinstance(node, ast.Call) and dotted(node.func) == "annotate":
            return self.constant(node.args[1])
        if isinstance(node, (ast.List, ast.Tuple)):
            items = [self.constant(item) for item in node.elts]
            return tuple(items) if isinstance(node, ast.Tuple) else items
        if isinstance(node, ast.Dict):
            return {
                self.constant(k): self.constant(v)
                for k, v in zip(node.keys, node.values, strict=True)
                if k is not None
            }
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Attribute) and dotted(node.value) == "CONSTANTS":
            return self.stored_constant(node)
        raise Foreign(f"the constant {ast.unparse(node)[:80]}")
