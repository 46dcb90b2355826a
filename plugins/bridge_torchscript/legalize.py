"""Legalization: hub → dtypes that torch's kernels compute, and operators that it has."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.widen import ComputeWider
from bridge_torchscript.export_ops import ops


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: compute in torch's dtypes; decompose missing operators; fold constants."""
    return [ComputeWider(takes), Decompose(takes), FoldConstants()]


def takes(node: ir.Node) -> bool:
    return ops.find(hub.qualified(node), node) is not None
