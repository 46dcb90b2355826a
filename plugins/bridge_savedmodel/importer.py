"""TensorFlow models → hub: SavedModel folders, Keras files and models, traced functions, frozen graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import facts, hub
from bridge.errors import UnsupportedModel
from bridge.facts import STORED
from bridge.formats import Importer, Option
from bridge.passes.affine import FoldAffine
from bridge.passes.blocks import ExpandBlocks, FoldDilations
from bridge.passes.dense import MergeFlattenedMatMul
from bridge.passes.gelu import RaiseGelu
from bridge.passes.transposes import SinkTransposes
from bridge.passes.unused import RemoveUnused
from bridge.report import Blocker
from bridge_savedmodel import definitions
from bridge_savedmodel.control_flow_v1 import functionalize
from bridge_savedmodel.import_context import Frame, ImportContext
from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.keras_and_frozen import open_source
from bridge_savedmodel.live_session import keras_session
from bridge_savedmodel.reader import Port, Source, read_folder, split
from bridge_savedmodel.recurrent_loops import RaiseRecurrent
from bridge_savedmodel.values import Pair
from bridge_savedmodel.variables import Facts

MAX_READINGS = 8


def load(
    src: Any,
    signature: str | None = None,
    tags: str = "serve",
    state: str = "explicit",
    examples: str = "serialized",
    characters: int = 0,
) -> ir.Model:
    """Read a TensorFlow model into a hub model; inputs and outputs are named by the signature.

    Variables the model writes are inputs (default: their stored values) and outputs (`<name>/next`) of their
    own. With `state="initial"` they have their stored values at the beginning of every run instead. With
    `examples="features"` the features of serialized tf.Example messages are inputs in place of the messages.
    With `characters=n` operators on characters are imported for strings of at most n ASCII characters; a run
    with any other string fails.

    Raises UnreadableFile if the source is no TensorFlow model, if a part is missing, or if it has several
    signatures and none is named; UnsupportedModel with every operator that no rule imports.
    """
    source = (
        open_source(src, signature, tags) if not _folder(src) else read_folder(Path(src), signature, tags)
    )
    model = _import_model(source, state == "explicit", examples == "features", characters)
    facts.FORMAT.set(model, "savedmodel")
    facts.TENSORFLOW.set(model, definitions.VERSION)
    return model


def written_variables(path: Path, signature: str | None) -> dict[str, tuple[str, int | None]]:
    """Variables that a signature of a folder writes. By the name of its input in the hub model: the name in
    TensorFlow, and the index among the resources that the signature's function captures (None without
    one)."""
    source = read_folder(path, signature, "serve")
    graph = ir.Graph([], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET})
    context = ImportContext(source, hub.Builder(graph), Facts(), explicit=True)
    if not context.side_effects([p.tensor for p in source.outputs]):
        return {}
    inputs = _import_model(source, explicit=True).graph.inputs
    handles = _captured_handles(source)
    variables = {v.name or "": name for v in inputs if (name := facts.SAVEDMODEL_VARIABLE.get(v))}
    return {name: (own, handles.index(own) if own in handles else None) for name, own in variables.items()}


def _captured_handles(source: Source) -> list[str]:
    """Handles that the single call in a signature takes after its inputs."""
    calls = {split(p.tensor)[0] for p in source.outputs}
    nodes = [source.nodes[name] for name in calls if name in source.nodes]
    if len(nodes) != 1 or not nodes[0].op.endswith("PartitionedCall"):
        return []
    return [split(i)[0] for i in nodes[0].input if source.nodes[split(i)[0]].op.endswith("HandleOp")]


def _folder(src: Any) -> bool:
    return isinstance(src, (str, Path)) and Path(src).is_dir()


def _import_model(source: Source, explicit: bool, features: bool = False, characters: int = 0) -> ir.Model:
    """The hub model. Written variables are known only after a first reading, so such a graph is read
    again."""
    facts = Facts()
    for _ in range(MAX_READINGS):
        facts.grew = False
        model = _import_graph(source, facts, explicit, features, characters)
        if not facts.grew:
            break
    return model


def _import_graph(source: Source, facts: Facts, explicit: bool, features: bool, characters: int) -> ir.Model:
    graph = ir.Graph(
        [], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    op = hub.Builder(graph)
    context = ImportContext(source, op, facts, explicit, features, characters)
    outputs = [p.tensor for p in source.outputs]
    roots = [*outputs, *context.side_effects(outputs)]
    frame = Frame(context, functionalize(source.nodes, roots, source.functions), {})
    for port in source.inputs:
        frame.values[split(port.tensor)] = _add_input(graph, port)
    for name, array in source.bound.items():
        frame.values[name, 0] = op.const(array)
    results = frame.evaluate(op, outputs, source.control_outputs)
    if context.blockers:
        count = len(context.blockers)
        raise UnsupportedModel(
            f"{count} operator{'s' * (count > 1)} of {source.what} cannot be read:",
            context.blockers,
            "Add a rule: plugins/README.md#one-operator",
        )
    for serialized, values in context.parsed.items():
        index = graph.inputs.index(serialized)
        graph.inputs[index : index + 1] = values
    tensors, others = _told_apart(source, results)
    for port, value in tensors:
        _add_output(graph, op, port, value)
    context.state.close()
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(source.metadata)
    _unique_names(graph)
    hub.note(model, [f"The output {name} is left out: it is a list or a handle." for name in others])
    for (_, result), value in zip(tensors, graph.outputs, strict=False):
        if isinstance(result, Pair):
            dtype = "complex128" if value.dtype == ir.DataType.DOUBLE else "complex64"
            STORED.of(value.name or "").set(model, {"complex": dtype})
    FoldDilations()(model)
    ExpandBlocks()(model)
    MergeFlattenedMatMul()(model)
    RaiseGelu()(model)
    RemoveUnused()(model)
    for _ in range(2):
        SinkTransposes()(model)
    FoldAffine()(model)
    if RaiseRecurrent()(model).modified:
        RemoveUnused()(model)
    return model


def _told_apart(source: Source, results: list[Any]) -> tuple[list[tuple[Port, Any]], list[str]]:
    """Outputs that are tensors, with their values, and the names of the others. Raises UnsupportedModel where
    there are but others."""
    pairs = list(zip(source.outputs, results, strict=True))
    tensors = [(port, value) for port, value in pairs if isinstance(value, (ir.Value, Pair))]
    others = [port.name for port, value in pairs if not isinstance(value, (ir.Value, Pair))]
    if others and not tensors:
        raise UnsupportedModel(
            f"{source.what} has no output that is a tensor:",
            [Blocker("output", name, "", "is a list or a handle") for name in others],
        )
    return tensors, others


def _add_input(graph: ir.Graph, port: Port) -> ir.Value:
    if port.dtype is None:
        raise UnsupportedModel(
            "An input cannot be read:", [Blocker("input", port.name, "", "has a dtype ONNX has not")]
        )
    shape = None if port.dims is None else ir.Shape(list(port.dims))
    value = ir.Value(name=port.name, type=ir.TensorType(port.dtype), shape=shape)
    graph.inputs.append(value)
    return value


def _add_output(graph: ir.Graph, op: hub.Builder, port: Port, value: Any) -> None:
    if isinstance(value, Pair):
        paired = None if port.dims is None else (*port.dims, 2)
        value, port = _pairs(op, value), replace(port, dims=paired, dtype=None)
    if value.is_graph_output() or value.producer() is None or value.producer() not in op.nodes:
        value = op.Identity(value)
    value.name = port.name
    if port.dims is not None:
        inferred = (
            list(value.shape) if value.shape is not None and len(value.shape) == len(port.dims) else port.dims
        )
        dims = [
            d if d is not None else k if isinstance(k, int) else d
            for d, k in zip(port.dims, inferred, strict=True)
        ]
        value.shape = ir.Shape(dims)
    if value.type is None and port.dtype is not None:
        value.type = ir.TensorType(port.dtype)
    graph.outputs.append(value)


def _pairs(op: hub.Builder, value: Pair) -> ir.Value:
    """Complex numbers as floats [..., 2]."""
    return op.Concat(*(op.Unsqueeze(part, [-1]) for part in (value.real, value.imag)), axis=-1)


def _unique_names(graph: ir.Graph) -> None:
    """Rename outputs that share a name with an input."""
    names = {v.name for v in graph.inputs}
    for value in graph.outputs:
        if value.name in names:
            value.name = f"{value.name}_output"
        names.add(value.name)


importer = Importer(
    load=load,
    table=ops,
    live=keras_session,
    options=(
        Option(
            "signature",
            "the signature to read; without it serving_default, or the only one",
            None,
            str,
        ),
        Option(
            "tags",
            "the tags of the graph to read where a folder has several, with commas between them",
            "serve",
            str,
        ),
        Option(
            "state",
            "what variables that the model writes are: inputs, which begin at what is stored, and outputs "
            "called NAME/next; or initial: they begin at what is stored in every run, and leave the "
            "interface",
            "explicit",
            str,
            ("explicit", "initial"),
        ),
        Option(
            "examples",
            "what becomes of serialized tf.Example messages: they are refused (serialized), or their "
            "features are inputs in their place (features)",
            "serialized",
            str,
            ("serialized", "features"),
        ),
        Option(
            "characters",
            "the most characters, all of ASCII, of strings that are taken apart: hashed, measured, cut, "
            "split into characters; a run that meets another string fails, and gives no number",
            0,
            int,
            tuple(range(1025)),
        ),
    ),
)
