"""Exported programs in files (`.pt2`), read from torch's JSON schema and the bytes of their weights."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, first_line
from bridge_torchscript.dtypes import TORCH_DTYPES
from bridge_torchscript.lengths import Lengths
from bridge_torchscript.program import checked_documents
from bridge_torchscript.recorded import Call, Example, Graph, Program, Ref, Role
from bridge_torchscript.safe_open import check_members, operators
from bridge_torchscript.script.module import Records
from bridge_torchscript.script.schema import Schema
from bridge_torchscript.script.stored import StoredTensor, strided

SCHEMA = 8
"""Major version of torch's schema."""
LONGEST = 2**63
POSITIONAL = 1
"""The schema's kind of an argument that is given by its place."""
MODEL = "models/model.json"
T = ir.DataType
SCALARS: dict[int, ir.DataType | None] = {
    **dict(enumerate((T.UINT8, T.INT8, T.INT16, T.INT32, T.INT64, T.FLOAT16, T.FLOAT, T.DOUBLE), 1)),
    **dict(enumerate((None, T.COMPLEX64, T.COMPLEX128, T.BOOL, T.BFLOAT16), 9)),
    **dict(enumerate((T.UINT16, T.FLOAT8E4M3FN, T.FLOAT8E5M2, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2FNUZ), 28)),
    **dict(enumerate((T.FLOAT8E8M0, T.UINT32, T.UINT64), 33)),
}
"""Dtypes by the schema's ScalarType; None for complex numbers of two halves."""
SYMBOLIC = {"as_sym_int": "int", "as_sym_float": "float", "as_sym_bool": "bool"}
ROLES = {
    "parameter": ("PARAMETER", "parameter_name"),
    "buffer": ("BUFFER", "buffer_name"),
    "tensor_constant": ("CONSTANT_TENSOR", "tensor_constant_name"),
    "custom_obj": ("CUSTOM_OBJ", "custom_obj_name"),
    "buffer_mutation": ("BUFFER_MUTATION", "buffer_name"),
    "parameter_mutation": ("PARAMETER_MUTATION", "parameter_name"),
}


def read_archive(path: Path) -> Program:
    """The program of a file.

    Raises UnsupportedModel for pickled objects, compiled code and foreign operators; UnreadableFile for a
    file that is no valid program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive)
            documents = checked_documents(path, archive)
        return _program(path, documents)
    except (BridgeError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableFile(f"{path} is not a valid exported program: {first_line(error)}") from error


def _program(path: Path, documents: dict[str, Any]) -> Program:
    document, records = documents[MODEL], Records(path)
    if document["schema_version"]["major"] != SCHEMA:
        raise ValueError(f"its schema is of version {document['schema_version']['major']}, not {SCHEMA}")
    if (records.text("byteorder") or "little") != "little":
        raise ValueError("its weights are big-endian")
    lengths, module = Lengths(), document["graph_module"]
    graph = GraphReader(module["graph"], lengths).graph()
    signature = module["signature"]
    program = Program(
        graph,
        [_role(s) for s in signature["input_specs"]],
        [_role(s) for s in signature["output_specs"]],
        _stored_tensors(path, records, documents),
        [
            (lengths.symbols[name], *(_bound(limits[key]) for key in ("min_val", "max_val")))
            for name, limits in document["range_constraints"].items()
            if name in lengths.symbols
        ],
        documents["guards"],
        _arranging(module["module_call_graph"][0]["signature"]["out_spec"]),
        str(document["torch_version"]),
    )
    _require_whole(program)
    return program


def _bound(limit: Any) -> int | None:
    if limit is not None and type(limit) is not int:
        raise ValueError(f"{limit!r} is no limit of a length")
    return limit


def _require_whole(program: Program) -> None:
    """Raise ValueError unless every input, weight and result that a program tells of is there."""
    if len(program.graph.inputs) != len(program.inputs) or len(program.graph.results) != len(program.outputs):
        raise ValueError("its graph and its signature have other inputs or results")
    for role in program.inputs:
        if role.kind in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR") and role.target not in program.stored:
            raise ValueError(f"it holds no {role.target}")
    given = zip(program.graph.inputs.items(), program.inputs, strict=True)
    for (name, example), role in given:
        if (role.kind, role.argument) == ("USER_INPUT", "tensor") and example is None:
            raise ValueError(f"it does not say what {name} is")
    targets = {role.target for role in program.inputs}
    if any(r.kind.endswith("MUTATION") and r.target not in targets for r in program.outputs):
        raise ValueError("it changes what is no input")
    program.arranged([None for role in program.outputs if role.kind == "USER_OUTPUT"])


def _union(value: dict[str, Any]) -> tuple[str, Any]:
    """The field that is set of one of the schema's unions, and its value."""
    ((kind, inner),) = value.items()
    return kind, inner


def _role(spec: dict[str, Any]) -> Role:
    kind, fields = _union(spec)
    if kind in ROLES:
        name, key = ROLES[kind]
        return Role(name, "tensor", fields[key])
    if kind == "constant_input":
        return Role("USER_INPUT", "constant", fields["name"], _literal(*_union(fields["value"])))
    if kind not in ("user_input", "user_output"):
        return Role(kind.upper(), "tensor", "")
    name, value = _union(fields["arg"])
    if name == "as_tensor":
        return Role(kind.upper(), "tensor", value["name"])
    if name in SYMBOLIC:
        return Role(kind.upper(), SYMBOLIC[name], value.get("as_name", ""))
    return Role(kind.upper(), "constant", "", _literal(name, value))


def _literal(kind: str, value: Any) -> Any:
    """A number, text, None, or list of them. Raises ValueError for any other argument."""
    match kind, value:
        case (("as_none" | "as_device" | "as_layout" | "as_memory_format"), _):
            return None
        case "as_float", int() | float() | str():
            return float(value)
        case "as_floats", list():
            return [float(v) for v in value]
        case "as_complex", {"real": real, "imag": imaginary}:
            return complex(float(real), float(imaginary))
        case "as_scalar_type", int():
            dtype = SCALARS[value]
            return "torch.complex32" if dtype is None else TORCH_DTYPES[dtype].code
        case ("as_int", int()) | ("as_bool", bool()) | (("as_string" | "as_operator"), str()):
            return value
        case (("as_ints" | "as_bools" | "as_strings" | "as_int_lists" | "as_float_lists"), list()):
            return value
    raise ValueError(f"{str(value)[:80]!r} is no {kind.removeprefix('as_')}")


class GraphReader:
    """Reader of one graph of a file. Names are those of this graph alone."""

    def __init__(self, document: dict[str, Any], lengths: Lengths) -> None:
        self.document, self.lengths = document, lengths
        self.names: set[str] = set()
        self.calls: list[Call] = []

    def graph(self) -> Graph:
        inputs = {}
        for index, argument in enumerate(self.document["inputs"]):
            kind, value = _union(argument)
            name = value["name"] if kind == "as_tensor" else f"constant {index}"
            name = value["as_name"] if kind == "as_sym_int" else name
            inputs[self._new(name)] = self._example(name)
        for node in self.document["nodes"]:
            self._node(node)
        results = [self._argument(v) for v in self.document["outputs"]]
        single = self.document.get("is_single_tensor_return")
        return Graph(inputs, self.calls, results[0] if single else results)

    def _new(self, name: str) -> str:
        if not isinstance(name, str) or name in self.names:
            raise ValueError(f"two values are called {name}, or it is no name")
        self.names.add(name)
        return name

    def _example(self, name: str) -> Example | None:
        facts = self.document["tensor_values"].get(name)
        if facts is None:
            return None
        return Example(SCALARS[facts["dtype"]], tuple(map(self._length, facts["sizes"])))

    def _length(self, size: dict[str, Any]) -> Any:
        kind, value = _union(size)
        if kind == "as_expr":
            return self.lengths.parse(value["expr_str"])
        if type(value) is not int or not 0 <= value < LONGEST:
            raise ValueError(f"{value} is no length")
        return value

    def _ref(self, name: str) -> Ref:
        if name not in self.names:
            raise ValueError(f"{name} is read before it is there")
        return Ref(name)

    def _argument(self, argument: dict[str, Any]) -> Any:
        kind, value = _union(argument)
        if kind in ("as_tensor", "as_optional_tensor"):
            return self._ref(value["name"]) if "name" in value else self._argument(value)
        if kind in ("as_tensors", "as_nested_tensors"):
            return [self._tensors(v) for v in value]
        if kind == "as_optional_tensors":
            return [self._argument(v) for v in value]
        if kind in SYMBOLIC:
            return self._symbolic(value)
        if kind.removesuffix("s") in SYMBOLIC:
            return [self._symbolic(v) for v in value]
        if kind == "as_graph":
            return GraphReader(value["graph"], self.lengths).graph()
        if kind == "as_string_to_argument":
            return {name: self._argument(v) for name, v in value.items()}
        return _literal(kind, value)

    def _tensors(self, value: Any) -> Any:
        return [self._tensors(v) for v in value] if isinstance(value, list) else self._ref(value["name"])

    def _symbolic(self, value: dict[str, Any]) -> Any:
        kind, inner = _union(value)
        return self._ref(inner) if kind == "as_name" else _literal(kind, inner)

    def _node(self, node: dict[str, Any]) -> None:
        target = node["target"]
        operator, schema = _operator(target)
        arguments = [(a["name"], a.get("kind"), self._argument(a["arg"])) for a in node["inputs"]]
        placed, named = [], {}
        for name, kind, value in arguments:
            by_place = not target.startswith("torch.ops.") or kind == POSITIONAL or not name
            if schema is None and by_place:
                placed.append(value)
            else:
                named[name] = value
        if schema is not None:
            _require_arguments(schema, named)
        takes_graphs = target.startswith("torch.ops.higher_order.")
        whole = takes_graphs and not node.get("is_hop_single_tensor_return")
        name, example, parts = self._outputs(node, node["outputs"], whole)
        where = _where(node, name)
        self.calls.append(Call(self._new(name), operator, schema, tuple(placed), named, example, where))
        for part in parts:
            self._part(Ref(name), part, where)

    def _outputs(self, node: dict[str, Any], outputs: list[Any], whole: bool) -> Any:
        """Name of a call's result, its example, and the parts with names of their own."""
        name = node.get("name") or f"{node['target'].rpartition('.')[2]} {len(self.calls)}"
        kinds = [_union(o) for o in outputs]
        if not kinds:
            return name, None, []
        if len(kinds) == 1 and kinds[0][0] == "as_none":
            return f"{name} {len(self.calls)}", None, []
        if len(kinds) == 1 and kinds[0][0] in ("as_tensor", *SYMBOLIC) and not whole:
            only = _result_name(*kinds[0])
            return only, self._example(only), []
        if len(kinds) == 1 and kinds[0][0] == "as_tensors":
            kinds = [("as_tensor", v) for v in kinds[0][1]]
        parts = [(i, kind, value) for i, (kind, value) in enumerate(kinds)]
        return name, [self._part_example(kind, value) for kind, value in kinds], parts

    def _part_example(self, kind: str, value: Any) -> Any:
        if kind == "as_tensors":
            return [self._example(v["name"]) for v in value]
        return self._example(value["name"]) if kind == "as_tensor" else None

    def _part(self, whole: Ref, part: tuple[int, str, Any], where: str) -> None:
        """Call that takes one of several results: its index, kind and value in the schema."""
        index, kind, value = part
        if kind in ("as_tensor", *SYMBOLIC):
            name = _result_name(kind, value)
        elif kind in ("as_tensors", "as_none"):
            name = f"{whole.name} {index}"
        else:
            raise ValueError(f"a result is {kind.removeprefix('as_')}")
        path, slash, _ = where.rpartition("/")
        example = self._part_example(kind, value)
        place = f"{path}{slash}{name}"
        self.calls.append(Call(self._new(name), "getitem", None, (whole, index), {}, example, place))
        for inner, tensor in enumerate(value if kind == "as_tensors" else ()):
            self._part(Ref(name), (inner, "as_tensor", tensor), where)


def _result_name(kind: str, value: dict[str, Any]) -> str:
    return str(value["name" if kind == "as_tensor" else "as_name"])


def _operator(target: str) -> tuple[str, Schema | None]:
    """Name of what a node calls, and the schema of an operator that is known."""
    if not target.startswith("torch.ops."):
        return target.rpartition(".")[2], None
    space, name, *rest = target.removeprefix("torch.ops.").split(".")
    if space == "higher_order":
        return name, None
    overload = "" if rest in ([], ["default"]) else rest[0]
    operator = f"{space}::{name}"
    return operator, next((s for s in operators(operator) if s.overload_name == overload), None)


def _require_arguments(schema: Schema, given: dict[str, Any]) -> None:
    for argument in schema.arguments:
        if argument.name not in given and not argument.has_default_value():
            raise ValueError(f"{schema.name} is called without {argument.name}")


def _where(node: dict[str, Any], name: str) -> str:
    """Name of a node, after the path of the module it comes from."""
    stack = (node.get("metadata") or {}).get("nn_module_stack") or ""
    path = next((p for e in reversed(stack.split(";")) if (p := e.split(",")[1:2] or [""])[0]), [""])[0]
    path = path.removeprefix("L['self']").strip(".")
    return f"{path}/{name}" if path else name


def _stored_tensors(path: Path, records: Records, documents: dict[str, Any]) -> dict[str, StoredTensor]:
    """Weights and constants by path. Tensors of one record share its memory."""
    found = {}
    for kind in ("constants", "weights"):
        for name, facts in documents[f"data/{kind}/model_{kind}_config.json"]["config"].items():
            meta = facts["tensor_meta"]
            dtype = SCALARS[meta["dtype"]]
            if dtype is None:
                raise UnsupportedModel(f"{path} holds {name}, of a dtype the hub has not.", [])
            data = records.array(f"data/{kind}/{facts['path_name']}").view(dtype.numpy())
            shape, strides = (tuple(s["as_int"] for s in meta[key]) for key in ("sizes", "strides"))
            found[name] = strided(data, meta["storage_offset"]["as_int"], shape, strides)
    return found


def _arranging(text: str) -> Callable[[list[Any]], Any]:
    """Function that makes the containers of torch's description of them. It raises ValueError for another
    number of leaves."""
    version, spec = json.loads(text)
    if version != 1:
        raise ValueError(f"its containers are of version {version}")

    def arranged(leaves: list[Any]) -> Any:
        queue = iter(leaves)
        made = _filled(spec, queue)
        if next(queue, queue) is not queue:
            raise ValueError("it has more results than its containers")
        return made

    return arranged


def _filled(spec: dict[str, Any], leaves: Iterator[Any]) -> Any:
    if spec["type"] is None:
        for leaf in leaves:
            return leaf
        raise ValueError("it has fewer results than its containers")
    parts = [_filled(child, leaves) for child in spec["children_spec"]]
    if spec["type"] in ("builtins.dict", "collections.OrderedDict"):
        return dict(zip(json.loads(spec["context"]), parts, strict=True))
    return tuple(parts) if spec["type"] == "builtins.tuple" else parts
