"""Contents of the variables and tables of a SavedModel, as the graph's own operators would restore them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_savedmodel.bundle import Bundle
from bridge_savedmodel.tensors import array_of

TABLE_WRITES = (
    "LookupTableImportV2",
    "InitializeTableV2",
    "InitializeTableFromTextFileV2",
    "InitializeTable",
)
VARIABLE_WRITES = ("AssignVariableOp", "Assign")
WHOLE_LINE, LINE_NUMBER = -2, -1


@dataclass(frozen=True)
class Body:
    """The nodes of the graph, or of a function called from it; `outer` maps the function's arguments to
    tensors of the caller."""

    nodes: dict[str, Any]
    outer: dict[str, tuple[Body, str]]

    def origin(self, reference: str) -> tuple[Body, str]:
        """Body and reference that a tensor comes from, through Identity nodes and calls."""
        body, source = self, reference
        while True:
            name = source.split(":")[0]
            if name in body.outer and name not in body.nodes:
                body, source = body.outer[name]
            elif name in body.nodes and body.nodes[name].op == "Identity":
                source = body.nodes[name].input[0]
            else:
                return body, source

    def node(self, reference: str) -> Any:
        """The node a tensor comes from; None for an argument of the main graph."""
        body, source = self.origin(reference)
        return body.nodes.get(source.split(":")[0])


def _bodies(main: Body, functions: dict[str, Any], operators: tuple[str, ...]) -> Iterator[Body]:
    """The main graph, and every function called from it that contains one of the operators."""
    yield main
    containing = {name for name, f in functions.items() if any(n.op in operators for n in f.node_def)}
    for call in main.nodes.values():
        name = call.attr["f"].func.name if call.op.endswith("PartitionedCall") else ""
        if name in containing:
            function = functions[name]
            arguments = [a.name for a in function.signature.input_arg]
            outer = {a: (main, i) for a, i in zip(arguments, call.input, strict=False)}
            yield Body({n.name: n for n in function.node_def}, outer)


def variables(
    path: Path, nodes: dict[str, Any], functions: dict[str, Any]
) -> dict[str, Callable[[], np.ndarray]]:
    """Functions that read each variable, by the node of its handle. Raises UnreadableFile if parts are
    missing."""
    handles = [n for n in nodes.values() if n.op in ("VarHandleOp", "VariableV2", "Variable")]
    if not handles:
        return {}
    stored = dict(_stored_tensors(nodes, functions))
    prefix = path / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        if not stored:
            return {}
        raise UnreadableFile(
            f"{path} holds variables but variables/variables.index is missing.",
            "Copy the whole folder, with variables/.",
        )
    try:
        bundle = Bundle(prefix)
    except (ValueError, OSError) as error:
        raise UnreadableFile(
            f"The variables of {path} cannot be read: {error}.", "Is the folder complete?"
        ) from error
    places = {n.name: stored.get(n.name, (n.name, "")) for n in handles}
    return {node: _reader(path, bundle, *place) for node, place in places.items() if place[0] in bundle}


def _reader(path: Path, bundle: Bundle, key: str, part: str) -> Callable[[], np.ndarray]:
    def read_variable() -> np.ndarray:
        try:
            return _part_of(bundle.tensor(key), part)
        except (ValueError, OSError) as error:
            raise UnreadableFile(
                f"The variable {key} of {path} cannot be read: {error}.", "Is the folder complete?"
            ) from error

    return read_variable


def _part_of(array: np.ndarray, part: str) -> np.ndarray:
    """The part that a restore operator takes of a tensor. The first two of four rows are `4 3 0,2:-`:
    the lengths of the whole, then start and length for each dimension. Raises ValueError."""
    if not part:
        return array
    *lengths, regions = part.split(" ")
    fields = regions.split(":") if lengths else []
    if list(array.shape) != list(map(int, lengths)) or len(fields) != array.ndim:
        raise ValueError(f"it has the shape {list(array.shape)}, of which {part} is no part")
    region = []
    for size, field in zip(array.shape, fields, strict=True):
        start, length = (0, size) if field == "-" else map(int, field.split(","))
        if not 0 <= start <= start + length <= size:
            raise ValueError(f"{part} is beyond its shape")
        region.append(slice(start, start + length))
    return array[tuple(region)]


def _stored_tensors(
    nodes: dict[str, Any], functions: dict[str, Any]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Pairs of a variable's node and what is restored into it: a key of the checkpoint, and a part of that
    tensor."""
    for body in _bodies(Body(nodes, {}), functions, ("RestoreV2",)):
        for node in body.nodes.values():
            place = _restored(body, node.input[1]) if node.op in VARIABLE_WRITES else None
            target = body.node(node.input[0]) if place is not None else None
            if place is not None and target is not None:
                yield target.name, place


def _restored(body: Body, reference: str) -> tuple[str, str] | None:
    """Key and part that a value is restored from."""
    owner, source = body.origin(reference)
    node = owner.nodes.get(source.split(":")[0])
    if node is None or node.op != "RestoreV2":
        return None
    lists = [owner.node(i) for i in node.input[1:3]]
    if any(n is None or n.op != "Const" for n in lists):
        return None
    keys, parts = (array_of(n.attr["value"].tensor).reshape(-1) for n in lists)
    output = source.split(":")[-1]
    index = int(output) if output.isdigit() else 0
    return (keys[index].decode(), parts[index].decode()) if index < min(len(keys), len(parts)) else None


def tables(
    path: Path, nodes: dict[str, Any], functions: dict[str, Any], assets: dict[str, str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Keys and values of hash tables that constants or asset files initialize, by the node of the handle."""
    contents, main = {}, Body(nodes, {})
    for body in _bodies(main, functions, TABLE_WRITES):
        for node in body.nodes.values():
            target = body.node(node.input[0]) if node.op in TABLE_WRITES else None
            content = None if target is None else _table_contents(path, main, body, node, assets)
            if target is not None and content is not None:
                contents[target.name] = content
    return contents


def _table_contents(path: Path, main: Body, body: Body, node: Any, assets: dict[str, str]) -> Any:
    if node.op == "InitializeTableFromTextFileV2":
        name = _file_name(main, body, node.input[1], assets)
        return None if name is None else _text_columns(_read_asset(path, name), node)
    constants = [body.node(i) for i in node.input[1:3]]
    if any(n is None or n.op != "Const" for n in constants):
        return None
    keys, values = (array_of(n.attr["value"].tensor).reshape(-1) for n in constants)
    return keys, values


def _file_name(main: Body, body: Body, reference: str, assets: dict[str, str]) -> str | None:
    """The asset of a file name: from the graph's list of assets, or from a constant."""
    node = body.node(reference)
    if node is not None and node.op == "ReadVariableOp":
        handle = main.node(node.input[0])
        name = "" if handle is None else handle.name
        writers = [n for n in main.nodes.values() if n.op == "AssignVariableOp" and n.input[0] == name]
        node = main.node(writers[0].input[1]) if writers else None
    if node is None:
        return None
    if node.name in assets:
        return assets[node.name]
    if node.op != "Const":
        return None
    return Path(array_of(node.attr["value"].tensor).reshape(-1)[0].decode()).name


def _read_asset(path: Path, name: str) -> bytes:
    folder = (path / "assets").resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise UnreadableFile(
            f"{path} reads a table from assets/{name}, which is missing.", "Copy the whole folder."
        )
    return file.read_bytes()


def _text_columns(raw: bytes, node: Any) -> tuple[np.ndarray, np.ndarray]:
    """Key and value column of a text file. A column is an index, -1 for the line number or -2 for the whole
    line."""
    lines = raw.split(b"\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    delimiter = node.attr["delimiter"].s or b"\t"
    size = node.attr["vocab_size"].i
    lines = lines[:size] if size > 0 else lines

    def text_column(index: int) -> np.ndarray:
        if index == LINE_NUMBER:
            return np.arange(len(lines), dtype=np.int64)
        if index == WHOLE_LINE:
            return np.array(lines, object)
        return np.array([line.split(delimiter)[index] for line in lines], object)

    return text_column(node.attr["key_index"].i), text_column(node.attr["value_index"].i)
