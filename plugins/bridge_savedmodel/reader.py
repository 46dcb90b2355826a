"""What a SavedModel, a frozen graph or a traced function holds: nodes, functions, a signature, variables, tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_savedmodel.tensorflow import FILES, TYPES, tensorflow

DTYPES = {name: dtype for dtype, name in TYPES.items()}
DTYPES["DT_COMPLEX64"] = ir.DataType.COMPLEX64
DTYPES["DT_COMPLEX128"] = ir.DataType.COMPLEX128


@dataclass(frozen=True)
class Port:
    """An input or output: its name, the tensor it stands for, dtype, and dimensions (None where unknown)."""

    name: str
    tensor: str
    dtype: ir.DataType | None = None
    dims: tuple[Any, ...] | None = None


@dataclass
class Source:
    """A graph to import. `variables` and `tables` give contents by the name of the node that makes the handle."""

    what: str
    nodes: dict[str, Any]
    functions: dict[str, Any]
    inputs: list[Port]
    outputs: list[Port]
    variables: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    tables: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    bound: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def dtype_of(number: int) -> ir.DataType | None:
    """The hub's dtype for a TensorFlow DataType; None for resources, variants and what ONNX has not."""
    from tensorflow.core.framework import types_pb2

    name = types_pb2.DataType.Name(number).removesuffix("_REF")
    return DTYPES.get(name)


def dims_of(shape: Any) -> tuple[Any, ...] | None:
    """Dimensions of a TensorShapeProto."""
    return None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)


def split(reference: str) -> tuple[str, int]:
    """Node and output of a tensor of a graph."""
    name, _, index = reference.partition(":")
    return name, int(index or 0)


def read_folder(path: Path, signature: str | None, tags: str) -> Source:
    """A signature of a SavedModel folder. Raises UnreadableFile."""
    from bridge_savedmodel.runtime import chosen

    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    file = next((path / n for n in FILES if (path / n).is_file()), None)
    if file is None:
        raise UnreadableFile(
            f"{path} is not a SavedModel: there is no file saved_model.pb in it.",
            "Name the folder that holds saved_model.pb.",
        )
    raw = file.read_bytes()
    try:
        saved = saved_model_pb2.SavedModel.FromString(raw) if file.suffix == ".pb" else _parsed(raw)
    except Exception as error:
        raise UnreadableFile(f"{file} is not a valid SavedModel: {error}", "Is the file complete?") from error
    meta = _meta_graph(path, saved, tags)
    source = _graph(str(path), meta.graph_def)
    found = meta.signature_def[chosen(list(meta.signature_def), signature)]
    places = {name: i for i, name in enumerate(source.nodes)}
    source.inputs = _ports(found.inputs, places)
    source.outputs = _ports(found.outputs, places)
    source.variables = dict(_variables(path, meta, source))
    source.tables = dict(_tables(path, meta, source))
    source.metadata = {"bridge.sha256": hashlib.sha256(raw).hexdigest()}
    _apply_facts(source, meta)
    return source


def _parsed(raw: bytes) -> Any:
    """The text form."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    return text_format.Parse(raw.decode(), saved_model_pb2.SavedModel(), allow_unknown_field=True)


def _meta_graph(path: Path, saved: Any, tags: str) -> Any:
    sets = [set(m.meta_info_def.tags) for m in saved.meta_graphs]
    wanted = set(tags.split(","))
    exact = [m for m, s in zip(saved.meta_graphs, sets, strict=True) if s == wanted]
    near = [m for m, s in zip(saved.meta_graphs, sets, strict=True) if wanted <= s]
    if not exact and not near:
        listed = "; ".join(",".join(sorted(s)) for s in sets) or "none"
        raise UnreadableFile(
            f"{path} has no graph tagged {tags}; its graphs: {listed}.", "Name one with tags=…."
        )
    return (exact or near)[0]


def _graph(what: str, graph: Any) -> Source:
    return Source(
        what, {n.name: n for n in graph.node}, {f.signature.name: f for f in graph.library.function}, [], []
    )


def read_graph(path: Path) -> Source:
    """A frozen GraphDef: its placeholders are inputs, what nobody reads its outputs. Raises UnreadableFile."""
    tensorflow()
    from tensorflow.core.framework import graph_pb2

    raw = path.read_bytes()
    try:
        graph = graph_pb2.GraphDef.FromString(raw)
    except Exception as error:
        raise UnreadableFile(f"{path} is not a valid GraphDef: {error}") from error
    if not graph.node:
        raise UnreadableFile(f"{path} is not a valid GraphDef: it holds no node.")
    source = _graph(str(path), graph)
    read = {split(i.lstrip("^"))[0] for n in graph.node for i in n.input}
    for node in graph.node:
        if node.op == "Placeholder":
            dims = dims_of(node.attr["shape"].shape) if "shape" in node.attr else None
            source.inputs.append(Port(node.name, node.name, dtype_of(node.attr["dtype"].type), dims))
        elif node.name not in read and node.op not in ("NoOp", "Const", "Assert"):
            source.outputs.append(Port(node.name, node.name))
    source.metadata = {"bridge.sha256": hashlib.sha256(raw).hexdigest()}
    return source


def read_function(function: Any, what: str) -> Source:
    """A ConcreteFunction: its captured variables as they are now."""
    tf = tensorflow()
    graph = function.graph.as_graph_def(add_shapes=False)
    source = _graph(what, graph)
    captured = {placeholder.name: outer for outer, placeholder in function.graph.captures}
    variables = {id(v.handle): v for v in function.graph.variables}
    for name, outer in captured.items():
        node = split(name)[0]
        owner = variables.get(id(outer))
        if owner is not None:
            source.variables[node] = owner.numpy
        elif outer.dtype not in (tf.resource, tf.variant):
            source.bound[node] = outer.numpy()
    arguments, keywords = function.structured_input_signature
    specs = [s for s in tf.nest.flatten((arguments, keywords), expand_composites=True)]
    own = [t for t in function.inputs if t.name not in captured]
    for spec, tensor in zip(specs, own, strict=False):
        name = getattr(spec, "name", None) or split(tensor.name)[0]
        source.inputs.append(_port(name, tensor))
    results = function.structured_outputs
    named = _output_names(results)
    for index, tensor in enumerate(function.outputs):
        source.outputs.append(_port(named[index] if index < len(named) else f"output_{index}", tensor))
    return source


def _output_names(results: Any) -> list[str]:
    if isinstance(results, dict):
        return [str(k) for k in sorted(results)]
    count = len(tensorflow().nest.flatten(results))
    return [f"output_{i}" for i in range(count)]


def _port(name: str, tensor: Any) -> Port:
    dims = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return Port(name, tensor.name, dtype_of(tensor.dtype.as_datatype_enum), dims)


def _ports(fields: Any, places: dict[str, int]) -> list[Port]:
    """Inputs and outputs in the order of their nodes, then of a node's outputs."""
    made = []
    for name, info in fields.items():
        if info.WhichOneof("encoding") != "name":
            raise UnreadableFile(
                f"{name} of the signature is a sparse or composite tensor.", "Export dense tensors."
            )
        made.append(Port(name, info.name, dtype_of(info.dtype), dims_of(info.tensor_shape)))
    return sorted(made, key=lambda p: (places.get(split(p.tensor)[0], 0), split(p.tensor)[1]))


def _apply_facts(source: Source, meta: Any) -> None:
    """Order and dimension names bridge wrote down when it wrote the file."""
    if "bridge" not in meta.collection_def:
        return
    facts = json.loads(meta.collection_def["bridge"].bytes_list.value[0])
    for role in ("inputs", "outputs"):
        ports = {p.name: p for p in getattr(source, role)}
        if sorted(ports) != sorted(f["name"] for f in facts[role]):
            return
        made = [
            Port(f["name"], ports[f["name"]].tensor, ports[f["name"]].dtype, _named(f["shape"]))
            for f in facts[role]
        ]
        setattr(source, role, made)
    source.metadata.update({str(k): str(v) for k, v in facts.get("metadata", {}).items()} | source.metadata)


def _named(dims: Any) -> tuple[Any, ...] | None:
    return None if dims is None else tuple(d if isinstance(d, int) or d != "None" else None for d in dims)


def _bodies(source: Source) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The nodes of the graph, and of every function."""
    yield source.nodes, None
    for function in source.functions.values():
        yield {n.name: n for n in function.node_def}, {a.name: a for a in function.signature.input_arg}


def _variables(path: Path, meta: Any, source: Source) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """What the file's own restore operators would put into each variable."""
    tf = tensorflow()
    handles = [n for n in source.nodes.values() if n.op in ("VarHandleOp", "VariableV2", "Variable")]
    if not handles:
        return
    keys = dict(_restored(source))
    prefix = path / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        raise UnreadableFile(
            f"{path} holds variables but {prefix}.index is missing.",
            "Copy the whole folder, with variables/.",
        )
    try:
        checkpoint = tf.train.load_checkpoint(str(prefix))
        shapes = checkpoint.get_variable_to_shape_map()
    except Exception as error:
        raise UnreadableFile(
            f"The variables of {path} cannot be read: {error}", "Is the folder complete?"
        ) from error
    for node in handles:
        key = keys.get(node.name, node.name)
        if key in shapes:
            yield node.name, _reader(path, checkpoint, key)


def _reader(path: Path, checkpoint: Any, key: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        try:
            return checkpoint.get_tensor(key)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise UnreadableFile(
                f"The variable {key} of {path} cannot be read: {first}", "Is the folder complete?"
            ) from error

    return read


def _restored(source: Source) -> Iterator[tuple[str, str]]:
    """Pairs of a variable's node and its key in the checkpoint."""
    for nodes, arguments in _bodies(source):
        restores = [n for n in nodes.values() if n.op == "RestoreV2"]
        if not restores:
            continue
        for node in nodes.values():
            if node.op not in ("AssignVariableOp", "Assign"):
                continue
            key = _key(nodes, node.input[1])
            if key is None:
                continue
            target = split(node.input[0])[0]
            if arguments is None or target in nodes:
                yield target, key
            else:
                yield from _callers(source, arguments, target, nodes, key)


def _callers(
    source: Source, arguments: dict[str, Any], target: str, nodes: dict[str, Any], key: str
) -> Iterator[tuple[str, str]]:
    """Handles that the graph hands to the argument `target` of the function with these nodes."""
    place = list(arguments).index(target)
    for name, function in source.functions.items():
        if list(arguments) != [a.name for a in function.signature.input_arg] or len(function.node_def) != len(
            nodes
        ):
            continue
        for call in source.nodes.values():
            if call.op.endswith("PartitionedCall") and call.attr["f"].func.name == name:
                yield split(call.input[place])[0], key


def _key(nodes: dict[str, Any], reference: str) -> str | None:
    """The checkpoint key a value is restored from."""
    parts = reference.split(":")
    node = nodes.get(parts[0])
    while node is not None and node.op in ("Identity", "Reshape", "Cast"):
        parts = node.input[0].split(":")
        node = nodes.get(parts[0])
    if node is None or node.op != "RestoreV2":
        return None
    names = nodes.get(node.input[1].split(":")[0])
    if names is None or names.op != "Const":
        return None
    listed = tensorflow().make_ndarray(names.attr["value"].tensor).reshape(-1)
    index = int(parts[-1]) if len(parts) > 1 else 0
    return listed[index].decode() if index < len(listed) else None


def _tables(path: Path, meta: Any, source: Source) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Keys and values of hash tables that constants or asset files fill."""
    for nodes, arguments in _bodies(source):
        for node in nodes.values():
            if node.op not in ("LookupTableImportV2", "InitializeTableV2", "InitializeTableFromTextFileV2"):
                continue
            filled = _filled(path, nodes, node, source)
            target = node.input[0].split(":")[0]
            for handle in (
                [target]
                if arguments is None or target in nodes
                else _handed(source, nodes, arguments, target)
            ):
                if filled is not None:
                    yield handle, filled


def _handed(source: Source, nodes: dict[str, Any], arguments: dict[str, Any], target: str) -> list[str]:
    return [name for name, _ in _callers(source, arguments, target, nodes, "")]


def _filled(
    path: Path, nodes: dict[str, Any], node: Any, source: Source
) -> tuple[np.ndarray, np.ndarray] | None:
    tf = tensorflow()
    consts = []
    for reference in node.input[1:]:
        if reference.startswith("^"):
            continue
        found = nodes.get(reference.split(":")[0]) or _argument(source, nodes, reference.split(":")[0])
        if found is None or found.op != "Const":
            return None
        consts.append(tf.make_ndarray(found.attr["value"].tensor).reshape(-1))
    if node.op != "InitializeTableFromTextFileV2":
        return consts[0], consts[1]
    name = Path(consts[0][0].decode()).name
    file = path / "assets" / name
    if not file.is_file():
        raise UnreadableFile(
            f"{path} reads a table from assets/{name}, which is missing.", "Copy the whole folder."
        )
    return _lines(file.read_bytes(), node)


def _argument(source: Source, nodes: dict[str, Any], name: str) -> Any:
    """The node of the graph that is handed to a function's argument called `name`."""
    for function in source.functions.values():
        arguments = [a.name for a in function.signature.input_arg]
        if name in arguments and {n.name for n in function.node_def} == set(nodes):
            for call in source.nodes.values():
                if (
                    call.op.endswith("PartitionedCall")
                    and call.attr["f"].func.name == function.signature.name
                ):
                    return source.nodes.get(split(call.input[arguments.index(name)])[0])
    return None


WHOLE_LINE, LINE_NUMBER = -2, -1


def _lines(raw: bytes, node: Any) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a text file: a number of a column, -1 for the number of the line, -2 for the whole line."""
    lines = raw.split(b"\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    delimiter = node.attr["delimiter"].s or b"\t"
    size = node.attr["vocab_size"].i
    lines = lines[:size] if size > 0 else lines

    def column(index: int) -> np.ndarray:
        if index == LINE_NUMBER:
            return np.arange(len(lines), dtype=np.int64)
        if index == WHOLE_LINE:
            return np.array(lines, object)
        return np.array([line.split(delimiter)[index] for line in lines], object)

    return column(node.attr["key_index"].i), column(node.attr["value_index"].i)
