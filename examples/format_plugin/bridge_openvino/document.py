"""An IR document in memory, written as and read from .xml and .bin. Nothing here knows what an operator
means."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile, UnsupportedModel

T = ir.DataType
ELEMENTS = {
    T.FLOAT: "f32",
    T.FLOAT16: "f16",
    T.BFLOAT16: "bf16",
    T.DOUBLE: "f64",
    T.INT8: "i8",
    T.INT16: "i16",
    T.INT32: "i32",
    T.INT64: "i64",
    T.UINT8: "u8",
    T.UINT16: "u16",
    T.UINT32: "u32",
    T.UINT64: "u64",
    T.BOOL: "boolean",
    T.INT4: "i4",
    T.UINT4: "u4",
    T.FLOAT8E4M3FN: "f8e4m3",
    T.FLOAT8E5M2: "f8e5m2",
    T.FLOAT8E8M0: "f8e8m0",
    T.FLOAT4E2M1: "f4e2m1",
}
DTYPES = {word: dtype for dtype, word in ELEMENTS.items()}
PRECISIONS = {"FP32": T.FLOAT, "FP16": T.FLOAT16, "FP64": T.DOUBLE, "BOOL": T.BOOL} | {
    word.upper(): dtype
    for dtype, word in ELEMENTS.items()
    if dtype not in (T.FLOAT, T.FLOAT16, T.DOUBLE, T.BOOL)
}
WORDS = {dtype: word for word, dtype in PRECISIONS.items()}
ALIGNMENT = 64
DEPTH = 64


@dataclass(eq=False)
class Port:
    """What a layer makes: its dtype, and its dimensions with None for those of any length, as far as they are
    known. A file may give it `others` for names."""

    layer: Layer
    dtype: ir.DataType | None = None
    dims: tuple[int | None, ...] | None = None
    name: str = ""
    others: tuple[str, ...] = ()


@dataclass(eq=False)
class Body:
    """A graph inside a layer, and how its parameters and results are joined to the layer's ports: attributes
    of the port map, and of the back edges."""

    net: Net
    inputs: list[dict[str, str]] = field(default_factory=list)
    outputs: list[dict[str, str]] = field(default_factory=list)
    back_edges: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class Layer:
    """One operator: its attributes as text, the ports it reads (None for one left out), the ports it
    makes."""

    type: str
    version: str
    name: str
    data: dict[str, str] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    bodies: dict[str, Body] = field(default_factory=dict)
    array: np.ndarray | None = None


@dataclass(eq=False)
class Net:
    """Layers, each after those it reads. Parameters and results are in the order of the model's inputs and
    outputs."""

    name: str = "model"
    layers: list[Layer] = field(default_factory=list)
    metadata: str = ""
    by_id: dict[int, Layer] = field(default_factory=dict)

    def of_type(self, kind: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.type == kind]


def write(net: Net, path: Path) -> None:
    """Write `net` to `path` and its constants to the same name with the suffix .bin."""
    with path.with_suffix(".bin").open("wb") as weights:
        root = _element(net, "net", {"name": net.name, "version": "11"}, weights)
    info = ET.SubElement(root, "rt_info")
    if net.metadata:
        ET.SubElement(info, "bridge", value=net.metadata)
    ET.indent(root, "\t")
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _element(net: Net, tag: str, attributes: dict[str, str], weights: Any) -> ET.Element:
    root = ET.Element(tag, attributes)
    layers, edges = ET.SubElement(root, "layers"), ET.SubElement(root, "edges")
    number = {layer: index for index, layer in enumerate(net.layers)}
    for layer, index in number.items():
        if layer.array is not None:
            _place(layer, weights)
        element = ET.SubElement(
            layers, "layer", id=str(index), name=layer.name, type=layer.type, version=layer.version
        )
        if layer.data:
            ET.SubElement(element, "data", layer.data)
        _maps(element, layer)
        _ports(element, layer)
        for kind, body in layer.bodies.items():
            element.append(_element(body.net, f"{kind}body", {}, weights))
        for place, port in enumerate(layer.inputs):
            made = port.layer
            edge = {"from-layer": number[made], "from-port": len(made.inputs) + made.outputs.index(port)}
            ET.SubElement(
                edges, "edge", {k: str(v) for k, v in (edge | {"to-layer": index, "to-port": place}).items()}
            )
    return root


def _place(layer: Layer, weights: Any) -> None:
    assert layer.array is not None
    weights.write(b"\0" * (-weights.tell() % ALIGNMENT))
    layer.data |= {"offset": str(weights.tell()), "size": str(layer.array.nbytes)}
    weights.write(np.ascontiguousarray(layer.array).tobytes())


def _ports(element: ET.Element, layer: Layer) -> None:
    for tag, ports, first in (("input", layer.inputs, 0), ("output", layer.outputs, len(layer.inputs))):
        if not ports:
            continue
        parent = ET.SubElement(element, tag)
        for index, port in enumerate(ports, first):
            attributes = {
                "id": str(index),
                "precision": WORDS.get(port.dtype, "UNSPECIFIED") if port.dtype else "UNSPECIFIED",
            }
            if tag == "output" and port.name:
                attributes["names"] = port.name.replace("\\", "\\\\").replace(",", "\\,")
            written = ET.SubElement(parent, "port", attributes)
            for dim in port.dims or ():
                ET.SubElement(written, "dim").text = str(-1 if dim is None else dim)


def _maps(element: ET.Element, layer: Layer) -> None:
    for kind, body in layer.bodies.items():
        ports = ET.SubElement(element, f"{kind}port_map")
        for tag, entries in (("input", body.inputs), ("output", body.outputs)):
            for entry in entries:
                ET.SubElement(ports, tag, entry)
        if body.back_edges:
            back = ET.SubElement(element, "back_edges")
            for source, target in body.back_edges:
                ET.SubElement(back, "edge", {"from-layer": str(source), "to-layer": str(target)})


class _Strict(ET.TreeBuilder):
    """XML without a document type, so without entities."""

    def doctype(self, name: str, public: str, system: str) -> None:
        raise UnreadableFile("An IR has no document type declaration.")


def read(path: str | Path) -> Net:
    """The document at `path`. Raises UnreadableFile for anything that is no IR of version 10 or 11."""
    try:
        root = ET.fromstring(Path(path).read_bytes(), ET.XMLParser(target=_Strict()))
        if root.tag != "net" or root.get("version") not in ("10", "11"):
            raise ValueError("no <net> of version 10 or 11")
        beside = Path(path).with_suffix(".bin")
        weights = (
            np.memmap(beside, np.uint8, "r")
            if beside.is_file() and beside.stat().st_size
            else np.zeros(0, np.uint8)
        )
        return _net(root, weights, 0)
    except (ET.ParseError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise UnreadableFile(f"{path} is not an OpenVINO IR: {error}") from error


def _net(root: ET.Element, weights: np.ndarray, depth: int) -> Net:
    if depth > DEPTH:
        raise ValueError("bodies are nested too deeply")
    layers: dict[int, Layer] = {}
    ports: dict[tuple[int, int], Port] = {}
    places: dict[int, dict[int, Port | None]] = {}
    for element in _all(root, "layers/layer"):
        number = int(element.attrib["id"])
        layers[number] = layer = _layer(element, weights, depth)
        places[number] = {int(p.attrib["id"]): None for p in _all(element, "input/port")}
        for port in _all(element, "output/port"):
            made = _port(layer, port)
            layer.outputs.append(made)
            ports[number, int(port.attrib["id"])] = made
    for edge in _all(root, "edges/edge"):
        source = ports[int(edge.attrib["from-layer"]), int(edge.attrib["from-port"])]
        places[int(edge.attrib["to-layer"])][int(edge.attrib["to-port"])] = source
    for number, layer in layers.items():
        given = list(places[number].values())
        layer.inputs = [p for p in given if p is not None]
        if len(layer.inputs) != len(given):
            raise ValueError(f"{layer.type} {layer.name} has an input that nothing makes")
    info = root.find("rt_info/bridge")
    net = Net(root.get("name", "model"), list(layers.values()), "" if info is None else info.get("value", ""))
    net.by_id = layers
    net.layers = list(_sorted(sorted(net.layers, key=lambda layer: layer.type != "Parameter")))
    return net


def _all(root: ET.Element, path: str) -> Iterator[ET.Element]:
    yield from root.findall(path)


def _layer(element: ET.Element, weights: np.ndarray, depth: int) -> Layer:
    data = element.find("data")
    layer = Layer(
        element.attrib["type"],
        element.get("version", "opset1"),
        element.get("name", ""),
        dict(data.attrib) if data is not None else {},
    )
    if layer.type == "Const":
        layer.array = _array(layer, weights)
    for kind in ("", "then_", "else_"):
        inner = element.find(f"{kind}body")
        if inner is not None:
            body = Body(_net(inner, weights, depth + 1))
            ports = element.find(f"{kind}port_map")
            for tag, entries in (("input", body.inputs), ("output", body.outputs)):
                entries += [dict(e.attrib) for e in (ports if ports is not None else ()) if e.tag == tag]
            layer.bodies[kind] = body
            body.back_edges = [
                (int(e.attrib["from-layer"]), int(e.attrib["to-layer"]))
                for e in _all(element, "back_edges/edge")
            ]
    return layer


def _port(layer: Layer, element: ET.Element) -> Port:
    dims = tuple(int(d.text or "") for d in element.findall("dim"))
    names = re.split(r"(?<!\\),", element.get("names", ""))
    words = sorted(n.replace("\\,", ",").replace("\\\\", "\\") for n in names if n)
    dtype = PRECISIONS.get(element.get("precision", ""))
    made = Port(layer, dtype, tuple(None if d < 0 else d for d in dims), words[0] if words else "")
    made.others = tuple(words[1:])
    return made


def _array(layer: Layer, weights: np.ndarray) -> np.ndarray:
    """The constant of a layer, mapped from the file. Raises ValueError when it lies outside."""
    dtype = element_type(layer.data["element_type"])
    shape = ints(layer.data.get("shape", ""))
    offset, size = int(layer.data["offset"]), int(layer.data["size"])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if (
        min([0, *shape]) < 0
        or offset < 0
        or (count and size != (count * dtype.bitwidth + 7) // 8)
        or offset + size > len(weights)
    ):
        raise ValueError(f"the constant {layer.name} does not lie in the .bin")
    if count == 0:
        return np.zeros(shape, dtype.numpy())
    raw = weights[offset : offset + size]
    if dtype.bitwidth == 4:
        halves = np.stack([raw & 15, raw >> 4], -1).reshape(-1)[:count]
        if dtype == T.FLOAT4E2M1:
            return halves.view(dtype.numpy()).reshape(shape)
        signed = dtype == T.INT4
        values = halves.astype(np.int8) - 16 * (halves > 7) if signed else halves
        return values.astype(dtype.numpy()).reshape(shape)
    return np.frombuffer(raw.tobytes() if offset % dtype.itemsize else raw, dtype.numpy()).reshape(shape)


def element_type(word: str) -> ir.DataType:
    """The dtype IR calls `word`. Raises UnsupportedModel for one the hub does not have."""
    if word.lower() not in DTYPES:
        raise UnsupportedModel(f"The element type {word} has no place in the hub.", [])
    return DTYPES[word.lower()]


def ints(text: str) -> list[int]:
    """`1, 2` as numbers."""
    return [int(part) for part in text.split(",") if part.strip()]


def _sorted(layers: list[Layer]) -> Iterator[Layer]:
    """Each after those it reads; otherwise as they came. Raises ValueError for a circle."""
    opened: set[Layer] = set()
    done: set[Layer] = set()
    for layer in layers:
        stack = [layer]
        while stack:
            top = stack[-1]
            waiting = [] if top in done else [p.layer for p in top.inputs if p.layer not in done]
            if any(w in opened for w in waiting):
                raise ValueError("layers read one another in a circle")
            if waiting:
                opened.add(top)
                stack.extend(waiting)
                continue
            stack.pop()
            if top not in done:
                done.add(top)
                opened.discard(top)
                yield top
