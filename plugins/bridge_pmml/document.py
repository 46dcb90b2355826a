"""A PMML 4.4 document being written: data fields, derived fields, model segments and outputs.

A hub value of N records is a row of columns, each a field or a constant. What only reads data fields is
derived in the TransformationDictionary; what reads a model's answer is derived where it is read: in a later
model, or in the outputs.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lxml import etree

from bridge_pmml.reader import INTERFACE

NAMESPACE = "http://www.dmg.org/PMML-4_4"
CATEGORICAL = ("string", "boolean")
DEFERRED = re.compile(rb"^ *<\?deferred (\d+)\]\]>\?>\n", re.MULTILINE)
"""A place for lines that are written when their turn comes. No text of a document looks like it: where `<` is
not escaped, `]]>` ends the section."""
DEEPEST = 30
"""The level below which nothing is indented more, as libxml2 has it."""


@dataclass(frozen=True)
class Ref:
    """A field by name. `late` reads a model's answer."""

    name: str
    data_type: str = "double"
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
    """Collects what `pieces` puts together."""

    name: str = "model"
    fields: dict[str, str] = field(default_factory=dict)
    derived: list[tuple[Ref, Any]] = field(default_factory=list)
    segments: list[Any] = field(default_factory=list)
    answers: int = 0
    targets: dict[str, Sequence[str]] = field(default_factory=dict)
    labels: list[Any] = field(default_factory=list)
    given: dict[str, None] = field(default_factory=dict)
    roots: dict[str, list[str]] = field(default_factory=dict)
    outputs: list[tuple[str, Any, str]] = field(default_factory=list)
    interface: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"inputs": [], "outputs": []})
    applied: dict[Any, Ref] = field(default_factory=dict)
    verification: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, None] = field(default_factory=dict)
    deferred: list[Callable[[int], Iterator[str]]] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def data(self, name: str, data_type: str) -> Ref:
        self.fields[name] = data_type
        return Ref(name, data_type)

    def fresh(self, stem: str) -> str:
        """A name no data field has; those of derived fields and answers are numbered."""
        index = len(self.derived) + self.answers
        while f"{stem}{index}" in self.fields:
            stem += "_"
        return f"{stem}{index}"

    def apply(self, function: str, *arguments: Any, data_type: str = "double", **attributes: str) -> Ref:
        """A derived field: a built-in function of fields and constants."""
        key = (function, arguments, data_type, tuple(attributes.items()))
        if key not in self.applied:
            node = etree.Element("Apply", function=function, **attributes)
            for argument in arguments:
                node.append(expression(argument))
            self.applied[key] = self.derive(node, data_type, arguments)
        return self.applied[key]

    def derive(self, node: Any, data_type: str, reads: Sequence[Any]) -> Ref:
        """A derived field of an expression that reads `reads`."""
        late = any(isinstance(a, Ref) and a.late for a in reads)
        ref = Ref(self.fresh("d"), data_type, late)
        self.derived.append((ref, node))
        return ref

    def choose(self, condition: Any, then: Any, otherwise: Any, data_type: str = "double") -> Any:
        if isinstance(condition, (bool, np.bool_)):
            return then if condition else otherwise
        return self.apply("if", condition, then, otherwise, data_type=data_type)

    def compare(self, function: str, a: Any, b: Any) -> Ref:
        """False where an operand is missing, as NaN compares; empty text is what is missing. To PMML4S no
        integer is equal to a double."""
        for one, other in ((a, b), (b, a)):
            if isinstance(one, str) and not one and isinstance(other, Ref):
                return self.apply(
                    "isMissing" if function == "equal" else "isNotMissing", other, data_type="boolean"
                )
        if "integer" in (kind_of(a), kind_of(b)) and kind_of(a) != kind_of(b):
            a, b = self.as_double(a), self.as_double(b)
        return self.apply(function, a, b, data_type="boolean", mapMissingTo="false")

    def as_double(self, item: Any) -> Any:
        if kind_of(item) != "integer":
            return item
        return self.apply("+", item, 0.0) if isinstance(item, Ref) else float(item)

    def sum_terms(self, terms: Sequence[Any]) -> Any:
        """A sum in which a missing term makes the whole missing; a balanced tree, so that documents stay
        shallow."""
        parts = [t for t in terms if isinstance(t, Ref) or t != 0] or [0.0]
        while len(parts) > 1:
            paired = [self.apply("+", *parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
            parts = paired + parts[len(parts) - len(parts) % 2 :]
        return parts[0]

    def times(self, x: Any, factor: float) -> Any:
        if not isinstance(x, Ref):
            return x * factor
        return x if factor == 1 else 0.0 if factor == 0 else self.apply("*", x, float(factor))

    def columns(self, x: Cols) -> list[Ref]:
        """Columns as fields, for models read nothing else."""
        return [a if isinstance(a, Ref) else self.apply("+", float(a), 0.0) for a in x.items]

    def target(self, classes: Sequence[str] = ()) -> str:
        """A new target field, of these classes, or a number without."""
        name = f"target{len(self.targets) + 1}"
        while name in self.fields or any(name == o for o, _, _ in self.outputs):
            name += "_"
        self.targets[name] = classes
        return name

    def class_names(self, count: int) -> list[str]:
        """The labels of the hub's classes, when there are so many of them; else numbers from 1."""
        labels = [format_literal(v) for v in self.labels]
        return labels if len(set(labels)) == count == len(labels) else [str(i + 1) for i in range(count)]

    def add_model(
        self, node: Any, reads: Sequence[Ref], *wanted: dict[str, str], target: str | Sequence[str] = ()
    ) -> list[Ref]:
        """The answers of a model as fields, the predicted value or those `wanted`; the model becomes a
        segment of the chain.

        What it reads of earlier models' answers is derived inside it.
        """
        self.answers += 1
        stem, many = self.fresh("m"), len(wanted) > 1
        refs = [Ref(f"{stem}_{i + 1}" if many else stem, "double", True) for i in range(len(wanted) or 1)]
        output = etree.Element("Output")
        for ref, entry in zip(refs, wanted or ({"feature": "predictedValue"},), strict=True):
            kinds = {"optype": "continuous", "dataType": "double"}
            etree.SubElement(output, "OutputField", name=ref.name, **kinds, **entry)
        late = self.late_fields(reads)
        node.insert(0, self.schema([*reads, *(Ref(n) for r, _ in late for n in self.sources(r))]))
        for name in [target] if isinstance(target, str) else target:
            etree.SubElement(node[0], "MiningField", name=name, usageType="target")
        node.insert(1, output)
        if late:
            local = etree.Element("LocalTransformations")
            self._dictionary(local, [(r, copy.deepcopy(n)) for r, n in late])
            node.insert(2, local)
        self.given.update(dict.fromkeys(r.name for r in refs))
        self.read.update(dict.fromkeys(r.name for r in reads))
        self.segments.append(node)
        return refs

    def defer(self, lines: Callable[[int], Iterator[str]]) -> Any:
        """An element to stand where `lines` of a level are written when the document is: what is large is
        never held as elements."""
        self.deferred.append(lines)
        return etree.ProcessingInstruction("deferred", f"{len(self.deferred) - 1}]]>")

    def schema(self, reads: Sequence[Ref]) -> Any:
        """The mining schema of a model that reads these fields."""
        schema = etree.Element("MiningSchema")
        for name in dict.fromkeys(n for ref in reads for n in self.sources(ref)):
            etree.SubElement(schema, "MiningField", name=name)
        return schema

    def late_fields(self, reads: Sequence[Ref]) -> list[tuple[Ref, Any]]:
        """The derived fields among these, and those they are made of, that read a model's answer."""
        known = {r.name: (r, n) for r, n in self.derived if r.late}
        names: dict[str, None] = {}
        pending = [r.name for r in reads]
        while pending:
            name = pending.pop()
            if name in known and name not in names:
                names[name] = None
                pending += fields_read(known[name][1])
        return [entry for name, entry in known.items() if name in names]

    def sources(self, ref: Ref) -> list[str]:
        """The data fields and models' answers a field is made of."""
        if ref.name not in self.roots:
            if ref.name in self.fields or ref.name in self.given:
                self.roots[ref.name] = [ref.name]
            else:
                node = next(n for r, n in reversed(self.derived) if r.name == ref.name)
                used = [Ref(name) for name in fields_read(node)]
                self.roots[ref.name] = list(dict.fromkeys(n for u in used for n in self.sources(u)))
        return self.roots[ref.name]

    def prune(self) -> None:
        """Leave derived fields out that nothing reads."""
        known = {r.name: n for r, n in self.derived}
        pending = [*self.read, *(item.name for _, item, _ in self.outputs if isinstance(item, Ref))]
        used = set()
        while pending:
            name = pending.pop()
            if name in known and name not in used:
                used.add(name)
                pending += fields_read(known[name])
        self.derived = [(r, n) for r, n in self.derived if r.name in used]

    def pieces(self) -> Iterator[bytes]:
        """The whole document, piece by piece."""
        frame, end = self._frame(), 0
        for place in DEFERRED.finditer(frame):
            yield frame[end : place.start()]
            level = place[0].index(b"<") // 2
            yield from (f"{line}\n".encode() for line in self.deferred[int(place[1])](level))
            end = place.end()
        yield frame[end:]

    def _frame(self) -> bytes:
        """The document with places for what is deferred."""
        self.prune()
        root = etree.Element("PMML", version="4.4", nsmap={None: NAMESPACE})
        header = etree.SubElement(root, "Header", **self.header)
        noted = {INTERFACE: json.dumps(self.interface, ensure_ascii=False)} | self.metadata
        for key, text in noted.items():
            etree.SubElement(header, "Extension", name=key, value=text)
        etree.SubElement(header, "Application", name="bridge")
        dictionary = etree.SubElement(
            root, "DataDictionary", numberOfFields=str(len(self.fields) + len(self.targets))
        )
        for name, data_type in self.fields.items():
            etree.SubElement(dictionary, "DataField", name=name, optype=optype(data_type), dataType=data_type)
        for name, classes in self.targets.items():
            data_type = "string" if classes else "double"
            declared = etree.SubElement(
                dictionary, "DataField", name=name, optype=optype(data_type), dataType=data_type
            )
            for label in classes:
                etree.SubElement(declared, "Value", value=label)
        early = [(r, n) for r, n in self.derived if not r.late]
        if early:
            self._dictionary(etree.SubElement(root, "TransformationDictionary"), early)
        model = (
            self._single_model()
            if self._is_single_model()
            else self._model_chain()
            if self.segments
            else self._output_model()
        )
        if self.verification:
            model.append(self._verification())
        root.append(model)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

    def _verification(self) -> Any:
        """The records as ModelVerification, columns c1, c2, …"""
        names = [*self.fields, *(name for name, _, _ in self.outputs)]
        count = len(self.verification)
        node = etree.Element("ModelVerification", recordCount=str(count), fieldCount=str(len(names)))
        fields = etree.SubElement(node, "VerificationFields")
        for index, name in enumerate(names):
            etree.SubElement(
                fields,
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
                    etree.SubElement(row, f"c{index + 1}").text = content(record[name])
        return node

    def _dictionary(self, parent: Any, entries: list[tuple[Ref, Any]]) -> None:
        for ref, node in entries:
            derived = etree.SubElement(
                parent, "DerivedField", name=ref.name, optype=optype(ref.data_type), dataType=ref.data_type
            )
            derived.append(node)

    def _is_single_model(self) -> bool:
        """True if the document is one model with one target. PMML4S gives only the values of several
        targets."""
        targets = [m for s in self.segments for m in s[0] if m.get("usageType") == "target"]
        return len(self.segments) == 1 and len(targets) < 2

    def _model_chain(self) -> Any:
        model = etree.Element("MiningModel", functionName="regression", modelName=self.name)
        model.append(self.schema([Ref(n) for n in self.fields]))
        segmentation = etree.SubElement(model, "Segmentation", multipleModelMethod="modelChain")
        for index, node in enumerate([*self.segments, self._output_model()]):
            segment = etree.SubElement(segmentation, "Segment", id=str(index + 1))
            etree.SubElement(segment, "True")
            segment.append(node)
        return model

    def _single_model(self) -> Any:
        """The only model, whose answers and what is derived of them are outputs that do not leave the
        document."""
        [model] = self.segments
        model.set("modelName", self.name)
        schema = self.schema([Ref(n) for n in self.fields])
        schema.extend(m for m in model[0] if m.get("usageType") == "target")
        model.replace(model[0], schema)
        for entry in model[1]:
            entry.set("isFinalResult", "false")
        for ref, node in self.derived:
            if ref.late:
                self._output(model[1], ref.name, ref.data_type, node, isFinalResult="false")
        for name, item, data_type in self.outputs:
            self._output(model[1], name, data_type, expression(item))
        return model

    def _output(self, parent: Any, name: str, data_type: str, node: Any, **attributes: str) -> None:
        entry = etree.SubElement(
            parent,
            "OutputField",
            name=name,
            feature="transformedValue",
            optype=optype(data_type),
            dataType=data_type,
            **attributes,
        )
        entry.append(node)

    def _output_model(self) -> Any:
        """The model whose outputs are the document's: everything is derived, so its own prediction is a
        constant."""
        model = etree.Element("RegressionModel", functionName="regression", modelName=self.name)
        model.append(self.schema([Ref(n) for n in (*self.fields, *self.given)]))
        output = etree.SubElement(model, "Output")
        for name, item, data_type in self.outputs:
            self._output(output, name, data_type, expression(item))
        late = [(r, n) for r, n in self.derived if r.late]
        if late:
            self._dictionary(etree.SubElement(model, "LocalTransformations"), late)
        etree.SubElement(model, "RegressionTable", intercept="0")
        return model


def attributes(**given: str) -> str:
    """Attributes as they are written, a blank before each."""
    return etree.tostring(etree.Element("_", given), encoding="unicode")[2:-2]


def indented(level: int, line: str) -> str:
    return "  " * min(level, DEEPEST) + line


def fields_read(node: Any) -> list[str]:
    """The fields an expression reads."""
    return [f.get("field") for f in node.iter("FieldRef", "FieldColumnPair")]


def map_values(column: Ref, pairs: Sequence[tuple[Any, Any]], default: Any, missing: Any) -> Any:
    """The MapValues of numbers, with what stands for those that are not listed, and for a missing one."""
    given = {"defaultValue": format_literal(default), "mapMissingTo": format_literal(missing)}
    node = etree.Element("MapValues", outputColumn="value", dataType=kind_of(default), **given)
    etree.SubElement(node, "FieldColumnPair", field=column.name, column="key")
    table = etree.SubElement(node, "InlineTable")
    for key, value in pairs:
        row = etree.SubElement(table, "row")
        etree.SubElement(row, "key").text = content(key)
        etree.SubElement(row, "value").text = content(value)
    return node


def optype(data_type: str) -> str:
    return "categorical" if data_type in CATEGORICAL else "continuous"


def expression(item: Any) -> Any:
    """A field or constant as an element."""
    if isinstance(item, Ref):
        return etree.Element("FieldRef", field=item.name)
    node = etree.Element("Constant", dataType=kind_of(item))
    node.text = content(item)
    if isinstance(item, float) and math.isnan(item):
        node.text, node.attrib["missing"] = None, "true"
    return node


def kind_of(item: Any) -> str:
    if isinstance(item, Ref):
        return item.data_type
    if isinstance(item, (bool, np.bool_)):
        return "boolean"
    if isinstance(item, str):
        return "string"
    return "integer" if isinstance(item, (int, np.integer)) else "double"


def content(item: Any) -> Any:
    """A constant as the content of an element: one piece, since PMML4S reads the last one alone."""
    text = format_literal(item)
    pieces = set(text) & set("&<>") or text.count("]") > 1
    return etree.CDATA(text) if pieces and "]]>" not in text else text


def format_literal(item: Any) -> str:
    """Spell a constant so that XML Schema and Java both read it. Infinity is a number that overflows,
    because they share no word for it."""
    if isinstance(item, (bool, np.bool_)):
        return "true" if item else "false"
    if isinstance(item, (float, np.floating)):
        number = float(item)
        return f"{'-' * (number < 0)}1e999" if math.isinf(number) else repr(number)
    return str(item)
