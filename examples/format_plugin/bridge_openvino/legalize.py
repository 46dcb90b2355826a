"""Hub → what OpenVINO holds: the visible list of passes."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.sequences import ResolveSequences
from bridge.passes.widen import ComputeWider
from bridge_openvino.export_ops import ops


def takes(node: ir.Node) -> bool:
    return ops.find(hub.qualified(node), node) is not None


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: sequences as tensors; dtypes OpenVINO's CPU computes; operators it lacks; what became constant."""
    return [ResolveSequences(), ComputeWider(takes), Decompose(takes), FoldConstants()]
