"""ONNX file or live object → hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from bridge import hub
from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.formats import Importer
from bridge.passes import opset
from bridge.passes.constants import LiftConstants
from bridge.passes.rewrite import Rewrite, described
from bridge.passes.shapes import InferShapes
from bridge.report import Blocker
from bridge_onnx.import_ops import ops

LIMIT = 2**31


def load(src: Any) -> ir.Model:
    """Read `src` (path, onnx.ModelProto or onnx_ir.Model) into a hub model; weights stay mapped.

    Raises UnreadableFile for bytes that are no ONNX model or whose external data is missing or outside the
    model's folder, UnsupportedModel for operators no opset defines.
    """
    model = _parse(src)
    _stamp(model, src)
    if model.ir_version is not None and model.ir_version < 4:
        RemoveInitializersFromInputsPass()(model)
    LiftConstants()(model)
    if model.graph.opset_imports.get("", 1) < hub.HUB_OPSET:
        InferShapes()(model)
    opset.lift(model)
    Rewrite(ops)(model)
    blockers = opset.unknown_operators(model)
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} operators of the model are unknown:", blockers)
    return model


def _parse(src: Any) -> ir.Model:
    if isinstance(src, ir.Model):
        return src.clone()
    if isinstance(src, onnx.ModelProto):
        return ir.from_proto(src)
    path = Path(src)
    proto = read(path)
    _refuse_maps(proto)
    try:
        model = ir.from_proto(proto)
    except Exception as error:
        raise _unreadable(path, error) from error
    if not all(isinstance(name, str) for name in _names(model)):
        raise UnreadableFile(
            f"{path} is not a readable ONNX model: a name is not UTF-8.", "Is the file complete?"
        )
    _attach_external_data(model, path.parent)
    return model


def _names(model: ir.Model) -> Iterator[Any]:
    """Every name in the model; protobuf hands those that are not UTF-8 over as bytes."""
    for graph in model.graphs():
        yield from (v.name or "" for v in (*graph.inputs, *graph.initializers.values()))
    for node in hub.all_nodes(model):
        yield from (node.op_type, node.domain, node.name or "", *node.attributes)
        yield from (v.name or "" for v in (*node.inputs, *node.outputs) if v is not None)


def read(path: Path) -> onnx.ModelProto:
    """The protobuf of an ONNX file, external data left where it is. Raises UnreadableFile."""
    if path.suffix != ".onnxtxt" and path.stat().st_size >= LIMIT:
        raise UnreadableFile(
            f"{path} is over 2 GB, which protobuf cannot hold.", "Store its weights as external data."
        )
    try:
        text = path.suffix == ".onnxtxt"
        proto = (
            onnx.parser.parse_model(path.read_text())
            if text
            else onnx.ModelProto.FromString(path.read_bytes())
        )
    except Exception as error:
        raise _unreadable(path, error) from error
    if proto.ir_version == 0 or not (proto.graph.node or proto.graph.output):
        raise UnreadableFile(f"{path} is not an ONNX model: it holds no graph.", "Is the file complete?")
    return proto


def _unreadable(path: Path, error: Exception) -> UnreadableFile:
    return UnreadableFile(
        f"{path} is not a readable ONNX model: {_first_line(error)}", "Is the file complete?"
    )


def _refuse_maps(proto: onnx.ModelProto) -> None:
    """The hub's values are tensors, sequences and optionals."""
    zips = [n for n in proto.graph.node if n.op_type in ("ZipMap", "CastMap", "DictVectorizer")]
    if zips:
        blockers = [
            Blocker(n.op_type, n.name, "", "makes or reads maps, which the hub does not hold") for n in zips
        ]
        raise UnsupportedModel(
            "The model holds maps:", blockers, "Export it without ZipMap (zipmap=False in skl2onnx)."
        )


def _attach_external_data(model: ir.Model, folder: Path) -> None:
    base = folder.resolve()
    for value in _initializers(model):
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        place = (base / str(tensor.location)).resolve()
        if not place.is_relative_to(base):
            raise UnreadableFile(
                f"External data {tensor.location!r} of {value.name} lies outside the model's folder."
            )
        if not place.is_file():
            raise UnreadableFile(
                f"External data file {place} of {value.name} is missing.", "Keep it beside the model."
            )
        needed = (tensor.offset or 0) + tensor.nbytes
        if place.stat().st_size < needed:
            raise UnreadableFile(
                f"External data file {place} is too short for {value.name}.", "Is it complete?"
            )
        tensor.base_dir = str(base)


def _initializers(model: ir.Model) -> list[ir.Value]:
    return [v for graph in model.graphs() for v in graph.initializers.values()]


def _stamp(model: ir.Model, src: Any) -> None:
    for node in hub.all_nodes(model):
        node.metadata_props.setdefault(hub.SOURCE, described(node))
    facts = {"format": "onnx", "opset": str(model.graph.opset_imports.get("", ""))}
    if isinstance(src, (str, Path)):
        with open(src, "rb") as file:
            facts["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    hub.stamp(model, **facts)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


importer = Importer(load)
