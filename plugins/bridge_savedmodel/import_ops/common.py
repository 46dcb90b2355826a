"""Conditions, shapes, weights and data_format of TensorFlow nodes, as handlers of several families need
them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of, shape_of
from bridge.ops import Need, OpTable
from bridge.passes.channels_last import to_first, to_last

T = ir.DataType
FAR = 2**31 - 1


def get(node: Any, name: str) -> Any:
    """The attribute of a TensorFlow node."""
    return node.get(name)


def condition(text: str, holds: Any) -> Need:
    return Need(text, holds)


def _no_node(node: Any) -> bool:
    return False


def unsupported(text: str) -> Need:
    """A condition that no node fulfils; its text is the reason for the refusal."""
    return Need(text, _no_node)


def readable(table: OpTable) -> set[str]:
    """Operators with a rule that imports some nodes."""
    return {rule.op for rule in table if not any(n.holds is _no_node for n in rule.needs)}


def _input(node: Any, index: int) -> Any:
    return node.inputs[index] if index < len(node.inputs) else None


def constant(index: int, name: str) -> Need:
    """Input `index`, called `name`, is known before run time."""
    return condition(
        f"a constant {name}", lambda n: _input(n, index) is None or const(_input(n, index)) is not None
    )


def known_rank(index: int = 0) -> Need:
    """Input `index` has a known rank."""
    return condition(f"input {index} of known rank", lambda n: rank_of(_input(n, index)) is not None)


def attribute(name: str, *allowed: Any) -> Need:
    """An attribute is absent, or one of `allowed`."""
    words = " or ".join(str(a) for a in allowed)
    return condition(f"{name}={words}", lambda n: n.get(name, allowed[0]) in allowed)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def constant_ints(value: Any) -> list[int] | None:
    """A constant as a list of ints."""
    array = const(value)
    return None if array is None else [int(v) for v in array.ravel()]


def as_int64(op: Any, value: Any) -> Any:
    """A shape, axis or index tensor in int64."""
    array = const(value)
    if array is not None:
        return op.const(array.astype(np.int64))
    return value if value.dtype == T.INT64 else op.Cast(value, to=int(T.INT64))


def as_dtype(op: Any, value: Any, dtype: ir.DataType) -> Any:
    """`value` in `dtype`."""
    array = const(value)
    if array is not None:
        return op.const(array.astype(dtype.numpy()))
    return value if value.dtype == dtype else op.Cast(value, to=int(dtype))


def int64_vector(op: Any, value: Any) -> Any:
    """An int64 vector of a scalar or vector."""
    known = const(value)
    if known is not None:
        return op.const(known.astype(np.int64).reshape(-1))
    return op.Reshape(as_int64(op, value), ints(-1))


def as_scalar(op: Any, value: Any) -> Any:
    """A value of one element as a scalar."""
    array = const(value)
    return op.const(array.reshape(())) if array is not None else op.Reshape(value, ints())


def like(op: Any, x: Any, number: float) -> Any:
    """A scalar of the dtype of `x`."""
    return op.const(np.array(number).astype(x.dtype.numpy()))


def to_channels_first(op: Any, x: Any) -> Any:
    """Channels last → channels first."""
    return op.Transpose(x, perm=to_first(len(x.shape)))


def to_channels_last(op: Any, x: Any) -> Any:
    """Channels first → channels last."""
    return op.Transpose(x, perm=to_last(len(x.shape)))


def channels_last(node: Any) -> bool:
    return str(node.get("data_format", "NHWC")).endswith("C")


def permuted(op: Any, w: Any, perm: list[int]) -> Any:
    """Weights with their axes in another order; stored ones are reordered now."""
    array = const(w)
    if array is not None:
        return op.const(np.ascontiguousarray(array.transpose(perm)))
    return op.Transpose(w, perm=perm)


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


def shape_tensor(op: Any, x: Any, dtype: ir.DataType = T.INT64) -> Any:
    """The shape of `x`, constant where it is static."""
    size = shape_of(x)
    if size is not None:
        return op.const(np.array(size, dtype.numpy()))
    made = op.Shape(x)
    return made if dtype == T.INT64 else op.Cast(made, to=int(dtype))


def reshape_to(op: Any, x: Any, shape: Any) -> Any:
    """`x` reshaped to an int64 vector of lengths; known lengths become its static shape."""
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


def window_padding(node: Any) -> dict[str, Any]:
    """The padding of a window as ONNX attributes."""
    if node.get("padding") == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if node.get("padding") == "EXPLICIT":
        paddings = node.get("explicit_paddings")
        pairs = list(zip(paddings[::2], paddings[1::2], strict=True))
        pairs = pairs[1:-1] if channels_last(node) else pairs[2:]
        return {"pads": [p[0] for p in pairs] + [p[1] for p in pairs]}
    return {}


def from_data_format(op: Any, node: Any, x: Any) -> Any:
    """`x` with channels first, from the node's data_format."""
    return to_channels_first(op, x) if channels_last(node) else x


def to_data_format(op: Any, node: Any, y: Any) -> Any:
    """`y`, which has channels first, in the node's data_format."""
    return to_channels_last(op, y) if channels_last(node) else y
