"""Attributes of a layer as Python, and needs on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.needs import condition
from bridge.ops import Need
from bridge_openvino.document import Layer, element_type, ints


def flag(layer: Layer, name: str, default: bool = False) -> bool:
    return layer.data.get(name, str(default)).lower() in ("true", "1")


def number(layer: Layer, name: str, default: float) -> float:
    return float(layer.data.get(name, default))


def integer(layer: Layer, name: str, default: int = 0) -> int:
    return int(layer.data.get(name, default))


def listed(layer: Layer, name: str) -> list[int]:
    return ints(layer.data.get(name, ""))


def element(layer: Layer, name: str, default: str = "i64") -> int:
    """The number of an element type among ONNX's."""
    return int(element_type(layer.data.get(name, default)))


def known(layer: Layer, index: int) -> np.ndarray | None:
    """The constant a layer reads, a Convert of one included; None for what is known at run time only, or
    absent."""
    if index >= len(layer.inputs):
        return None
    source = layer.inputs[index].layer
    return known(source, 0) if source.type == "Convert" else source.array


def constant(index: int, name: str) -> Need:
    """Input `index` is a constant, or absent."""
    holds = lambda layer: index >= len(layer.inputs) or known(layer, index) is not None  # noqa: E731
    return condition(f"a constant {name}", holds)


def is_(name: str, *allowed: Any, default: str = "") -> Need:
    """An attribute is one of the words."""
    return condition(
        f"{name}={' or '.join(allowed)}", lambda n: n.data.get(name, default or allowed[0]).lower() in allowed
    )
