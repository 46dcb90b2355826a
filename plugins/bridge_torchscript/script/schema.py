"""Schemas of operators: parsed from their text, and those that torch registers, from a table of ours."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge_torchscript.script.types import (
    FLOAT,
    Type,
    class_type,
    list_of,
    optional,
    tuple_of,
    word_type,
)

TABLE = Path(__file__).with_name("schemas.txt")
SPELLED_OUT = Path(__file__).with_name("spelled_out.txt")
TOKEN = re.compile(r"\s*(->|\.\.\.|[\w.]+|\"(?:[^\"\\]|\\.)*\"|-?[\d.]+(?:e[+-]?\d+)?|.)")
NAME = re.compile(r"([\w:]+)(?:\.(\w+))?\(")
NOTHING = object()


@dataclass(frozen=True)
class Argument:
    """Argument of a schema. `size` is the length that a single number is repeated to, `writes` says that the
    operator changes it, `is_out` that it is one that results are written into.
    """

    name: str
    type: Type
    default: Any = NOTHING
    kwarg_only: bool = False
    writes: bool = False
    size: int | None = None

    @property
    def is_out(self) -> bool:
        return self.kwarg_only and self.writes

    @property
    def default_value(self) -> Any:
        return None if self.default is NOTHING else self.default

    def has_default_value(self) -> bool:
        return self.default is not NOTHING


@dataclass(frozen=True)
class Schema:
    """Schema of one overload of an operator, or of a method. `variadic` ones take any arguments."""

    name: str
    overload_name: str
    arguments: tuple[Argument, ...]
    returns: tuple[Type, ...]
    text: str = ""
    variadic: bool = False

    def __str__(self) -> str:
        return self.text

    @property
    def writes(self) -> bool:
        return any(a.writes for a in self.arguments)


@functools.cache
def parse_schema(text: str) -> Schema:
    """Schema of its text: `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`."""
    head = NAME.match(text)
    if head is None:
        raise ValueError(f"{text[:80]!r} is no schema")
    parser = _Parser(TOKEN.findall(text[head.end() :]))
    arguments = parser.arguments()
    parser.take("->")
    returns = parser.returns()
    return Schema(head[1], head[2] or "", tuple(arguments), tuple(returns), text, parser.variadic)


@functools.cache
def table() -> dict[str, tuple[str, ...]]:
    """Texts of the schemas of each operator's overloads, in the order in which torch tries them."""
    found: dict[str, list[str]] = {}
    for line in TABLE.read_text().splitlines():
        if not line.startswith("#"):
            name = line.partition("(")[0].partition(".")[0]
            found.setdefault(name, []).append(line)
    return {name: tuple(lines) for name, lines in found.items()}


@functools.cache
def overloads(operator: str) -> tuple[Schema, ...]:
    """Schemas of an operator; none if it is not known."""
    return tuple(map(parse_schema, table().get(operator, ())))


@functools.cache
def spelled_out() -> frozenset[str]:
    """Operators that torch makes of others."""
    return frozenset(line for line in SPELLED_OUT.read_text().splitlines() if not line.startswith("#"))


class _Parser:
    """Recursive descent over the tokens after a schema's name."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.variadic = tokens, 0, False

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, token: str = "") -> str:
        found = self.peek()
        if token and found != token:
            raise ValueError(f"{found!r} in the place of {token!r}")
        self.at += 1
        return found

    def skip(self, token: str) -> bool:
        """True past a token, if it is the next."""
        found = self.peek() == token
        self.at += found
        return found

    def arguments(self) -> list[Argument]:
        arguments: list[Argument] = []
        named = False
        while not self.skip(")"):
            if self.skip("*"):
                named = True
            elif self.skip("..."):
                self.variadic = True
            else:
                arguments.append(self.argument(named))
            self.skip(",")
        return arguments

    def argument(self, named: bool) -> Argument:
        kind, writes, size = self.type()
        name = self.take()
        default = self.default() if self.skip("=") else NOTHING
        if size and isinstance(default, (int, float)):
            default = [default] * size
        if kind == FLOAT and isinstance(default, int):
            default = float(default)
        return Argument(name, kind, default, named, writes, size)

    def returns(self) -> list[Type]:
        if self.skip("..."):
            return []
        if not self.skip("("):
            return [self.type()[0]]
        types = []
        while not self.skip(")"):
            types.append(self.type()[0])
            if self.peek() not in (",", ")"):
                self.take()
            self.skip(",")
        return types

    def type(self) -> tuple[Type, bool, int | None]:
        """A type, whether what has it is written to, and the length of a list that a number stands for."""
        word, size = self.take(), None
        if word == "(":
            kind = tuple_of(self.types())
        elif word in ("Dict", "Future", "Await", "Tuple", "Union", "RRef") and self.skip("("):
            kind = Type(word, tuple(self.types()))
        else:
            kind = class_type(word) if word.startswith("__torch__.") else word_type(word)
        writes = self.alias()
        while self.peek() in ("[", "?"):
            if self.skip("?"):
                kind = optional(kind)
            else:
                self.take("[")
                size = int(self.take()) if self.peek() != "]" else None
                self.take("]")
                kind = list_of(kind)
            writes |= self.alias()
        return kind, writes, size

    def types(self) -> list[Type]:
        types = []
        while not self.skip(")"):
            types.append(self.type()[0])
            self.skip(",")
        return types

    def alias(self) -> bool:
        """Past what says which memory is shared; True if it is written to."""
        writes = False
        if self.peek() == "(":
            while (token := self.take()) != ")":
                writes |= token == "!"
                if not token:
                    raise ValueError("an alias without an end")
        return writes

    def default(self) -> Any:
        text, depth = "", 0
        while depth or self.peek() not in (",", ")", ""):
            token = self.take()
            depth += (token == "[") - (token == "]")
            text += token
            if not token:
                raise ValueError("a default without an end")
        return float(text) if text.strip("-") in ("inf", "nan") else ast.literal_eval(text)
