"""Scaled dot product attention."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, IOS18

ops = OpTable()


@ops.op(
    "Attention",
    since=IOS18,
    needs=(
        FLOAT,
        condition(
            "queries, keys and values of rank 4, as many heads of each, and no more than a constant mask",
            lambda n: plain_attention(n),
        ),
    ),
)
def attention(mil, node, query, key, value, mask=None):
    return mil.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=mask)


def _every_row(mask: np.ndarray | None) -> bool:
    """A constant mask that leaves something in every row: where nothing is left the hub answers 0, Core ML
    not a number."""
    if mask is None:
        return False
    left = mask if mask.dtype == bool else np.isfinite(mask)
    return bool(left.any(axis=-1).all())


def plain_attention(node: ir.Node) -> bool:
    shapes = [list(v.shape or ()) for v in list(node.inputs)[:3]]
    if any(len(s) != 4 for s in shapes) or any(v is not None for v in list(node.inputs)[4:]):
        return False
    size, heads = shapes[0][3], [s[1] for s in shapes]
    scale = attr(node, "scale")
    plain = isinstance(size, int) and (not scale or np.isclose(scale, 1 / np.sqrt(size), rtol=1e-6))
    alike = all(isinstance(h, int) and h == heads[0] for h in heads)
    extra = ("is_causal", "softcap", "softmax_precision", "qk_matmul_output_mode")
    windows = all(attr(node, n) == -1 for n in ("left_window_size", "right_window_size"))
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    masked = mask is None or _every_row(const(mask))
    used = [o for o in list(node.outputs)[1:] if o.name and (o.uses() or o.is_graph_output())]
    return plain and alike and windows and masked and not used and not any(attr(node, n) for n in extra)
