"""The operators of a TFLite file as resolvers look up kernels for them."""

from __future__ import annotations

from pathlib import Path

from bridge.formats import Native, Written
from bridge_tflite.reader import Operator, Subgraph, read

__all__ = ["contents"]


def contents(path: Path) -> Written:
    """Every operator of every subgraph; a custom one by its code."""
    file = read(path)
    return Written(
        {}, tuple(_operator(graph, operator) for graph in file.subgraphs for operator in graph.operators)
    )


def _operator(graph: Subgraph, operator: Operator) -> Native:
    outputs = tuple(graph.tensors[index].name for index in operator.outputs if index >= 0)
    kinds = [graph.tensors[index].type.lower() for index in operator.inputs if index >= 0]
    given = {str(place): kind for place, kind in enumerate(kinds)}
    return Native(operator.name, 1, outputs, given)
