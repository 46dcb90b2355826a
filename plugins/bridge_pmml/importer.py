"""PMML document → hub."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, first_line
from bridge.formats import Importer, Option, flag
from bridge.report import Blocker
from bridge_pmml import expressions, extensions, results
from bridge_pmml.fields import Field, Inputs, Scope, active_fields
from bridge_pmml.folded_trees import fold_trees
from bridge_pmml.import_ops import ops
from bridge_pmml.import_ops.association_rules import basket_field
from bridge_pmml.import_ops.time_series import horizon_field
from bridge_pmml.models import MODELS, model_of, model_scope, run_model
from bridge_pmml.reader import (
    INTERFACE,
    METADATA,
    VERSIONS,
    Element,
    child,
    children,
    describe,
    drop_default_namespace,
    interface,
    need_child,
    parse_document,
    read_bytes,
    stored_outputs,
    text,
)
from bridge_pmml.values import Columns, Val, logical_not
from bridge_pmml.verification import check, parts

ITEMS = "items"
WHY = {
    "BaselineModel": "tests a stream of records, not one",
    "SequenceModel": "holds rules of sequences, and PMML defines no answer they give to one",
}


def load(src: Any, inputs: str = "fields", outputs: str = "all", self_check: bool = True) -> ir.Model:
    """Read a PMML document into a hub model of one input [N, 1] per field and one output [N, 1] per output
    field.

    With `inputs="matrix"` numeric fields are columns of one input `inputs` [N, F]; with `outputs="numbers"`
    those that are text are left out, for targets without text. With `self_check` a document's own
    ModelVerification records are scored, and must come out as it says. Raises UnreadableFile for bytes that
    are no PMML, UnsupportedModel for what no function of a record gives.
    """
    path = Path(src)
    with without_garbage_collection():
        return _load(path, inputs == "matrix", outputs == "numbers", self_check)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Without garbage collection: a forest is a million objects, all of them in use."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(path: Path, packed: bool, numbers: bool, self_check: bool) -> ir.Model:
    content = read_bytes(path)
    root = parse_document(fold_trees(drop_default_namespace(content)), path)
    found = extensions.standardize(root, content)
    version = root.get("version", "")
    if not version.startswith(VERSIONS):
        raise UnreadableFile(
            f"{path} says PMML version {version or 'nothing'}.", "Versions 3.0 to 4.4 are read."
        )
    _refuse([*_find_blockers(root), *extensions.blockers(found)])
    try:
        model, predictions = _build_model(root, packed, numbers)
        checked, names = (model, predictions) if not (packed or numbers) else _build_model(root)
    except (BridgeError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableFile(
            f"{path} is not a valid PMML document: {type(error).__name__}: {error}", "Is the file complete?"
        ) from error
    model.metadata_props.update({f.key: root.get(f.key) for f in METADATA if root.get(f.key)})
    facts.FORMAT.set(model, "pmml")
    facts.VERSION.set(model, version)
    facts.SHA256.set(model, hashlib.sha256(content).hexdigest())
    notes = _self_checks(path, root, checked, names) if self_check else ()
    hub.note(model, [*filter(None, notes), *extensions.notes(found)])
    return model


def _self_checks(path: Path, root: Element, model: ir.Model, predictions: dict[str, str]) -> Iterator[str]:
    """A sentence on the records of the document, and of each model inside it that has some."""
    yield check(path, root, model, predictions)
    for inner in parts(root):
        whose = f" of {describe(model_of(inner))}"
        try:
            model, predictions = _build_model(inner)
        except BridgeError as error:
            yield f"no verification records{whose} were checked: {first_line(error)}"
        else:
            yield check(path, inner, model, predictions, whose)


def _build_model(
    root: Element, packed: bool = False, numbers: bool = False
) -> tuple[ir.Model, dict[str, str]]:
    """The hub model, and the outputs that hold the predicted values of targets."""
    node = model_of(root)
    graph = ir.Graph([], [], nodes=[], name=node.get("modelName") or node.tag, opset_imports=_opsets())
    fields = {f.name: f for f in map(Field.of, children(need_child(root, "DataDictionary"), "DataField"))}
    inputs = Inputs(graph, fields)
    ports = {} if packed or numbers else interface(root.get(INTERFACE))
    if ports:
        for entry in ports["inputs"]:
            inputs.bundle(entry)
    else:
        _declare_inputs(node, inputs, packed)
    op = hub.Builder(graph)
    op.begin(*describe(node).partition(" (")[0].partition(" ")[::2])
    columns = Columns(op, graph.inputs[0] if graph.inputs else None)
    inputs.columns = columns
    outer = Scope(columns, None, inputs, ops)
    for function in root.iterfind("TransformationDictionary/DefineFunction"):
        outer.functions[text(function, "name")] = function
    scope = model_scope(_with_dictionary(outer, root, node), node)
    result = run_model(scope, node)
    columns_by_name = results.output_columns(scope, node, result)
    names = results.final_names(node)
    outputs = {n: v for n, v in columns_by_name.items() if n in names} or results.defaults(scope, result)
    predictions = results.predictions(node, result, outputs)
    outputs = {n: v for n, v in outputs.items() if not (numbers and v.text)}
    if not outputs:
        raise UnreadableFile(f"{describe(node)} has no outputs.")
    if ports:
        _restore_outputs(graph, columns, outputs, scope, ports["outputs"])
    else:
        _add_outputs(graph, columns, outputs, scope)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(stored_outputs(ports))
    return model, predictions


def _with_dictionary(outer: Scope, root: Element, node: Element) -> Scope:
    """The outermost scope, whose derived fields read the model's fields as its mining schema leaves them."""
    dictionary = child(root, "TransformationDictionary")
    if dictionary is None:
        return outer
    treated = outer.enter(child(node, "MiningSchema"))
    expressions.define(treated, dictionary)
    return _Behind(outer, treated)


class _Behind(Scope):
    """Data fields as they come in, and the derived fields of the dictionary."""

    def __init__(self, outer: Scope, treated: Scope) -> None:
        super().__init__(outer.columns, outer, outer.inputs)
        self.functions = treated.functions
        self.treated = treated

    def get(self, name: str) -> Val:
        return self.treated.get(name) if name in self.treated.later else super().get(name)

    def knows(self, name: str) -> bool:
        return name in self.treated.later or super().knows(name)


def _opsets() -> dict[str, int]:
    return {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}


def _declare_inputs(node: Element, inputs: Inputs, packed: bool) -> None:
    """Inputs for the active fields of the model, in order."""
    basket = basket_field(node) if node.tag == "AssociationModel" else ""
    if basket:
        inputs.add_field(basket, ITEMS)
        return
    names = []
    steps = [horizon_field(node)] if node.tag == "TimeSeriesModel" else []
    for item in (*active_fields(child(node, "MiningSchema")), *steps):
        name = text(item, "name")
        if name in inputs.fields and name not in names:
            names.append(name)
    if packed and any(not inputs.fields[n].text for n in names):
        inputs.pack(names)
    for name in names:
        if name not in inputs.packed:
            inputs.add_field(name)


def _add_outputs(graph: ir.Graph, columns: Columns, chosen: dict[str, Val], scope: Scope) -> None:
    """Named outputs of the graph, missing where a field was invalid."""
    keep = logical_not(scope.invalid, columns.op)
    taken = {v.name for v in graph.inputs}
    for name, val in chosen.items():
        width = val.width
        value = columns.op.Identity(columns.blank(val, keep).tensor)
        while name in taken:
            name += "_output"
        taken.add(name)
        value.name = name
        value.shape = ir.Shape([columns.rows_dim, width])
        graph.outputs.append(value)


def _restore_outputs(
    graph: ir.Graph, columns: Columns, chosen: dict[str, Val], scope: Scope, entries: list[dict[str, Any]]
) -> None:
    """Outputs as the hub had them before they became fields."""
    op, keep = columns.op, logical_not(scope.invalid, columns.op)
    for entry in entries:
        missing = [f for f in entry["fields"] if f not in chosen]
        if missing or not entry["fields"]:
            raise UnreadableFile(f"The document's interface names outputs that are not there: {missing}.")
        tensors = [columns.blank(chosen[f], keep).tensor for f in entry["fields"]]
        value = tensors[0] if len(tensors) == 1 else op.Concat(*tensors, axis=1)
        dtype = ir.DataType[entry["dtype"]]
        value = op.Identity(value) if value.dtype == dtype else op.Cast(value, to=dtype)
        if len(entry["shape"]) == 1:
            value = op.Squeeze(value, np.array([1]))
        value.name, value.shape = entry["name"], ir.Shape(entry["shape"])
        graph.outputs.append(value)


def _refuse(blockers: list[Blocker]) -> None:
    """Raise UnsupportedModel for what cannot be read."""
    if blockers:
        count = len(blockers)
        raise UnsupportedModel(
            f"{count} element{'s' * (count > 1)} of the document cannot be read:", blockers
        )


def _find_blockers(root: Element) -> Iterator[Blocker]:
    for node in root.iter(*(tag for tag in MODELS if tag not in ops)):
        yield Blocker(node.tag, node.get("modelName", ""), "", WHY.get(node.tag, "is not supported"))
    yield from expressions.blockers(root)


importer = Importer(
    load,
    options=(
        Option(
            "inputs",
            "what the inputs are: one per field, or a matrix of the numeric ones",
            "fields",
            str,
            ("fields", "matrix"),
        ),
        Option(
            "outputs",
            "the outputs there are: all, or the numbers alone for targets without text",
            "all",
            str,
            ("all", "numbers"),
        ),
        Option(
            "self_check",
            "whether the document's own ModelVerification records are scored, and must come out as it says",
            True,
            flag,
        ),
    ),
    table=ops,
)
