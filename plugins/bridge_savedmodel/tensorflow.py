"""TensorFlow without its log lines, and the dtypes its CPU kernels take."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir

from bridge.hub import input_at, rank_of
from bridge.ops import Need

DOMAIN = "bridge.savedmodel"
"""The domain of TensorFlow operators in a hub model that is legalized for writing."""
FILES = ("saved_model.pb", "saved_model.pbtxt")
TYPES = {
    ir.DataType.FLOAT: "DT_FLOAT",
    ir.DataType.DOUBLE: "DT_DOUBLE",
    ir.DataType.FLOAT16: "DT_HALF",
    ir.DataType.BFLOAT16: "DT_BFLOAT16",
    ir.DataType.BOOL: "DT_BOOL",
    ir.DataType.STRING: "DT_STRING",
    ir.DataType.INT4: "DT_INT4",
    ir.DataType.INT8: "DT_INT8",
    ir.DataType.INT16: "DT_INT16",
    ir.DataType.INT32: "DT_INT32",
    ir.DataType.INT64: "DT_INT64",
    ir.DataType.UINT4: "DT_UINT4",
    ir.DataType.UINT8: "DT_UINT8",
    ir.DataType.UINT16: "DT_UINT16",
    ir.DataType.UINT32: "DT_UINT32",
    ir.DataType.UINT64: "DT_UINT64",
    ir.DataType.FLOAT8E4M3FN: "DT_FLOAT8_E4M3FN",
    ir.DataType.FLOAT8E5M2: "DT_FLOAT8_E5M2",
}

_IMPORTING = threading.Lock()


@functools.cache
def tensorflow() -> Any:
    """The module, imported in silence. Raises ModuleNotFoundError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _IMPORTING:
        if "tensorflow" in sys.modules:
            import tensorflow as tf
        else:
            with _silence():
                import tensorflow as tf
            tf.get_logger().setLevel("ERROR")
    return tf


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what C++ code writes to the standard error stream before logging is set up."""
    try:
        stream = os.dup(2)
    except OSError:
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(stream, 2)
        os.close(stream)
        os.close(sink)


def dtype_of(dtype: ir.DataType) -> Any:
    """TensorFlow's dtype."""
    from tensorflow.core.framework import types_pb2

    return tensorflow().dtypes.as_dtype(types_pb2.DataType.Value(TYPES[dtype]))


@functools.cache
def _cpu_kernels(operator: str) -> tuple[dict[str, frozenset[str]], ...]:
    """The type attributes each CPU kernel of `operator` is registered for."""
    tensorflow()
    from tensorflow.core.framework import types_pb2
    from tensorflow.python.framework import kernels

    constraints = []
    for kernel in kernels.get_registered_kernels_for_op(operator).kernel:
        if kernel.device_type == "CPU":
            constraints.append(
                {
                    c.name: frozenset(types_pb2.DataType.Name(t) for t in c.allowed_values.list.type)
                    for c in kernel.constraint
                    if c.allowed_values.list.type
                }
            )
    return tuple(constraints)


@functools.cache
def _input_types(operator: str) -> tuple[str, ...]:
    """The type attribute of each input of `operator`."""
    tensorflow()
    from tensorflow.python.framework import op_def_registry

    return tuple(arg.type_attr for arg in op_def_registry.get(operator).input_arg)


def has_kernel(operator: str, types: dict[str, Any]) -> bool:
    """True if a CPU kernel of `operator` takes these hub dtypes, by type attribute."""
    names = {name: TYPES.get(dtype) for name, dtype in types.items()}
    return None not in names.values() and any(
        all(names[name] in allowed for name, allowed in kernel.items() if name in names)
        for kernel in _cpu_kernels(operator)
    )


def cpu_kernel(operator: str, **attributes: int) -> Need:
    """The condition that a CPU kernel of `operator` takes the dtypes of a node's inputs.

    `attributes` map each type attribute to the input whose dtype it is; without them the node's inputs are
    the operator's.
    """

    def has_inputs_of_kernel(node: ir.Node) -> bool:
        pairs = list(attributes.items()) or [(name, i) for i, name in enumerate(_input_types(operator))]
        types: dict[str, Any] = {}
        for name, index in pairs:
            value = input_at(node, index)
            if value is not None and name and types.setdefault(name, value.dtype) != value.dtype:
                return False
        return has_kernel(operator, types)

    return Need(f"a dtype TensorFlow has a CPU kernel of {operator} for", has_inputs_of_kernel)


GROUPS = 5
"""Runs of axes that kernels tell apart when they broadcast: those along which one operand, the other, or none
has a single element."""


def max_dimensions(limit: int) -> Need:
    """No input has more dimensions than `limit`, as far as that is known."""
    return Need(
        f"inputs of {limit} dimensions at most", lambda n: all((rank_of(v) or 0) <= limit for v in n.inputs)
    )


def _broadcasts_in_few_groups(node: ir.Node) -> bool:
    operands = node.inputs[:1] if node.op_type == "Expand" else node.inputs
    values = [v for v in (*operands, *node.outputs) if v is not None]
    shapes: list[list[Any]] = [list(v.shape) for v in values if v.shape is not None]
    longest = max(map(len, shapes), default=0)
    axes = zip(*([1] * (longest - len(s)) + s for s in shapes), strict=True)
    kinds = (tuple(n == 1 for n in axis) for axis in axes)
    return sum(1 for _ in itertools.groupby(kind for kind in kinds if not all(kind))) <= GROUPS


FEW_GROUPS = Need(f"operands that broadcast over {GROUPS} runs of axes at most", _broadcasts_in_few_groups)
