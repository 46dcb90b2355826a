"""Static types of TorchScript: of schemas, of annotations, and what may stand for what."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

INTEGERS = ("SymInt", "ScalarType", "Layout", "MemoryFormat", "QScheme", "Dimname", "DeviceIndex")
"""What schemas call otherwise and TorchScript holds as an int."""
NUMBERS = ("int", "float", "complex")


@dataclass(frozen=True)
class Type:
    """A type by its word in annotations; `args` are the types inside it, `fields` those of a named tuple."""

    word: str
    args: tuple[Type, ...] = ()
    name: str = ""
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.name:
            return self.name
        inner = ", ".join(map(str, self.args))
        return f"{self.word}[{inner or '()'}]" if self.args or self.word == "Tuple" else self.word


TENSOR, INT, FLOAT, BOOL, STR = (Type(w) for w in ("Tensor", "int", "float", "bool", "str"))
COMPLEX, NUMBER, NONE, ANY, DEVICE = (Type(w) for w in ("complex", "number", "NoneType", "Any", "Device"))
RENAMED = {"Scalar": NUMBER, "None": NONE, **dict.fromkeys(INTEGERS, INT), "SymFloat": FLOAT, "SymBool": BOOL}


def word_type(word: str) -> Type:
    """Type of one word; what is no known word is a type of its own."""
    return RENAMED.get(word, Type(word))


def list_of(element: Type) -> Type:
    return Type("List", (element,))


def optional(inner: Type) -> Type:
    return inner if inner.word in ("Optional", "NoneType", "Any") else Type("Optional", (inner,))


def tuple_of(items: Iterable[Type]) -> Type:
    return Type("Tuple", tuple(items))


def class_type(name: str, word: str = "Class") -> Type:
    return Type(word, (), name)


def without_optional(kind: Type) -> Type:
    return kind.args[0] if kind.word == "Optional" else kind


def is_subtype(kind: Type, of: Type) -> bool:
    """True if a value of `kind` may stand where one of type `of` is asked for, as it is."""
    if kind == of or of == ANY:
        return True
    if of.word == "Optional":
        return kind == NONE or is_subtype(without_optional(kind), of.args[0])
    if of.word == "Union":
        parts = kind.args if kind.word == "Union" else (kind,)
        return all(any(is_subtype(part, other) for other in of.args) for part in parts)
    if of == NUMBER:
        return kind.word in NUMBERS
    if of.word == "Interface":
        return kind.word in ("Class", "Interface")
    if kind.word == of.word == "Tuple":
        same = len(kind.args) == len(of.args) and of.name in ("", kind.name)
        return same and all(is_subtype(a, b) for a, b in zip(kind.args, of.args, strict=True))
    return of.word == "AnyEnumType" and kind.word == "Enum"


def joined(one: Type, two: Type) -> Type | None:
    """The type of a value that is of one of two types; None if there is none."""
    if is_subtype(one, two):
        return two
    if is_subtype(two, one):
        return one
    if one == NONE or two == NONE:
        return optional(two if one == NONE else one)
    if "Optional" in (one.word, two.word):
        inner = joined(without_optional(one), without_optional(two))
        return None if inner is None else optional(inner)
    if one.word == two.word == "Tuple" and len(one.args) == len(two.args):
        parts = [joined(a, b) for a, b in zip(one.args, two.args, strict=True)]
        return None if None in parts else tuple_of(p for p in parts if p is not None)
    return None


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a chain of attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
