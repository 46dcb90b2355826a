"""The operators of a SavedModel as TensorFlow looks up kernels for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Native, Written
from bridge_savedmodel.definitions import dtype_name
from bridge_savedmodel.reader import read_message

__all__ = ["contents"]


def contents(path: Path) -> Written:
    """Every operator of every graph and function, with its types by attribute."""
    saved, _ = read_message(path)
    nodes = [
        node
        for meta in saved.meta_graphs
        for nodes in (meta.graph_def.node, *(f.node_def for f in meta.graph_def.library.function))
        for node in nodes
    ]
    return Written({}, tuple(map(_operator, nodes)))


def _operator(node: Any) -> Native:
    kinds = {name: value.type for name, value in node.attr.items() if value.WhichOneof("value") == "type"}
    named = {name: dtype_name(number).removeprefix("DT_").lower() for name, number in kinds.items()}
    return Native(node.op, 1, (node.name,), named)
