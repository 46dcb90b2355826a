"""Model cards: the fields that Hugging Face's and Google's have, read from YAML or a mapping, and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.errors import InvalidCard, MissingDependency, near_miss
from bridge.facts import CARD
from bridge.plugins import DISTRIBUTION

__all__ = ["FIELDS", "Card", "Native", "card_of", "native_of", "with_verification"]

TEXT, NUMBER = "text", "a number"
SOURCE = {"name": TEXT, "url": TEXT, "version": TEXT, "license": TEXT, "description": TEXT}
RESULT = {
    "name": TEXT,
    "value": NUMBER,
    "lower": NUMBER,
    "upper": NUMBER,
    "unit": TEXT,
    "dataset": TEXT,
    "slice": TEXT,
    "threshold": NUMBER,
}
FIELDS: dict[str, Any] = {
    "name": TEXT,
    "version": TEXT,
    "description": TEXT,
    "license": TEXT,
    "authors": [{"name": TEXT, "email": TEXT, "organization": TEXT}],
    "contact": TEXT,
    "homepage": TEXT,
    "citation": TEXT,
    "languages": [TEXT],
    "tags": [TEXT],
    "base_model": TEXT,
    "intended_use": {"uses": [TEXT], "users": [TEXT], "out_of_scope": [TEXT]},
    "limitations": [TEXT],
    "ethical_considerations": [{"name": TEXT, "mitigation": TEXT}],
    "training": {
        "data": [SOURCE],
        "procedure": TEXT,
        "environment": {"hardware": TEXT, "software": [TEXT], "hours": NUMBER, "region": TEXT},
        "emissions": NUMBER,
    },
    "evaluation": {"data": [SOURCE], "procedure": TEXT},
    "metrics": [RESULT],
    "resources": {"parameters": NUMBER, "memory": TEXT, "disk": TEXT, "hardware": TEXT, "latency": TEXT},
    "verification": [
        {
            "reference": TEXT,
            "result": TEXT,
            "ok": TEXT,
            "outputs": [{"name": TEXT, "max_abs": NUMBER, "max_rel": NUMBER, "cosine": NUMBER}],
        }
    ],
}
"""The fields, and the form of each: a text, a number, a mapping of fields, or a list of one of those."""
NEEDED = {"authors": "name", "metrics": "name", "data": "name", "ethical_considerations": "name"}
"""The field that each item of a list has."""
ERRORS = ("max_abs", "max_rel", "cosine")
LARGEST = 2**20
DEEPEST = 8
XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SYNTAX = "docs/provenance.md lists the fields."

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Native:
    """Facts of a card that formats have fields of their own for; empty where the card says nothing of it."""

    name: str = ""
    version: str = ""
    description: str = ""
    author: str = ""
    license: str = ""


@dataclass(frozen=True)
class Card:
    """A model card to print: the fields of FIELDS that are given."""

    fields: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self.fields

    def __str__(self) -> str:
        return "\n".join(_shown(self.fields)) or "It holds no model card."


def card_of(given: ir.Model | str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a card: of a file in YAML or JSON, of a mapping, or of the one in the metadata of a hub
    model (empty without one, or where it is none).

    Raises InvalidCard, which names every field that is wrong and its line, and MissingDependency.
    """
    if isinstance(given, ir.Model):
        try:
            return _checked("the card in the file", CARD.get(given) or {}, {})
        except InvalidCard:
            return {}
    if isinstance(given, Mapping):
        return _checked("the card", given, {})
    path = Path(given)
    values, lines = _parsed(path)
    return _checked(str(path), values, lines)


def native_of(model: ir.Model) -> Native:
    """The facts of a hub model's card that formats have fields for."""
    card = card_of(model)
    names = [author["name"] for author in card.get("authors", ())]
    plain = {key: card.get(key, "") for key in ("name", "version", "description", "license")}
    return Native(author=", ".join(names), **plain)


def with_verification(card: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """A card with what a verification measured behind what others did."""
    reference, result = measured["engines"]
    outputs = [
        {"name": name} | {key: row[key] for key in ERRORS if not isinstance(row.get(key, ""), str)}
        for name, row in measured["outputs"].items()
    ]
    ok = "yes" if measured["ok"] else "no"
    row = {"reference": reference, "result": result, "ok": ok, "outputs": outputs}
    return {**card, "verification": [*card.get("verification", ()), row]}


def _parsed(path: Path) -> tuple[Any, dict[Place, int]]:
    """The values of a file, and the line of each. Raises InvalidCard, MissingDependency."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "A model card needs the package 'pyyaml', which is not installed.",
            f"Install it with: pip install '{DISTRIBUTION}[cards]'",
        ) from error
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidCard(f"{path} cannot be read: {error.strerror}.", "Name a card in YAML.") from error
    if len(raw) > LARGEST:
        raise InvalidCard(f"{path} has {len(raw):,} bytes, and a card {LARGEST:,} at the most.")
    try:
        root = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or "it is no text in UTF-8"
        raise InvalidCard(f"{path}{where}: this is no YAML: {said}.", SYNTAX) from error
    lines: dict[Place, int] = {}
    return (_read_node(root, (), lines, str(path)) if root is not None else {}), lines


def _read_node(node: Any, at: Place, lines: dict[Place, int], whose: str) -> Any:
    """The value of a YAML node: texts, lists and mappings. Raises InvalidCard for a key that is there twice,
    and for what refers to another part or is nested too deep."""
    line = node.start_mark.line + 1
    if at in lines or len(at) > DEEPEST or len(lines) > LARGEST // 16:
        raise InvalidCard(
            f"{whose}, line {line}: {_field_at(at)} is there twice, or nested too deep.", SYNTAX
        )
    lines[at] = line
    if node.id == "mapping":
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            found[name] = _read_node(value, (*at, name), lines, whose)
            lines[*at, name] = key.start_mark.line + 1
        return found
    if node.id == "sequence":
        return [_read_node(item, (*at, n), lines, whose) for n, item in enumerate(node.value)]
    return None if node.tag.endswith(":null") else node.value


def _checked(whose: str, values: Any, lines: dict[Place, int]) -> dict[str, Any]:
    """The values of a card as FIELDS says they are. Raises InvalidCard with all that is wrong."""
    wrong: list[tuple[Place, str]] = []
    checked = _of_form(values, FIELDS, (), wrong)
    if wrong:
        told = [f"{_where(at, lines)}{_field_at(at)} {problem}" for at, problem in wrong]
        raise InvalidCard(f"{whose} is no valid model card:\n  " + "\n  ".join(told), SYNTAX)
    return checked


def _where(at: Place, lines: dict[Place, int]) -> str:
    return f"line {lines[at]}: " if at in lines else ""


def _field_at(at: Place) -> str:
    """The field at a place, as `training.data[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(".") or "it"


def _of_form(value: Any, form: Any, at: Place, wrong: list[tuple[Place, str]]) -> Any:
    """A value as its form has it; what is wrong goes to `wrong`."""
    if isinstance(form, list):
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and form[0] is TEXT:
            value = [value]
        if not isinstance(value, (list, tuple)):
            wrong.append((at, "is not a list"))
            return []
        return [_of_form(item, form[0], (*at, n), wrong) for n, item in enumerate(value)]
    if isinstance(form, dict):
        return _mapped(value, form, at, wrong)
    try:
        return _scalar(value, form)
    except ValueError as error:
        wrong.append((at, str(error)))
        return None


def _mapped(value: Any, form: dict[str, Any], at: Place, wrong: list[tuple[Place, str]]) -> dict[str, Any]:
    """The fields of a mapping, in the order of the form."""
    whose = str(at[-2]) if at and isinstance(at[-1], int) else ""
    if isinstance(value, str) and whose in NEEDED:
        value = {NEEDED[whose]: value}
    if not isinstance(value, Mapping):
        wrong.append((at, f"is not a mapping of {', '.join(form)}"))
        return {}
    for name in value:
        if name not in form:
            hint = near_miss(str(name), form) or f"There are {', '.join(form)}."
            wrong.append(((*at, str(name)), f"is no field of a card. {hint.strip()}"))
    if whose in NEEDED and NEEDED[whose] not in value:
        wrong.append((at, f"has no {NEEDED[whose]}"))
    given = (name for name in form if name in value)
    return {name: _of_form(value[name], form[name], (*at, name), wrong) for name in given}


def _scalar(value: Any, form: str) -> str | int | float:
    """A text or number. Raises ValueError."""
    if value is None or isinstance(value, (bool, list, tuple, Mapping)):
        raise ValueError("is empty" if value is None else f"is not {form}")
    if form is TEXT:
        if XML.search(str(value)):
            raise ValueError("holds a control character")
        return str(value).strip()
    try:
        number = float(str(value).replace("_", ""))
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ValueError(f"is not {form}: {str(value)[:40]!r}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _shown(value: Any, indent: str = "") -> Iterator[str]:
    """The lines of a mapping in YAML, as far as a person reads it."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield f"{indent}{key}:"
            yield from _shown(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            yield f"{indent}{key}:"
            for row in item:
                lines = list(_shown(row, indent + "    "))
                yield f"{indent}  - {lines[0].lstrip()}" if lines else f"{indent}  -"
                yield from lines[1:]
        else:
            text = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
            yield f"{indent}{key}: {text}".replace("\n", f"\n{indent}  ")
