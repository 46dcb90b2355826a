"""Hub → PMML 4.4, driven by export_ops."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx_ir as ir
from lxml import etree
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from bridge import hub
from bridge.errors import InvalidOption, UnsupportedModel
from bridge.facts import CLASSES, ESTIMATOR, FEATURE_NAMES, STORED
from bridge.formats import Exporter, Option
from bridge.inputs import random_inputs
from bridge.needs import condition
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.provenance.card import native_of
from bridge.report import Report
from bridge.runtime import run_hub
from bridge.stored import as_held
from bridge_pmml.document import Cols, Document, Ref
from bridge_pmml.export_ops import ops
from bridge_pmml.export_ops.common import python_scalar
from bridge_pmml.export_ops.tensor import is_one_hot
from bridge_pmml.lift_instances import RUNNABLE, LiftInstances
from bridge_pmml.lift_models import LiftModels
from bridge_pmml.reader import METADATA

KINDS = {
    "DOUBLE": "double",
    "FLOAT": "float",
    "FLOAT16": "float",
    "BFLOAT16": "float",
    "STRING": "string",
    "BOOL": "boolean",
}


def kind_of_value(value: ir.Value) -> str:
    """The PMML data type of a hub value."""
    assert value.dtype is not None
    return KINDS.get(value.dtype.name, "integer")


DTYPES = frozenset(["FLOAT", "DOUBLE", "INT32", "INT64", "BOOL", "STRING"])


COLUMNS = 100_000
"""The most fields that stand for one value."""


def is_record_tensor(value: ir.Value) -> bool:
    """Records in rows: [N] or [N, F] of numbers, truth values or text, with no more than COLUMNS columns."""
    producer = value.producer()
    if not isinstance(value.type, ir.TensorType | None):
        return False
    if value.shape is None and producer is not None and producer.domain == "ai.onnx.ml":
        return True
    if value.dtype is None or value.shape is None or value.dtype.name not in DTYPES:
        return False
    rank = len(value.shape)
    width = value.shape[1] if rank == 2 else 1
    if (isinstance(width, int) and width > COLUMNS) or (
        value.is_graph_input() and not isinstance(width, int)
    ):
        return False
    return rank in (1, 2) or (rank == 3 and is_one_hot(value) and not value.is_graph_output())


VALUES = condition(
    f"records in rows, [N] or [N, F] with F known and {COLUMNS:,} at the most, of float, double, int32, "
    "int64, bool or string: PMML holds fields of a record and no tensors",
    is_record_tensor,
)


def accepts(node: ir.Node) -> bool:
    return ops.refusal(hub.qualified(node), node) is None


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model. Raises InvalidOption for names that do not fit, UnsupportedModel for text that
    XML does not have."""
    try:
        document = document_of(model, options)
        if options.get("verification"):
            document.verification = records(
                model.meta.get(RUNNABLE, model), document, int(options["verification"])
            )
        with path.open("wb") as file:
            file.writelines(document.pieces())
    except ValueError as error:
        if not str(error).startswith("All strings must be XML compatible"):
            raise
        raise UnsupportedModel(
            "A name or text of the model holds a control character, which XML does not have.", []
        ) from error
    report.notes.append("computed in double precision")


def annotate(path: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of extensions of a document's header; the rest is copied as it is."""
    changed = path.with_name(f"{path.name}.annotated")
    with path.open("rb") as file, changed.open("wb") as copy:
        for line in file:
            copy.write(_annotated(line, entries))
            if b"</Header>" in line:
                break
        shutil.copyfileobj(file, copy)
    changed.replace(path)


def _annotated(line: bytes, entries: Mapping[str, str]) -> bytes:
    """A line of a header, in which each extension stands on one of its own."""
    if not line.strip().startswith(b"<Extension "):
        return line
    element = etree.fromstring(line)
    name = element.get("name", "")
    element.set("value", entries.get(name, element.get("value", "")))
    return line[: len(line) - len(line.lstrip())] + etree.tostring(element, encoding="UTF-8") + b"\n"


def document_of(model: ir.Model, options: dict[str, Any]) -> Document:
    """The document of a legal hub model."""
    doc = Document(ESTIMATOR.get(model) or model.graph.name or "model")
    card = native_of(model)
    doc.header = {k: v for k, v in (("description", card.description), ("modelVersion", card.version)) if v}
    told = {fact: fact.get(model) for fact in METADATA}
    doc.metadata = {fact.key: fact.encode(value) for fact, value in told.items() if value is not None}
    model = model.clone()
    for step in (LiftModels(), RemoveUnusedNodesPass(), TopologicalSortPass()):
        step(model)
    values = declare_inputs(doc, feature_names(model, options.get("feature_names") or ""))
    doc.labels = class_labels(model)
    for node in model.graph:
        values.update(translate_node(doc, node, values))
    taken = set(doc.fields)
    for value in model.graph.outputs:
        columns = values[value] if value in values else constant_columns(value)
        declare_output(doc, value, columns, output_names(value, columns, doc.labels, taken))
        if (held := STORED.of(value.name or "").get(model)) is not None:
            doc.interface["outputs"][-1]["stored"] = held
    return doc


def declare_inputs(doc: Document, names: dict[ir.Value, list[str]]) -> dict[ir.Value, Any]:
    """Data fields of these names for each graph input; the inputs as columns of them."""
    values: dict[ir.Value, Any] = {}
    for value, fields in names.items():
        data_type = kind_of_value(value)
        values[value] = Cols([doc.data(n, data_type) for n in fields], len(value.shape or ()) == 1)
        doc.interface["inputs"].append(describe_port(value, fields))
    return values


def translate_node(doc: Document, node: ir.Node, values: dict[ir.Value, Any]) -> dict[ir.Value, Any]:
    """The outputs of a node as columns of the document."""
    rule = ops.find(hub.qualified(node), node)
    assert rule is not None
    inputs = [None if v is None else values.get(v, hub.const(v)) for v in node.inputs]
    results = rule.apply(doc, node, *inputs)
    results = results if isinstance(results, tuple) else (results,)
    return dict(zip(node.outputs, results, strict=False))


def constant_columns(value: ir.Value) -> Cols:
    array = hub.const(value)
    assert array is not None
    return Cols([python_scalar(v) for v in array.ravel()])


def declare_output(doc: Document, value: ir.Value, columns: Cols, fields: list[str]) -> None:
    """Output fields of these names for a graph output; a column of text stays text, whatever the hub's
    dtype."""
    data_type = kind_of_value(value)
    for name, item in zip(fields, columns.items, strict=True):
        text = data_type == "integer" and isinstance(item, Ref) and item.data_type == "string"
        doc.outputs.append((name, item, "string" if text else data_type))
    doc.interface["outputs"].append(describe_port(value, fields))


def records(model: ir.Model, doc: Document, count: int) -> list[dict[str, Any]]:
    """Seeded records and what the hub model makes of them, by field; what is missing is left out."""
    free = {d for v in model.graph.inputs for d in (v.shape or ())[:1] if not isinstance(d, int)}
    inputs = random_inputs(model, 0, {str(d.value): count for d in free})
    results = run_hub(as_held(model), inputs)
    rows: list[dict[str, Any]] = [{} for _ in range(len(next(iter(inputs.values()))))]
    for side, arrays in (("inputs", inputs), ("outputs", results)):
        for entry in doc.interface[side]:
            array = np.asarray(arrays[entry["name"]]).reshape(len(rows), -1)
            for row, cells in zip(rows, array, strict=True):
                pairs = zip(entry["fields"], cells, strict=True)
                row.update({n: python_scalar(c) for n, c in pairs if c == c and not isinstance(c, bytes)})
    return rows


def describe_port(value: ir.Value, fields: list[str]) -> dict[str, Any]:
    """A hub value and the fields that hold it, for reading the document back."""
    assert value.dtype is not None
    shape = [d if isinstance(d, int) else str(d.value) for d in value.shape or ()]
    return {"name": value.name, "dtype": value.dtype.name, "shape": shape, "fields": fields}


def feature_names(model: ir.Model, option: str | list[str]) -> dict[ir.Value, list[str]]:
    """Field names by input: those given, those the model's metadata has, else x1, x2, …; a single column is
    its input."""
    shapes = {v: list(v.shape or ()) for v in model.graph.inputs}
    widths = {v: 1 if len(dims) == 1 else int(cast(int, dims[1])) for v, dims in shapes.items()}
    total = sum(widths.values())
    listed = option if isinstance(option, list) else [n.strip() for n in option.split(",") if n.strip()]
    if not listed and (names := FEATURE_NAMES.get(model)):
        listed = names
        listed = listed if len(listed) == total else []
    if listed and (len(listed) != total or len(set(listed)) != total):
        raise InvalidOption(
            f"feature_names has {len(listed)} names, of which {len(set(listed))} differ; "
            f"the model has {total} features."
        )
    if not listed:
        alone = all(w == 1 for w in widths.values())
        listed = [str(v.name) for v in widths] if alone else [f"x{i + 1}" for i in range(total)]
    names_by_input, start = {}, 0
    for value, width in widths.items():
        names_by_input[value] = listed[start : start + width]
        start += width
    return names_by_input


def class_labels(model: ir.Model) -> list[Any]:
    """The labels the model's metadata lists, or a classifier picks by place, when there is one such table."""
    tables = [table for _, table in CLASSES.all(model)]
    for node in model.graph:
        table = (
            hub.const(node.inputs[0])
            if node.op_type in ("Gather", "ArrayFeatureExtractor") and node.inputs
            else None
        )
        if table is not None and table.size > 1 and any(reaches_output(o, model) for o in node.outputs):
            tables.append([python_scalar(v) for v in table.ravel()])
    return tables[0] if tables and all(t == tables[0] for t in tables) else []


def reaches_output(value: ir.Value, model: ir.Model) -> bool:
    """True if a value is a graph output, or becomes one by reshapes and casts alone."""
    if value.is_graph_output():
        return True
    passing = ("Reshape", "Cast", "Identity", "Squeeze")
    return any(reaches_output(u.node.outputs[0], model) for u in value.uses() if u.node.op_type in passing)


def output_names(value: ir.Value, columns: Cols, labels: list[Any], taken: set[str]) -> list[str]:
    """The output's own name for one column, with the classes in brackets or numbered for several."""
    name, count = str(value.name), len(columns)
    if count == 1:
        names = [name]
    elif count == len(labels):
        names = [f"{name}({label})" for label in labels]
    else:
        names = [f"{name}_{i + 1}" for i in range(count)]
    for index, each in enumerate(names):
        while each in taken:
            each += "_output"
        taken.add(each)
        names[index] = each
    return names


exporter = Exporter(
    table=ops,
    legalize=lambda options: [LiftInstances(), Decompose(accepts), FoldConstants()],
    write=write,
    value_need=VALUES,
    annotate=annotate,
    options=(
        Option(
            "verification",
            "the number of seeded records to write as ModelVerification, with which readers can check "
            "themselves",
            0,
            int,
        ),
        Option(
            "feature_names",
            "the names of the input columns, with commas between them; else the model's own, else x1, x2, …",
            "",
        ),
    ),
)
