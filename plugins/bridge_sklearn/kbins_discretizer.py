"""KBinsDiscretizer for skl2onnx, whose own converter compares in float32: values on an edge, as quantiles
are, would fall to either side."""

from __future__ import annotations

from typing import Any

import numpy as np

EDGE = "BridgeEdge"
"""How the names of nodes begin that compare with edges."""


def infer_shape(operator: Any) -> None:
    """[N, bins of all columns], or [N, columns] where bins are numbered; in the precision of what is read."""
    src, records = operator.raw_operator, operator.inputs[0].type
    width = len(src.bin_edges_) if src.encode == "ordinal" else int(np.sum(src.n_bins_))
    operator.outputs[0].type = type(records)([records.shape[0], width])


def convert_bins(scope: Any, operator: Any, container: Any) -> None:
    """The bin of a value is the number of inner edges it has reached; its indicators are differences of those
    steps."""
    from skl2onnx.common.data_types import DoubleTensorType, guess_proto_type

    src, records = operator.raw_operator, operator.inputs[0]
    elem_type = guess_proto_type(records.type)
    dtype = np.float64 if isinstance(records.type, DoubleTensorType) else np.float32

    def add_node(name: str, inputs: list[str], title: str = "", **attributes: Any) -> str:
        output = scope.get_unique_variable_name(name.lower())
        own = scope.get_unique_operator_name(title or name)
        container.add_node(name, inputs, output, name=own, **attributes)
        return str(output)

    def initializer(values: np.ndarray, data_type: int = elem_type) -> str:
        name = scope.get_unique_variable_name("bins")
        container.add_initializer(name, data_type, list(values.shape), values.ravel().tolist())
        return str(name)

    parts = []
    for index, edges in enumerate(src.bin_edges_):
        inner = np.asarray(edges[1:-1], dtype)
        column = add_node("Gather", [records.full_name, initializer(np.array([index]), 7)], axis=1)
        reached = add_node("Not", [add_node("Less", [column, initializer(inner[None])], EDGE)])
        steps = add_node("Cast", [reached], to=elem_type)
        count = len(inner)
        weights: np.ndarray = (
            np.ones((count, 1)) if src.encode == "ordinal" else np.eye(count + 1, dtype=dtype)[1:]
        )
        start = np.zeros((1, 1)) if src.encode == "ordinal" else np.eye(1, count + 1)
        if src.encode != "ordinal":
            weights = weights - np.eye(count, count + 1)
        parts.append(add_node("Add", [add_node("MatMul", [steps, initializer(weights)]), initializer(start)]))
    container.add_node(
        "Concat", parts, operator.outputs[0].full_name, name=scope.get_unique_operator_name("Concat"), axis=1
    )
