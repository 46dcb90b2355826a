"""What the families share: needs on a node's inputs and attributes, shapes, layout."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import const, input_at, rank_of, shape_of
from bridge.importing import constant_ints, ints
from bridge.needs import condition
from bridge.ops import Need, OpTable

T = ir.DataType
FAR = 2**31 - 1


def get(node: Any, name: str) -> Any:
    """The attribute of a TensorFlow node."""
    return node.get(name)


def _never(node: Any) -> bool:
    return False


def never(text: str) -> Need:
    """What no node has: the reason an operator is refused."""
    return Need(text, _never)


def readable(table: OpTable) -> set[str]:
    """Operators with a rule that takes some nodes."""
    return {rule.op for rule in table if not any(n.holds is _never for n in rule.needs)}


def ranked(index: int = 0) -> Need:
    """Input `index` has a known rank."""
    return condition(f"input {index} of known rank", lambda n: rank_of(input_at(n, index)) is not None)


def scalar(op: Any, value: Any) -> Any:
    """A scalar of a value of one element."""
    array = const(value)
    return op.const(array.reshape(())) if array is not None else op.Reshape(value, ints())


def channels_last(node: Any) -> bool:
    return str(node.get("data_format", "NHWC")).endswith("C")


def parts(value: Any, depth: int = 8) -> list[int | None] | None:
    """The elements of a vector of integers, None for those known at run time alone; None when not even their
    number is known."""
    whole = value.dtype is not None and value.dtype.is_integer()
    known = constant_ints(value) if whole else None
    if known is not None:
        return list(known)
    size = shape_of(value)
    maker = value.producer()
    unknown: list[int | None] | None = None
    if size is not None and len(size) < 2:
        unknown = [None] * (size[0] if size else 1)
    if maker is None or depth == 0 or not whole:
        return unknown
    if maker.op_type == "Concat":
        pieces = [parts(v, depth - 1) for v in maker.inputs]
        return None if None in pieces else [d for p in pieces for d in p or ()]
    if maker.op_type in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"):
        elements = parts(maker.inputs[0], depth - 1)
        return elements if unknown is None or elements is None or len(elements) == len(unknown) else unknown
    if maker.op_type == "Shape" and not maker.attributes and maker.inputs[0].shape is not None:
        return [d if isinstance(d, int) else None for d in maker.inputs[0].shape]
    return unknown


def reshaped(op: Any, x: Any, shape: Any) -> Any:
    """`x` in the lengths of an int64 vector; what is known of them is known of the result."""
    made = op.Reshape(x, shape, allowzero=1 if 0 in (parts(shape) or []) else None)
    known = parts(shape)
    if known is not None:
        own = made.shape if made.shape is not None and len(made.shape) == len(known) else [None] * len(known)
        made.shape = ir.Shape([d if d is not None and d >= 0 else o for d, o in zip(known, own, strict=True)])
    return made
