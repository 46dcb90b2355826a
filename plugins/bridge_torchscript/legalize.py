"""Hub → what TorchScript holds: dtypes torch's kernels compute, and operators it lacks spelled out."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.widen import ComputeWider
from bridge_torchscript.export_ops import ops


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: operators in the dtypes torch computes; what it lacks spelled out; what became constant."""
    return [ComputeWider(takes), Decompose(takes), FoldConstants()]


def takes(node: ir.Node) -> bool:
    return ops.find(hub.qualified(node), node) is not None
