"""KBinsDiscretizer for skl2onnx, whose own converter compares in float32: values on an edge, as quantiles
are, would fall to either side."""

from __future__ import annotations

from typing import Any

import numpy as np


def shape(operator: Any) -> None:
    """[N, bins of all columns], or [N, columns] where bins are numbered; in the precision of what is read."""
    src, given = operator.raw_operator, operator.inputs[0].type
    width = len(src.bin_edges_) if src.encode == "ordinal" else int(np.sum(src.n_bins_))
    operator.outputs[0].type = type(given)([given.shape[0], width])


def convert(scope: Any, operator: Any, container: Any) -> None:
    """The bin of a value is the number of inner edges it has reached; its indicators are differences of those
    steps."""
    from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type

    src, given = operator.raw_operator, operator.inputs[0]
    kind = guess_proto_type(given.type)
    dtype = np.float64 if isinstance(given.type, DoubleTensorType) else np.float32

    def add(name: str, inputs: list[str], **attributes: Any) -> str:
        found = scope.get_unique_variable_name(name.lower())
        container.add_node(name, inputs, found, name=scope.get_unique_operator_name(name), **attributes)
        return str(found)

    def constant(values: np.ndarray, proto: int = kind) -> str:
        found = scope.get_unique_variable_name("bins")
        container.add_initializer(found, proto, list(values.shape), values.ravel().tolist())
        return str(found)

    parts = []
    for index, edges in enumerate(src.bin_edges_):
        inner = np.asarray(edges[1:-1], dtype)
        column = add("Gather", [given.full_name, constant(np.array([index]), 7)], axis=1)
        reached = add("Cast", [add("GreaterOrEqual", [column, constant(inner[None])])], to=kind)
        count = len(inner)
        ways: np.ndarray = (
            np.ones((count, 1)) if src.encode == "ordinal" else np.eye(count + 1, dtype=dtype)[1:]
        )
        start = np.zeros((1, 1)) if src.encode == "ordinal" else np.eye(1, count + 1)
        if src.encode != "ordinal":
            ways = ways - np.eye(count, count + 1)
        parts.append(add("Add", [add("MatMul", [reached, constant(ways)]), constant(start)]))
    container.add_node(
        "Concat", parts, operator.outputs[0].full_name, name=scope.get_unique_operator_name("Concat"), axis=1
    )
