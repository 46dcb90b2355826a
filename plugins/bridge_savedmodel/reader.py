"""The content of a SavedModel, a frozen graph or a traced function: nodes, functions, a signature, variables,
tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import SeveralModels, UnreadableFile
from bridge.facts import SHA256
from bridge_savedmodel.control_flow_v1 import ENTERS, SWITCHES, outside_loops
from bridge_savedmodel.definitions import message
from bridge_savedmodel.resources import tables, variables
from bridge_savedmodel.tensorflow import FILES, tensorflow
from bridge_savedmodel.tensors import dims_of, dtype_of

NO_RESULTS = frozenset(
    [
        "NoOp",
        "Const",
        "Assert",
        "Print",
        "PrintV2",
        "TensorArrayCloseV3",
        "MakeIterator",
        "QueueEnqueue",
        "QueueEnqueueV2",
        "QueueEnqueueMany",
        "QueueEnqueueManyV2",
        "QueueClose",
        "QueueCloseV2",
    ]
)
ELEMENTS = (
    "IteratorGetNext",
    "IteratorGetNextSync",
    *(f"QueueDequeue{kind}{version}" for kind in ("", "Many", "UpTo") for version in ("", "V2")),
)
PIPELINES = (*ELEMENTS, "IteratorV2", "Iterator", "OneShotIterator", "FIFOQueue", "FIFOQueueV2")


@dataclass(frozen=True)
class Port:
    """An input or output: its name, its tensor, dtype, and dimensions (None where unknown)."""

    name: str
    tensor: str
    dtype: ir.DataType | None = None
    dims: tuple[Any, ...] | None = None


@dataclass
class Source:
    """A graph to import. `variables` and `tables` give contents by the node that returns the handle; `bound`
    gives captured tensors; `names` the names of variables outside the function; `control_outputs` the nodes
    that always run."""

    what: str
    nodes: dict[str, Any]
    functions: dict[str, Any]
    inputs: list[Port]
    outputs: list[Port]
    variables: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    tables: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    bound: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    control_outputs: list[str] = field(default_factory=list)


def split(reference: str) -> tuple[str, int]:
    """Node and output index of a tensor of a graph."""
    name, _, index = reference.partition(":")
    return name, int(index or 0)


def file_of(path: Path) -> Path:
    """The file of a folder that contains the graph. Raises UnreadableFile."""
    file = next((path / n for n in FILES if (path / n).is_file()), None)
    if file is None:
        raise UnreadableFile(
            f"{path} is not a SavedModel: there is no file saved_model.pb in it.",
            "Name the folder that holds saved_model.pb.",
        )
    return file


def read_message(path: Path) -> tuple[Any, str]:
    """The protobuf message of a folder and the digest of its file. Raises UnreadableFile."""
    file = file_of(path)
    raw = file.read_bytes()
    try:
        model = message("SavedModel").FromString(raw) if file.suffix == ".pb" else _parse_text(raw)
    except Exception as error:
        raise UnreadableFile(f"{file} is not a valid SavedModel: {error}", "Is the file complete?") from error
    return model, hashlib.sha256(raw).hexdigest()


def read_folder(path: Path, signature: str | None, tags: str) -> Source:
    """A signature of a SavedModel folder. Raises UnreadableFile."""
    model, digest = read_message(path)
    meta = _meta_graph(path, model, tags)
    source = _source_of_graph(str(path), meta.graph_def)
    definition = meta.signature_def[signature_key(list(meta.signature_def), signature)]
    order = {name: i for i, name in enumerate(source.nodes)}
    source.inputs = _ports(definition.inputs, order)
    source.outputs = _ports(definition.outputs, order)
    assets = {split(a.tensor_info.name)[0]: a.filename for a in meta.asset_file_def}
    try:
        source.variables = variables(path, source.nodes, source.functions)
        source.tables = tables(path, source.nodes, source.functions, assets)
    except (ValueError, LookupError) as error:
        raise UnreadableFile(
            f"The variables and tables of {path} cannot be read: {error}.", "Is the file complete?"
        ) from error
    source.metadata = {SHA256.key: digest}
    _apply_facts(source, meta)
    return source


def signature_key(names: list[str], requested: str | None) -> str:
    """The requested signature, else serving_default, else the only one. Raises UnreadableFile."""
    public = [n for n in names if not n.startswith("__")]
    if requested is None and "serving_default" in public:
        return "serving_default"
    if requested is not None and requested in public:
        return requested
    if requested is None and len(public) == 1:
        return public[0]
    if requested is None and public:
        raise SeveralModels("The SavedModel has several signatures", "signature", sorted(public))
    listed = ", ".join(sorted(public)) or "none"
    problem = f"no signature {requested!r}" if requested else "no signature"
    raise UnreadableFile(f"The SavedModel has {problem}; its signatures: {listed}.")


def _parse_text(raw: bytes) -> Any:
    """The text form of the message."""
    from google.protobuf import text_format

    return text_format.Parse(raw.decode(), message("SavedModel")(), allow_unknown_field=True)


def _meta_graph(path: Path, saved: Any, tags: str) -> Any:
    sets = [set(m.meta_info_def.tags) for m in saved.meta_graphs]
    required = set(tags.split(","))
    exact = [m for m, s in zip(saved.meta_graphs, sets, strict=True) if s == required]
    covering = [m for m, s in zip(saved.meta_graphs, sets, strict=True) if required <= s]
    if not exact and not covering:
        listed = "; ".join(",".join(sorted(s)) for s in sets) or "none"
        raise UnreadableFile(
            f"{path} has no graph tagged {tags}; its graphs: {listed}.", "Name one with tags=…."
        )
    return (exact or covering)[0]


def _source_of_graph(what: str, graph: Any) -> Source:
    return Source(
        what, {n.name: n for n in graph.node}, {f.signature.name: f for f in graph.library.function}, [], []
    )


def read_graph(path: Path) -> Source:
    """A frozen GraphDef. Inputs are its placeholders and the elements that iterators and queues return;
    outputs are the results that nothing reads. Raises UnreadableFile."""
    raw = path.read_bytes()
    try:
        graph = message("GraphDef").FromString(raw)
    except Exception as error:
        raise UnreadableFile(f"{path} is not a valid GraphDef: {error}") from error
    if not graph.node:
        raise UnreadableFile(f"{path} is not a valid GraphDef: it holds no node.")
    source = _source_of_graph(str(path), graph)
    read = {split(i.lstrip("^"))[0] for n in graph.node for i in n.input}
    once = outside_loops(source.nodes)
    for node in graph.node:
        if node.op in ("Placeholder", "PlaceholderV2"):
            dims = dims_of(node.attr["shape"].shape) if "shape" in node.attr else None
            source.inputs.append(Port(node.name, node.name, dtype_of(node.attr["dtype"].type), dims))
        elif node.op in ELEMENTS:
            source.inputs += _element_ports(source.nodes, node)
        elif (
            node.name in once
            and node.name not in read
            and node.op not in NO_RESULTS
            and not node.op.startswith("Iterator")
            and "Dataset" not in node.op
            and not _is_ordering_node(source.nodes, node)
        ):
            source.outputs.append(Port(node.name, node.name))
    source.metadata = {SHA256.key: hashlib.sha256(raw).hexdigest()}
    return source


def _element_ports(nodes: dict[str, Any], node: Any) -> list[Port]:
    """The results of an iterator or a queue, as inputs. Queues return batches along a first dimension."""
    is_batch = "Many" in node.op or "UpTo" in node.op
    types = node.attr["output_types" if node.op in ELEMENTS[:2] else "component_types"].list.type
    resource = node if node.op in ELEMENTS[:2] else nodes.get(split(node.input[0])[0], node)
    shapes: list[Any] = [
        dims_of(s) for s in resource.attr["output_shapes" if resource is node else "shapes"].list.shape
    ]
    ports = []
    for number, (dtype, dims) in enumerate(zip(types, shapes or [None] * len(types), strict=True)):
        name = f"{node.name}:{number}" if len(types) > 1 else node.name
        shape = dims if dims is None or not is_batch else (None, *dims)
        ports.append(Port(name, f"{node.name}:{number}", dtype_of(dtype), shape))
    return ports


def _is_ordering_node(nodes: dict[str, Any], node: Any) -> bool:
    """True if a node exists only to order the others of a branch or loop."""
    if node.op in (*SWITCHES, *ENTERS):
        return True
    producer = nodes.get(split(node.input[0])[0]) if node.op == "Identity" and node.input else None
    return producer is not None and producer.op in SWITCHES


def read_function(function: Any, what: str) -> Source:
    """A ConcreteFunction with the current values of its captured variables."""
    tf = tensorflow()
    definition = function.graph.as_graph_def(add_shapes=False)
    graph = message("GraphDef").FromString(definition.SerializeToString())
    source = _source_of_graph(what, graph)
    source.control_outputs = [o.name for o in function.graph.control_outputs]
    captured = {placeholder.name: outer for outer, placeholder in function.graph.captures}
    variables = {id(v.handle): v for v in function.graph.variables}
    for name, outer in captured.items():
        node = split(name)[0]
        owner = variables.get(id(outer))
        if owner is not None:
            source.variables[node] = owner.numpy
            source.names[node] = split(owner.name)[0]
        elif outer.dtype not in (tf.resource, tf.variant):
            source.bound[node] = outer.numpy()
    arguments, keywords = function.structured_input_signature
    specs = [s for s in tf.nest.flatten((arguments, keywords), expand_composites=True)]
    inputs = [t for t in function.inputs if t.name not in captured]
    for spec, tensor in zip(specs, inputs, strict=False):
        name = getattr(spec, "name", None) or split(tensor.name)[0]
        source.inputs.append(_port_of_tensor(name, tensor))
    names = output_names(function)
    source.outputs += [_port_of_tensor(n, t) for n, t in zip(names, function.outputs, strict=True)]
    return source


def output_names(function: Any, declared: Sequence[str] = ()) -> list[str]:
    """Names of the outputs of a ConcreteFunction: the keys of dictionaries, joined by _ where they are
    nested; without any the declared ones, else their positions."""
    paths, count = list(_paths(function.structured_outputs)), len(function.outputs)
    if any(isinstance(key, str) for path in paths for key in path):
        rooted = [path if isinstance(path[0], str) else ("output", *path) for path in paths]
        declared = ["_".join(map(str, path)) for path in rooted]
    is_whole = len(set(declared)) == len(declared) == count
    return list(declared) if is_whole else [f"output_{i}" for i in range(count)]


def _paths(structure: Any) -> Iterator[tuple[Any, ...]]:
    """The keys and positions that lead to each tensor, in TensorFlow's order."""
    if isinstance(structure, Mapping):
        items: Any = sorted(structure.items())
    elif isinstance(structure, (list, tuple)):
        fields = getattr(structure, "_fields", None)
        items = zip(fields, structure, strict=True) if fields else enumerate(structure)
    else:
        if structure is not None:
            yield ()
        return
    for key, inner in items:
        yield from ((key, *path) for path in _paths(inner))


def _port_of_tensor(name: str, tensor: Any) -> Port:
    dims = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return Port(name, tensor.name, dtype_of(tensor.dtype.as_datatype_enum), dims)


def _component_ports(name: str, info: Any) -> list[Port]:
    """A tensor, or the components of a sparse or ragged one under TensorFlow's names."""
    encoding = info.WhichOneof("encoding")
    if encoding == "name":
        return [Port(name, info.name, dtype_of(info.dtype), dims_of(info.tensor_shape))]
    if encoding == "coo_sparse":
        sparse, index_dtype = info.coo_sparse, ir.DataType.INT64
        rank = None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim)
        return [
            Port(f"{name}_indices", sparse.indices_tensor_name, index_dtype, (None, rank)),
            Port(f"{name}_values", sparse.values_tensor_name, dtype_of(info.dtype), (None,)),
            Port(f"{name}_dense_shape", sparse.dense_shape_tensor_name, index_dtype, (rank,)),
        ]
    return [
        Port(f"{name}_component_{n}", c.name, dtype_of(c.dtype), dims_of(c.tensor_shape))
        for n, c in enumerate(info.composite_tensor.components)
    ]


def _ports(fields: Any, order: dict[str, int]) -> list[Port]:
    """Inputs or outputs in the order of their nodes, then of a node's outputs; components stay together."""
    components = [_component_ports(name, info) for name, info in fields.items()]
    components.sort(
        key=lambda ports: min((order.get(split(p.tensor)[0], 0), split(p.tensor)[1]) for p in ports)
    )
    return [port for ports in components for port in ports]


def _apply_facts(source: Source, meta: Any) -> None:
    """Restore the order and dimension names that bridge recorded when it wrote the file."""
    if "bridge" not in meta.collection_def:
        return
    facts = json.loads(meta.collection_def["bridge"].bytes_list.value[0])
    for role in ("inputs", "outputs"):
        ports = {p.name: p for p in getattr(source, role)}
        if sorted(ports) != sorted(f["name"] for f in facts[role]):
            return
        restored = [
            Port(f["name"], ports[f["name"]].tensor, ports[f["name"]].dtype, _dimensions_of_facts(f["shape"]))
            for f in facts[role]
        ]
        setattr(source, role, restored)
    source.metadata.update({str(k): str(v) for k, v in facts.get("metadata", {}).items()} | source.metadata)


def _dimensions_of_facts(dims: Any) -> tuple[Any, ...] | None:
    return None if dims is None else tuple(d if isinstance(d, int) or d != "None" else None for d in dims)
