"""Digests of files, and of what graphs compute, whatever their values and operators are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub

WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool")
NEUTRAL = {"dilations": 1, "output_padding": 0, "pads": 0, "strides": 1}
"""What an attribute of a window says in every place where it says nothing."""

__all__ = ["content_of", "digest_of", "digests", "sha256_of"]


def sha256_of(file: Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal digits. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def digest_of(*parts: Any) -> bytes:
    """Digest of plain values."""
    return hashlib.sha256(repr(parts).encode()).digest()


def content_of(tensor: Any) -> bytes:
    """Digest of the dtype, shape and elements of a tensor."""
    shape = tuple(tensor.shape)
    if tensor.dtype == ir.DataType.STRING:
        return digest_of("text", shape, [bytes(s) for s in tensor.string_data()])
    return digest_of(tensor.dtype.name, shape, hashlib.sha256(tensor.tobytes()).digest())


def _weight(value: ir.Value) -> Any:
    return content_of(value.const_value)


def _nothing(value: ir.Value) -> Any:
    return ()


def digests(
    graph: ir.Graph,
    *,
    weight: Callable[[ir.Value], Any] = _weight,
    told: Callable[[ir.Value], Any] = _nothing,
    outer: Mapping[ir.Value, bytes] | None = None,
    depth: int = 0,
) -> dict[ir.Value, bytes]:
    """A digest of how each value of a graph is computed, of which inputs and constants; of a body, that many
    bodies deep, its `outer` values as well.

    `weight` says what a stored value is, its content unless given, and `told` what else must be alike of a
    node's result.
    """
    found = dict(outer or {})
    for index, value in enumerate(graph.inputs):
        who = (depth, index) if depth else value.name
        found[value] = digest_of("input", who, str(value.type), str(value.shape))
    nodes = list(graph)
    read_here = (v for node in nodes for v in node.inputs if v is not None)
    for value in (*graph.initializers.values(), *read_here, *graph.outputs):
        if value.const_value is not None and value not in found:
            found[value] = digest_of("weight", weight(value))
    for node in nodes:
        attributes = []
        for name, attribute in sorted(node.attributes.items()):
            if is_implied(node, name):
                continue
            bodies = []
            for body in _graphs(attribute):
                inner = digests(body, weight=weight, told=told, outer=found, depth=depth + 1)
                bodies.append([inner[v] for v in body.outputs])
            attributes.append((name, bodies or _plain(attribute)))
        read = [None if v is None else found.get(v, b"") for v in node.inputs]
        facts = (hub.qualified(node), node.overload, attributes, read)
        for index, value in enumerate(node.outputs):
            found[value] = digest_of(*facts, index, told(value))
    return found


def is_implied(node: ir.Node, name: str) -> bool:
    """True for an attribute that says what its absence would, or what the shape of the weights does."""
    value = hub.attr(node, name)
    windowed = node.op_type.startswith(WINDOWED) and node.domain in ("", hub.NHWC)
    if windowed and name == "kernel_shape":
        return node.op_type.startswith("Conv")
    if windowed and name in NEUTRAL:
        return all(number == NEUTRAL[name] for number in value)
    default = hub.default_of(node.domain, node.op_type, name)
    if isinstance(value, float) and isinstance(default, float):
        return float(str(np.float32(value))) == default
    return default is not None and value == default


def _graphs(attribute: ir.Attr) -> list[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else []


def _plain(attribute: ir.Attr) -> Any:
    value = attribute.value
    return content_of(value) if attribute.type == ir.AttributeType.TENSOR else repr(value)
