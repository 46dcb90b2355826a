"""Conditions, shapes, weights and data_format of TensorFlow nodes, as handlers of several families need
them."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import const, input_at, rank_of, shape_of
from bridge.importing import constant_ints, ints, to_channels_first, to_channels_last
from bridge.needs import condition
from bridge.ops import Need, OpTable

T = ir.DataType
FAR = 2**31 - 1


def get(node: Any, name: str) -> Any:
    """The attribute of a TensorFlow node."""
    return node.get(name)


def _no_node(node: Any) -> bool:
    return False


def unsupported(text: str) -> Need:
    """A condition that no node fulfils; its text is the reason for the refusal."""
    return Need(text, _no_node)


def readable(table: OpTable) -> set[str]:
    """Operators with a rule that imports some nodes."""
    return {rule.op for rule in table if not any(n.holds is _no_node for n in rule.needs)}


def known_rank(index: int = 0) -> Need:
    """Input `index` has a known rank."""
    return condition(f"input {index} of known rank", lambda n: rank_of(input_at(n, index)) is not None)


def as_scalar(op: Any, value: Any) -> Any:
    """A value of one element as a scalar."""
    array = const(value)
    return op.const(array.reshape(())) if array is not None else op.Reshape(value, ints())


def channels_last(node: Any) -> bool:
    return str(node.get("data_format", "NHWC")).endswith("C")


def known_elements(value: Any, depth: int = 8) -> list[int | None] | None:
    """Elements of an integer vector, each None if known only at run time; None if even their number is
    unknown."""
    is_integer = value.dtype is not None and value.dtype.is_integer()
    known = constant_ints(value) if is_integer else None
    if known is not None:
        return list(known)
    size = shape_of(value)
    producer = value.producer()
    unknown: list[int | None] | None = None
    if size is not None and len(size) < 2:
        unknown = [None] * (size[0] if size else 1)
    if producer is None or depth == 0 or not is_integer:
        return unknown
    if producer.op_type == "Concat":
        parts = [known_elements(v, depth - 1) for v in producer.inputs]
        return None if None in parts else [d for p in parts for d in p or ()]
    if producer.op_type in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"):
        elements = known_elements(producer.inputs[0], depth - 1)
        return elements if unknown is None or elements is None or len(elements) == len(unknown) else unknown
    if producer.op_type == "Shape" and not producer.attributes and producer.inputs[0].shape is not None:
        return [d if isinstance(d, int) else None for d in producer.inputs[0].shape]
    return unknown


def reshape_to(op: Any, x: Any, shape: Any) -> Any:
    """`x` reshaped to an int64 vector of lengths; known lengths become its static shape."""
    if const(shape) is not None and not len(const(shape)) and rank_of(x):
        return op.Squeeze(x, ints(*range(rank_of(x) or 0)))
    reshaped = op.Reshape(x, shape, allowzero=1 if 0 in (known_elements(shape) or []) else None)
    known = known_elements(shape)
    if known is not None:
        dims = (
            reshaped.shape
            if reshaped.shape is not None and len(reshaped.shape) == len(known)
            else [None] * len(known)
        )
        reshaped.shape = ir.Shape(
            [d if d is not None and d >= 0 else o for d, o in zip(known, dims, strict=True)]
        )
    return reshaped


def spatial_attribute(node: Any, name: str, rank: int) -> list[int]:
    """Strides or dilations of the spatial dimensions; ones where the node has none."""
    values = node.get(name) or [1] * rank
    return list(values[1:-1] if channels_last(node) else values[2:])


def explicit_pairs(node: Any) -> list[tuple[int, int]]:
    """The explicit padding before and after each spatial dimension."""
    paddings = node.get("explicit_paddings")
    pairs = list(zip(paddings[::2], paddings[1::2], strict=True))
    return pairs[1:-1] if channels_last(node) else pairs[2:]


def window_padding(node: Any) -> dict[str, Any]:
    """The padding of a window as ONNX attributes."""
    if node.get("padding") == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if node.get("padding") == "EXPLICIT":
        pairs = explicit_pairs(node)
        return {"pads": [p[0] for p in pairs] + [p[1] for p in pairs]}
    return {}


def from_data_format(op: Any, node: Any, x: Any) -> Any:
    """`x` with channels first, from the node's data_format."""
    return to_channels_first(op, x) if channels_last(node) else x


def to_data_format(op: Any, node: Any, y: Any) -> Any:
    """`y`, which has channels first, in the node's data_format."""
    return to_channels_last(op, y) if channels_last(node) else y
