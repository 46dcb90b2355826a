"""Hub → ONNX file at the opset asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass

from bridge import facts, hub, terms
from bridge.errors import ExecutionFailed
from bridge.formats import LABELS, Exporter, Option, flag, within
from bridge.ops import OpTable
from bridge.passes.affine import FoldAffine
from bridge.passes.batch_norm import FoldBatchNormalization
from bridge.passes.biases import FoldBiases
from bridge.passes.contractions import RaiseContractions
from bridge.passes.expand import ExpandFunctions
from bridge.passes.gelu import RaiseGelu
from bridge.passes.gemm import RaiseGemm
from bridge.passes.groups import CentredGroups
from bridge.passes.identities import RemoveNoOps
from bridge.passes.joined import JoinMoves
from bridge.passes.masks import MasksOfQueries
from bridge.passes.means import RaiseMeans
from bridge.passes.norms import RaiseNorms
from bridge.passes.opset.down import RUNTIME_OPSET, keeps, lower, restamp, runtime_opset, valid
from bridge.passes.pads import PadsAtRunTime
from bridge.passes.reshape_lengths import ConstantLengths, ShareLengths
from bridge.passes.reshapes import MergeReshapes
from bridge.passes.states import DropZeroStates
from bridge.passes.transforms import ProductTransforms
from bridge.passes.unused import RemoveUnused
from bridge.passes.weights import ShareWeights
from bridge.provenance.card import native_of
from bridge.quantize.standard import STANDARD
from bridge.report import Report
from bridge_onnx.contents import contents
from bridge_onnx.stored_weights import StoreWeights
from bridge_onnx.wire import replace_tail, write_model

LIMIT = 2**31 - 2**20
METADATA_PROPS = 14
"""The number of the field of a ModelProto."""
AUTHOR, LICENSE = "model_author", "model_license"
"""Metadata entries that the specification of ONNX names."""


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write `model`; weights go beside it as `<name>.data` when asked for or when they pass 2 GB.

    Without opset= the newest that ONNX Runtime admits is written, or the hub's where operators need it.
    Raises UnsupportedModel when an operator has no form at the opset asked for.
    """
    target = options["opset"]
    if target is None:
        target = _default_opset(model, options["max_opset"])
    lower(model, target)
    StoreWeights(target)(model)
    ShareWeights()(model)
    for step in (DeduplicateInitializersPass(), CommonSubexpressionEliminationPass(), RemoveUnused()):
        step(model)
    model.ir_version = options["ir_version"] or _ir_version(model.graph.opset_imports)
    for node in hub.all_nodes(model):
        if options["bare"] and not hub.origin(node).name:
            node.name = None
        facts.ORIGIN.drop(node)
        facts.UNREAD.drop(node)
        model.graph.opset_imports.setdefault(node.domain, 1)
    for graph in hub.graphs(model):
        graph.name = graph.name or "graph"
    _describe(model)
    if options["bare"]:
        strip(model)
    if options["external_data"] or sum(tensor.nbytes for tensor in hub.weights(model)) > LIMIT:
        ir.save(model, path, external_data=f"{path.name}.data")
        _check(path)
    else:
        _check(write_model(model, path))


def _describe(model: ir.Model) -> None:
    """Fill the fields that ONNX has for what a model card says."""
    card = native_of(model)
    model.doc_string = card.description or model.doc_string
    standard = {AUTHOR: card.author, LICENSE: card.license}
    model.metadata_props.update({key: text for key, text in standard.items() if text})


def annotate(path: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of metadata entries of a file."""
    replace_tail(path, METADATA_PROPS, lambda prop: _annotated(prop, entries))


def _annotated(raw: bytes, entries: Mapping[str, str]) -> bytes:
    prop = onnx.StringStringEntryProto.FromString(raw)
    prop.value = entries.get(prop.key, prop.value)
    return prop.SerializeToString()


def strip(model: ir.Model) -> None:
    """Leave types and shapes to whoever infers them, but for those of inputs and outputs, and take away what
    exporters noted on nodes, and bridge on where the model comes from."""
    for node in hub.all_nodes(model):
        node.metadata_props.clear()
    inner = [value for node in hub.all_nodes(model) for value in node.outputs]
    for value in (*inner, *(v for g in hub.graphs(model) for v in g.initializers.values())):
        if not value.is_graph_output() and not value.is_graph_input():
            value.type = value.shape = None
    for fact in (facts.FORMAT, facts.OPSET, facts.SHA256, facts.PROVENANCE):
        fact.drop(model)


def _default_opset(model: ir.Model, highest: int) -> int:
    """The best opset for ONNX Runtime, or the newest it admits; `highest` where an operator would lose dtype
    or form at either, or both are above it."""
    best = (opset for opset in (runtime_opset(model), RUNTIME_OPSET) if opset <= highest)
    return next((opset for opset in best if _keeps_all(model, opset)), highest)


def _keeps_all(model: ir.Model, opset: int) -> bool:
    if keeps(model, opset):
        return True
    trial = model.clone()
    widened = any(
        node.domain == "" and hub.schema(node, opset) is not None and valid(node, opset)
        for node in hub.all_nodes(trial)
    )
    return not widened and not restamp(trial, opset)


def _ir_version(imports: dict[str, int]) -> int:
    known = [onnx.helper.make_opsetid(d, v) for d, v in imports.items() if d in hub.STANDARD_OPSETS]
    return max(8, onnx.helper.find_min_ir_version_for(known, ignore_unknown=True))


def _check(written: Path | bytes) -> None:
    try:
        onnx.checker.check_model(written)
    except onnx.checker.ValidationError as error:
        raise ExecutionFailed(f"onnx.checker refuses the model written: {error}") from error


class OfOthers(ir.passes.InPlacePass):
    """1. What other formats have is spelled out where ONNX Runtime's operator loses digits; what an ONNX file
    has stays as it is."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        if facts.FORMAT.get(model) == "onnx":
            return ir.passes.PassResult(model, False)
        return ir.passes.Sequential(CentredGroups(), ProductTransforms())(model)


class CountedTerms(ir.passes.InPlacePass):
    """1. Terms of text are counted by the operators that ONNX Runtime has for it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ExpandFunctions(lambda node: node.domain != terms.DOMAIN)(model)


def legalize(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """Passes to what ONNX Runtime runs, then to the operators that it has kernels for."""
    return [
        *(PadsAtRunTime(), OfOthers(), MasksOfQueries(), CountedTerms()),
        *(FoldAffine(), FoldBiases(), FoldBatchNormalization(), RaiseContractions(), RaiseGelu()),
        *(RaiseNorms(), RaiseMeans(), RaiseGemm(), MergeReshapes(), JoinMoves()),
        *(ConstantLengths(), ShareLengths(), DropZeroStates(), RemoveNoOps(zeros=True)),
    ]


exporter = Exporter(
    table=OpTable(),
    legalize=legalize,
    write=write,
    accepts_all_operators=True,
    written=contents,
    schemes=lambda options: STANDARD,
    annotate=annotate,
    options=(
        Option(
            "opset",
            "the opset to write; without it the newest that ONNX Runtime admits, or the hub's where "
            "operators need it",
            None,
            int,
            tuple(range(11, hub.HUB_OPSET + 1)),
        ),
        Option(
            "max_opset",
            "the newest opset to choose where none is named",
            hub.HUB_OPSET,
            int,
            tuple(range(11, hub.HUB_OPSET + 1)),
        ),
        Option(
            "ir_version",
            "the IR version to write; the lowest that fits the opset when omitted",
            None,
            int,
            parser=within("ir_version", 3, onnx.IR_VERSION),
        ),
        Option("external_data", "whether weights are written to a file beside the model", False, flag),
        Option(
            "bare",
            "whether types and shapes within, notes on nodes and the metadata of bridge are left out",
            False,
            flag,
        ),
        LABELS,
    ),
)
