"""Values of a hub model while it runs in ONNX Runtime, a sample at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.quantize.ranges import Observed
from bridge.runtime import HubSession

__all__ = ["Watched", "observed"]


class Watched:
    """A hub model with values of its graph among its outputs. The model is left as it was."""

    def __init__(self, model: ir.Model, names: Iterable[str]) -> None:
        clone = model.clone()
        self.names = list(dict.fromkeys(names))
        given = {v.name for v in clone.graph.outputs} | {v.name for v in clone.graph.inputs}
        values = {v.name: v for node in clone.graph for v in node.outputs}
        clone.graph.outputs.extend(values[name] for name in self.names if name not in given)
        self._session = HubSession(clone)

    def run(self, row: dict[str, Any]) -> dict[str, Any]:
        """The values by name, among them inputs. Raises ExecutionFailed."""
        return {**row, **self._session.run(row)}


def observed(model: ir.Model, rows: Iterable[dict[str, Any]]) -> dict[ir.Value, Observed]:
    """The numbers of every float32 value of a model's graph on these samples. Raises ExecutionFailed."""
    values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
    floats = {v.name or "": v for v in values if v.dtype == ir.DataType.FLOAT}
    found = {v: Observed() for v in floats.values()}
    watched = Watched(model, floats)
    for row in rows:
        for name, array in watched.run(row).items():
            if name in floats and isinstance(array, np.ndarray):
                found[floats[name]].add(array)
    return found
