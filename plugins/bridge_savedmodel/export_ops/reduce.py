"""Reductions, cumulative sums, and indices of extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_savedmodel.export_ops.common import RANKED, REAL, axis_of
from bridge_savedmodel.tensorflow import cpu_kernel, max_dimensions

ops = OpTable()


def _axes_input(node: ir.Node) -> ir.Value | None:
    return input_at(node, 1)


def _has_known_axes(node: ir.Node) -> bool:
    axes = _axes_input(node)
    return axes is None or shape_of(axes) is not None


def axes_of(node: ir.Node) -> Any:
    """Axes as an array or a hub value; None if nothing is reduced. Constant axes are int32, because gradients
    of TensorFlow 2.16 take no other dtype."""
    axes = _axes_input(node)
    if axes is None or shape_of(axes) == [0]:
        return (
            None if attr(node, "noop_with_empty_axes") else np.arange(rank_of(node.inputs[0]), dtype=np.int32)
        )
    known = const(axes)
    return axes if known is None else known.astype(np.int32)


def _add_reduction(hub_name: str, native: str, *kinds: str) -> None:
    needs = (RANKED, condition("a known number of axes", _has_known_axes), cpu_kernel(native, T=0))

    @ops.op(hub_name, needs=(*needs, dtype(*kinds)) if kinds else needs)
    def reduce(tf, node, x, axes=None):
        axes = axes_of(node)
        return (
            tf.Identity(x)
            if axes is None
            else tf.call(native, x, axes, keep_dims=bool(attr(node, "keepdims")))
        )


_add_reduction("ReduceSum", "Sum")
_add_reduction("ReduceMean", "Mean", *REAL)
_add_reduction("ReduceProd", "Prod")
_add_reduction("ReduceMax", "Max")
_add_reduction("ReduceMin", "Min")
_add_reduction("ReduceMax", "Any", "bool")
_add_reduction("ReduceMin", "All", "bool")


@ops.op(
    "ArgMax",
    "ArgMin",
    needs=(RANKED, max_dimensions(7), cpu_kernel("ArgMax", T=0), attribute("select_last_index", 0)),
)
def arg_max(tf, node, x):
    axis = axis_of(node)
    indices = tf.call(node.op_type, x, np.int64(axis), output_type=tf.api.int64)
    return tf.ExpandDims(indices, axis) if attr(node, "keepdims") else indices


@ops.op("CumSum", "CumProd", needs=(cpu_kernel("Cumsum", T=0),))
def cum_sum_or_prod(tf, node, x, axis):
    flags = {name: bool(attr(node, name)) for name in ("exclusive", "reverse")}
    native = "Cumsum" if node.op_type == "CumSum" else "Cumprod"
    return tf.call(native, x, tf.Reshape(axis, np.zeros(0, np.int32)), **flags)
