"""TFLite file → hub, driven by import_ops."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import BridgeError, InvalidOption, SeveralModels, UnreadableFile, UnsupportedModel
from bridge.formats import Importer, Option, flag
from bridge.passes.blocks import ExpandBlocks, FoldDilations
from bridge.passes.transposes import SinkTransposes
from bridge.report import Blocker
from bridge_tflite import metadata
from bridge_tflite.graph import INNER, Node, Scope
from bridge_tflite.import_ops import ops
from bridge_tflite.import_ops.state import State
from bridge_tflite.reader import DTYPES, File, read


def load(src: Any, signature: str = "", state: str = "explicit", allow_custom: bool = False) -> ir.Model:
    """Read a .tflite file into a hub model; inputs and outputs are named by its signature, else by its
    tensors.

    Variables and the states of recurrent operators become inputs (their initial values are the defaults) and
    outputs (`<name>/next`); with `state="initial"` they start at their initial values in every run. Unknown
    custom operators are kept in the domain `tflite.custom` with `allow_custom`.

    Raises UnreadableFile for bytes that are no TFLite model, UnsupportedModel listing every operator without
    a rule, InvalidOption for a signature the file does not have, or for none where it has several.
    """
    path = Path(src)
    file = read(path)
    try:
        model = _model(file, signature, state, allow_custom)
    except BridgeError:
        raise
    except MemoryError as error:
        raise UnreadableFile(f"{path} asks for more memory than there is: {error}") from error
    except Exception as error:
        raise UnreadableFile(
            f"{path} is not a valid TFLite model: {type(error).__name__}: {error}", "Is the file complete?"
        ) from error
    facts.FORMAT.set(model, "tflite")
    facts.SHA256.set(model, hashlib.sha256(file.raw).hexdigest())
    return model


def _model(file: File, key: str, state_mode: str, allow_custom: bool) -> ir.Model:
    if not file.subgraphs:
        raise UnreadableFile(f"{file.path} holds no subgraph.")
    index, inputs, outputs = interface(file, key)
    blockers = list(_blockers(file, index, set(), allow_custom))
    tensors = file.subgraphs[index].tensors
    blockers += [
        Blocker("input or output", name, "", f"has the type {tensors[i].type}, which the hub does not have")
        for name, i in (*inputs, *outputs)
        if tensors[i].type not in DTYPES or "COMPLEX" in tensors[i].type
    ]
    if blockers:
        count = len(blockers)
        raise UnsupportedModel(
            f"{count} operator{'s' * (count > 1)} of {file.path} cannot be read:",
            blockers,
            "Add a rule: plugins/README.md#one-operator",
        )
    graph = ir.Graph(
        [], [], nodes=[], name=file.subgraphs[index].name or "main", opset_imports={"": hub.HUB_OPSET}
    )
    state = State(file, graph, state_mode == "explicit", {name for name, _ in (*inputs, *outputs)})
    scope = Scope(file, index, graph, state)
    op = hub.Builder(graph)
    for name, tensor_index in inputs:
        value = scope.input(tensor_index, name)
        graph.inputs.append(value)
        scope.values[tensor_index] = value
    scope.run(op)
    for name, tensor_index in outputs:
        value = scope.value(op, tensor_index)
        if value.is_graph_output() or value.producer() is None:
            value = op.Identity(value)
        value.name = name
        value.shape = value.shape or ir.Shape([None] * len(scope.subgraph.tensors[tensor_index].dims))
        graph.outputs.append(value)
    state.close(op)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.doc_string = file.description or None
    metadata.read({name: file.bytes(index) for name, index in file.metadata.items()}, model, Path(file.path))
    _unique_names(graph)
    tensors = [scope.subgraph.tensors[i] for _, i in (*inputs, *outputs)]
    values = [*graph.inputs[: len(inputs)], *graph.outputs[: len(outputs)]]
    quantized = {
        str(v.name): (v.dtype.name, t.scale[0], t.zero_point[0])  # type: ignore[union-attr]
        for t, v in zip(tensors, values, strict=True)
        if t.quantized and t.scale.size == 1
    }
    metadata.note_quantization(model, quantized)
    FoldDilations()(model)
    ExpandBlocks()(model)
    for _ in range(2):
        SinkTransposes()(model)
    return model


def interface(file: File, key: str) -> tuple[int, list[tuple[str, int]], list[tuple[str, int]]]:
    """Subgraph index, inputs and outputs as (name, tensor index).

    Names come from the requested signature, else from the only one, else from the tensors.
    """
    keys = [s.key for s in file.signatures]
    if key and key not in keys:
        raise InvalidOption(f"{file.path} has no signature {key!r}.", f"It has: {', '.join(keys) or 'none'}.")
    if len(set(keys)) > 1 and not key:
        raise SeveralModels(f"{file.path} has {len(keys)} signatures", "signature", keys)
    if keys:
        signature = file.signatures[keys.index(key) if key else 0]
        return signature.subgraph, _named(signature.inputs, "input"), _named(signature.outputs, "output")
    graph = file.subgraphs[0]
    inputs, outputs = ([(graph.tensors[i].name, i) for i in part] for part in (graph.inputs, graph.outputs))
    return 0, _named(inputs, "input"), _named(outputs, "output")


def _named(tensors: list[tuple[str, int]], stem: str) -> list[tuple[str, int]]:
    """Tensors under names that none lacks and no two share."""
    names: set[str] = set()
    named = []
    for position, (given, index) in enumerate(tensors):
        name = given or f"{stem}_{position}"
        while name in names:
            name += f"_{position}"
        names.add(name)
        named.append((name, index))
    return named


def _unique_names(graph: ir.Graph) -> None:
    """Rename an output that shares its name with an input."""
    used = {v.name for v in graph.inputs}
    for value in graph.outputs:
        if value.name in used:
            value.name = f"{value.name}_output"
        used.add(value.name)


def _blockers(
    file: File, index: int, visited: set[int], allow_custom: bool, inner: bool = False
) -> Iterator[Blocker]:
    if index in visited:
        return
    visited.add(index)
    if not 0 <= index < len(file.subgraphs):
        raise UnreadableFile(f"{file.path} names a subgraph {index}, which is not there.")
    subgraph = file.subgraphs[index]
    for position, operator in enumerate(subgraph.operators):
        node = Node(file, subgraph, operator, None)
        reason = node.refusal(allow_custom, inner)
        if reason:
            name = node.title() or f"#{position}"
            yield Blocker(operator.name, name, "", reason)
        for called in node.subgraphs():
            yield from _blockers(file, called, visited, allow_custom, inner or operator.name in INNER)


importer = Importer(
    load,
    (
        Option("signature", "the signature to read of a file that has several", ""),
        Option(
            "state",
            "what variables are: inputs and outputs of their own, or at their initial values in every run",
            "explicit",
            str,
            ("explicit", "initial"),
        ),
        Option("allow_custom", "whether custom operators nobody has a rule for are kept", False, flag),
    ),
    ops,
)
