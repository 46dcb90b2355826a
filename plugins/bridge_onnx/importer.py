"""ONNX file or live object → hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf import text_format
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from bridge import facts, hub
from bridge.digests import sha256_of
from bridge.errors import UnreadableFile, UnsupportedModel, first_line
from bridge.formats import Importer, Option
from bridge.passes.constants import LiftConstants
from bridge.passes.expand import require_expandable
from bridge.passes.names import NameValues
from bridge.passes.opset import lift
from bridge.passes.rewrite import Rewrite
from bridge.passes.shapes import InferShapes
from bridge.weightfile import FileTensor, WeightFile
from bridge_onnx.declared import (
    computed_shapes,
    drop_defaults,
    held_shapes,
    require_bytes,
    require_data,
    require_text,
    varying_lengths,
)
from bridge_onnx.import_ops import ops
from bridge_onnx.import_ops.unsupported import why
from bridge_onnx.loops import ScalarLoops
from bridge_onnx.maps import without_maps
from bridge_onnx.schemas import require_schemas
from bridge_onnx.windows import CropToWindows
from bridge_onnx.wire import LARGE, without_weights

LIMIT = 2**31
DIGESTED = 2**26
"""Bytes of the largest file that is read from end to end for its digest."""


def load(src: Any, defaults: str = "constants") -> ir.Model:
    """Read `src` (path, onnx.ModelProto or onnx_ir.Model) into a hub model; weights stay mapped. Initializers
    listed among the inputs are `defaults`: constants, or inputs.

    Raises UnreadableFile for bytes that are no ONNX model or whose external data is missing or outside the
    model's folder, UnsupportedModel for operators no opset defines.
    """
    model, digest = _parse(src)
    title = str(src) if isinstance(src, (str, Path)) else "The model"
    require_text(model, title)
    held_shapes(model)
    _stamp(model, digest)
    require_schemas(model, title)
    require_expandable(model)
    if model.ir_version is not None and model.ir_version < 4:
        RemoveInitializersFromInputsPass()(model)
    if defaults == "constants":
        drop_defaults(model)
    varying_lengths(model)
    LiftConstants()(model)
    if lift.reads_types(model):
        InferShapes(propagate=False)(model)
    if model.graph.opset_imports.get("", 1) < 22:
        _forget_shapes_behind_pools(model)
    lift.lift(model)
    Rewrite(ops)(model)
    CropToWindows()(model)
    ScalarLoops()(model)
    for node in hub.all_nodes(model):
        if node.domain not in hub.STANDARD_OPSETS and node.op_identifier() not in model.functions:
            facts.UNREAD.set(node, why(ops, node))
    NameValues()(model)
    computed_shapes(model)
    blockers = lift.unknown_operators(model)
    if blockers:
        raise UnsupportedModel(f"{len(blockers)} operators of the model are unknown:", blockers)
    return model


def _forget_shapes_behind_pools(model: ir.Model) -> None:
    """Drop every shape where a pool has ceil_mode and pads: before opset 22, inference counts windows that
    start in the padding, which pools leave out."""
    nodes = list(hub.all_nodes(model))
    if any(hub.attr(n, "ceil_mode") and any(hub.attr(n, "pads") or []) for n in nodes):
        for node in nodes:
            for value in node.outputs:
                value.shape = None


def _parse(src: Any) -> tuple[ir.Model, str]:
    """The model at its own opset, and the digest of the file it was read from."""
    if isinstance(src, ir.Model):
        return src.clone(), ""
    if isinstance(src, onnx.ModelProto):
        proto, notes = without_maps(src)
        model = ir.from_proto(proto)
        hub.note(model, notes)
        _attach_external_data(model, None)
        return model, ""
    path = Path(src)
    proto, digest = read_proto(path)
    proto, notes = without_maps(proto)
    try:
        model = ir.from_proto(proto)
    except Exception as error:
        raise _unreadable(path, error) from error
    hub.note(model, notes)
    _attach_external_data(model, path)
    return model, digest


def read_proto(path: Path) -> tuple[onnx.ModelProto, str]:
    """The protobuf of an ONNX file, without external data and the bytes of large weights, and its SHA-256; ""
    for a file over 64 MB. Raises UnreadableFile."""
    size = path.stat().st_size
    if not is_text(path) and size >= LIMIT:
        raise UnreadableFile(
            f"{path} is over 2 GB, which protobuf cannot hold.", "Store its weights as external data."
        )
    try:
        proto = _from_text(path.read_text("utf-8")) if is_text(path) else _from_bytes(path, size)
        digest = sha256_of(path) if size <= DIGESTED else ""
    except Exception as error:
        raise _unreadable(path, error) from error
    if proto.ir_version == 0 or not (proto.graph.node or proto.graph.output):
        raise UnreadableFile(f"{path} is not an ONNX model: it holds no graph.", "Is the file complete?")
    return proto, digest


def _from_bytes(path: Path, size: int) -> onnx.ModelProto:
    content = without_weights(path) if size >= LARGE else None
    return onnx.ModelProto.FromString(path.read_bytes() if content is None else content)


def is_text(path: Path) -> bool:
    return path.suffix == ".onnxtxt"


def _from_text(text: str) -> onnx.ModelProto:
    """A model in the text of onnx.parser, which begins with <, or in protobuf's."""
    if text.lstrip().startswith("<"):
        return onnx.parser.parse_model(text)
    return text_format.Parse(text, onnx.ModelProto())


def _unreadable(path: Path, error: Exception) -> UnreadableFile:
    while isinstance(error, ir.serde.SerdeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return UnreadableFile(
        f"{path} is not a readable ONNX model: {first_line(error)}", "Is the file complete?"
    )


def _attach_external_data(model: ir.Model, path: Path | None) -> None:
    """Find the bytes of external tensors beside `path`, or in it; one that leads out of its folder, or has
    none, is refused."""
    files: dict[str, WeightFile] = {}

    def attached(name: str, tensor: Any) -> Any:
        if not isinstance(tensor, ir.ExternalTensor):
            require_data(name, tensor)
            return tensor
        if path is None:
            raise UnreadableFile(
                f"{name} has external data, but a live ModelProto has no folder.",
                "Pass the path, or onnx.load it.",
            )
        location = str(tensor.location)
        if location not in files:
            files[location] = WeightFile(_beside(path, location, name) if location else path)
        if not location:
            require_bytes(name, tensor)
        return _on_file(name, tensor, files[location])

    for graph in hub.graphs(model):
        for value in graph.initializers.values():
            value.const_value = attached(value.name or "", value.const_value)
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for node in (node for body in bodies for node in hub.nodes_of(body)):
        for key, attribute in node.attributes.items():
            if attribute.is_ref():
                continue
            if attribute.type == ir.AttributeType.TENSOR:
                held = attached(node.name or node.op_type, attribute.value)
                node.attributes[key] = ir.AttrTensor(key, held, doc_string=attribute.doc_string)
            elif attribute.type == ir.AttributeType.TENSORS:
                several = [attached(node.name or node.op_type, tensor) for tensor in attribute.value]
                node.attributes[key] = ir.AttrTensors(key, several, doc_string=attribute.doc_string)


def _beside(path: Path, location: str, name: str) -> Path:
    """The file at `location` in the folder of a model, which `name` has its data in."""
    base = path.parent.resolve()
    found = (base / location).resolve()
    if not found.is_relative_to(base):
        raise UnreadableFile(f"External data {location!r} of {name} lies outside the model's folder.")
    if not found.is_file():
        raise UnreadableFile(f"External data file {found} of {name} is missing.", "Keep it beside the model.")
    return found


def _on_file(name: str, tensor: ir.ExternalTensor, file: WeightFile) -> FileTensor:
    offset = tensor.offset or 0
    if file.size < offset + tensor.nbytes:
        raise UnreadableFile(f"External data file {file.path} is too short for {name}.", "Is it complete?")
    described = {"doc_string": tensor.doc_string, "metadata_props": tensor.metadata_props}
    return FileTensor(file, offset, tensor.dtype, tensor.shape.numpy(), name=tensor.name, **described)


def _stamp(model: ir.Model, digest: str) -> None:
    hub.stamp_origins(model)
    facts.FORMAT.set(model, "onnx")
    facts.OPSET.set(model, str(model.graph.opset_imports.get("", "")))
    facts.SHA256.drop(model)
    if digest:
        facts.SHA256.set(model, digest)


importer = Importer(
    load,
    (
        Option(
            "defaults",
            "what initializers are that are listed among the inputs",
            "constants",
            str,
            ("constants", "inputs"),
        ),
    ),
)
