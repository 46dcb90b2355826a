"""A PMML 4.4 document being written: data fields, derived fields, model segments and outputs.

A hub value of N records is a row of columns, each a field or a constant. What only reads data fields is derived in the
TransformationDictionary; what reads a model's answer is derived in the last segment of the chain.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lxml import etree

from bridge.errors import UnsupportedModel
from bridge.report import Blocker
from bridge_pmml.reader import INTERFACE

NAMESPACE = "http://www.dmg.org/PMML-4_4"
CATEGORICAL = ("string", "boolean")


@dataclass(frozen=True)
class Ref:
    """A field by name. `late` reads a model's answer."""

    name: str
    kind: str = "double"
    late: bool = False


@dataclass
class Cols:
    """A value of the hub, [N, columns], or [N] when `flat`."""

    items: list[Any]
    flat: bool = False

    def __len__(self) -> int:
        return len(self.items)


@dataclass
class Document:
    """Collects what `xml` puts together."""

    name: str = "model"
    fields: dict[str, str] = field(default_factory=dict)
    derived: list[tuple[Ref, Any]] = field(default_factory=list)
    segments: list[Any] = field(default_factory=list)
    outputs: list[tuple[str, Any, str]] = field(default_factory=list)
    interface: dict[str, Any] = field(default_factory=dict)
    made: dict[Any, Ref] = field(default_factory=dict)
    verification: list[dict[str, Any]] = field(default_factory=list)

    def data(self, name: str, kind: str) -> Ref:
        self.fields[name] = kind
        return Ref(name, kind)

    def fresh(self, stem: str) -> str:
        taken = {*self.fields, *(ref.name for ref, _ in self.derived)}
        index = len(self.derived) + len(self.segments) + 1
        while f"{stem}{index}" in taken:
            index += 1
        return f"{stem}{index}"

    def apply(self, function: str, *arguments: Any, kind: str = "double", **attributes: str) -> Ref:
        """A derived field: a built-in function of fields and constants."""
        key = (function, arguments, kind, tuple(attributes.items()))
        if key not in self.made:
            node = etree.Element("Apply", function=function, **attributes)
            for argument in arguments:
                node.append(expression(argument))
            self.made[key] = self.derive(node, kind, arguments)
        return self.made[key]

    def derive(self, node: Any, kind: str, reads: Sequence[Any]) -> Ref:
        """A derived field of an expression that reads `reads`."""
        late = any(isinstance(a, Ref) and a.late for a in reads)
        ref = Ref(self.fresh("d"), kind, late)
        self.derived.append((ref, node))
        return ref

    def choose(self, condition: Any, then: Any, otherwise: Any, kind: str = "double") -> Any:
        if isinstance(condition, (bool, np.bool_)):
            return then if condition else otherwise
        return self.apply("if", condition, then, otherwise, kind=kind)

    def compare(self, function: str, a: Any, b: Any) -> Ref:
        """False where an operand is missing, as NaN compares."""
        return self.apply(function, a, b, kind="boolean", mapMissingTo="false")

    def total(self, terms: Sequence[Any]) -> Any:
        """A sum in which a missing term makes the whole missing; a balanced tree, so that documents stay shallow."""
        parts = [t for t in terms if isinstance(t, Ref) or t != 0] or [0.0]
        while len(parts) > 1:
            paired = [self.apply("+", *parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
            parts = paired + parts[len(parts) - len(parts) % 2 :]
        return parts[0]

    def times(self, x: Any, factor: float) -> Any:
        if not isinstance(x, Ref):
            return x * factor
        return x if factor == 1 else 0.0 if factor == 0 else self.apply("*", x, float(factor))

    def model(self, node: Any, reads: Sequence[Any], op: str, origin: str) -> Ref:
        """The answer of a regression model as a field; the model becomes a segment of the chain."""
        if any(isinstance(r, Ref) and r.late for r in reads):
            reason = "reads what another model says, which a chain of PMML models does not hand on through formulas"
            raise UnsupportedModel("The model cannot be written as PMML:", [Blocker(op, origin, "", reason)])
        ref = Ref(self.fresh("m"), "double", True)
        names = dict.fromkeys(name for r in reads if isinstance(r, Ref) for name in self.sources(r))
        schema = etree.Element("MiningSchema")
        for name in names:
            etree.SubElement(schema, "MiningField", name=name)
        output = etree.Element("Output")
        etree.SubElement(
            output,
            "OutputField",
            name=ref.name,
            feature="predictedValue",
            optype="continuous",
            dataType="double",
        )
        node.insert(0, schema)
        node.insert(1, output)
        self.segments.append((ref, node))
        return ref

    def sources(self, ref: Ref) -> list[str]:
        """The data fields a field is made of."""
        if ref.name in self.fields:
            return [ref.name]
        node = next(n for r, n in self.derived if r.name == ref.name)
        known = {r.name: r for r, _ in self.derived}
        found: dict[str, None] = {}
        for used in node.iter("FieldRef"):
            name = used.get("field")
            found.update(dict.fromkeys([name] if name in self.fields else self.sources(known[name])))
        return list(found)

    def xml(self) -> bytes:
        """The whole document."""
        root = etree.Element("PMML", version="4.4", nsmap={None: NAMESPACE})
        header = etree.SubElement(root, "Header")
        etree.SubElement(
            header, "Extension", name=INTERFACE, value=json.dumps(self.interface, ensure_ascii=False)
        )
        etree.SubElement(header, "Application", name="bridge")
        dictionary = etree.SubElement(root, "DataDictionary", numberOfFields=str(len(self.fields)))
        for name, kind in self.fields.items():
            etree.SubElement(dictionary, "DataField", name=name, optype=optype(kind), dataType=kind)
        early = [(r, n) for r, n in self.derived if not r.late]
        if early:
            self._dictionary(etree.SubElement(root, "TransformationDictionary"), early)
        model = self._chain() if self.segments else self._last("RegressionModel")
        if self.verification:
            model.append(self._verification())
        root.append(model)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

    def _verification(self) -> Any:
        """The records as ModelVerification, columns c1, c2, …"""
        names = [*self.fields, *(name for name, _, _ in self.outputs)]
        count = len(self.verification)
        node = etree.Element("ModelVerification", recordCount=str(count), fieldCount=str(len(names)))
        held = etree.SubElement(node, "VerificationFields")
        for index, name in enumerate(names):
            etree.SubElement(
                held,
                "VerificationField",
                field=name,
                column=f"c{index + 1}",
                precision="1e-3",
                zeroThreshold="1e-4",
            )
        table = etree.SubElement(node, "InlineTable")
        for record in self.verification:
            row = etree.SubElement(table, "row")
            for index, name in enumerate(names):
                if name in record:
                    etree.SubElement(row, f"c{index + 1}").text = literal(record[name])
        return node

    def _dictionary(self, parent: Any, entries: list[tuple[Ref, Any]]) -> None:
        for ref, node in entries:
            derived = etree.SubElement(
                parent, "DerivedField", name=ref.name, optype=optype(ref.kind), dataType=ref.kind
            )
            derived.append(node)

    def _chain(self) -> Any:
        model = etree.Element("MiningModel", functionName="regression", modelName=self.name)
        schema = etree.SubElement(model, "MiningSchema")
        for name in self.fields:
            etree.SubElement(schema, "MiningField", name=name)
        held = etree.SubElement(model, "Segmentation", multipleModelMethod="modelChain")
        last = ("", self._last("RegressionModel"))
        for index, (_, node) in enumerate([*self.segments, last]):
            segment = etree.SubElement(held, "Segment", id=str(index + 1))
            etree.SubElement(segment, "True")
            segment.append(node)
        return model

    def _last(self, tag: str) -> Any:
        """The model whose outputs are the document's: everything is derived, so its own prediction is a constant."""
        model = etree.Element(tag, functionName="regression", modelName=self.name)
        schema = etree.SubElement(model, "MiningSchema")
        for name in (*self.fields, *(ref.name for ref, _ in self.segments)):
            etree.SubElement(schema, "MiningField", name=name)
        output = etree.SubElement(model, "Output")
        for name, item, kind in self.outputs:
            entry = etree.SubElement(
                output,
                "OutputField",
                name=name,
                feature="transformedValue",
                optype=optype(kind),
                dataType=kind,
            )
            entry.append(expression(item))
        late = [(r, n) for r, n in self.derived if r.late]
        if late:
            self._dictionary(etree.SubElement(model, "LocalTransformations"), late)
        etree.SubElement(model, "RegressionTable", intercept="0")
        return model


def optype(kind: str) -> str:
    return "categorical" if kind in CATEGORICAL else "continuous"


def expression(item: Any) -> Any:
    """A field or constant as an element."""
    if isinstance(item, Ref):
        return etree.Element("FieldRef", field=item.name)
    node = etree.Element("Constant", dataType=kind_of(item))
    node.text = literal(item)
    if isinstance(item, float) and math.isnan(item):
        node.text, node.attrib["missing"] = None, "true"
    return node


def kind_of(item: Any) -> str:
    if isinstance(item, Ref):
        return item.kind
    if isinstance(item, (bool, np.bool_)):
        return "boolean"
    if isinstance(item, str):
        return "string"
    return "integer" if isinstance(item, (int, np.integer)) else "double"


def literal(item: Any) -> str:
    """As XML Schema and Java both spell it: infinity is a number that overflows, for they have no word in common."""
    if isinstance(item, (bool, np.bool_)):
        return "true" if item else "false"
    if isinstance(item, (float, np.floating)):
        number = float(item)
        return f"{'-' * (number < 0)}1e999" if math.isinf(number) else repr(number)
    return str(item)
