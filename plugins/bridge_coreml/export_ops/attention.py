"""Scaled dot product attention."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at
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
            lambda n: is_supported_attention(n),
        ),
    ),
)
def attention(mil, node, query, key, value, mask=None):
    return mil.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=mask)


def has_unmasked_rows(mask: np.ndarray | None) -> bool:
    """True if a constant mask allows at least one key in every row. For a row without keys ONNX gives 0, Core
    ML NaN."""
    if mask is None:
        return False
    allowed = mask if mask.dtype == bool else np.isfinite(mask)
    return bool(allowed.any(axis=-1).all())


def is_supported_attention(node: ir.Node) -> bool:
    shapes = [list(v.shape or ()) for v in list(node.inputs)[:3]]
    if any(len(s) != 4 for s in shapes) or any(v is not None for v in list(node.inputs)[4:]):
        return False
    head_size, heads = shapes[0][3], [s[1] for s in shapes]
    scale = attr(node, "scale")
    default_scale = isinstance(head_size, int) and (
        not scale or np.isclose(scale, 1 / np.sqrt(head_size), rtol=1e-6)
    )
    same_heads = all(isinstance(h, int) and h == heads[0] for h in heads)
    unsupported = ("is_causal", "softcap", "softmax_precision", "qk_matmul_output_mode")
    no_windows = all(attr(node, n) == -1 for n in ("left_window_size", "right_window_size"))
    mask = input_at(node, 3)
    supported_mask = mask is None or has_unmasked_rows(const(mask))
    used_outputs = [o for o in list(node.outputs)[1:] if o.name and (o.uses() or o.is_graph_output())]
    return (
        default_scale
        and same_heads
        and no_windows
        and supported_mask
        and not used_outputs
        and not any(attr(node, n) for n in unsupported)
    )
