"""Records at which what a model computes for its trees crosses their thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from bridge.classical.splits import Splits
from bridge.passes.opset.down import for_runtime
from bridge.runtime import OnnxRuntimeSession

ROUNDS = 60
Table = dict[str, np.ndarray]


def crossing_records(model: ir.Model, tests: list[Splits], likely: Table, most: int) -> Iterator[Table]:
    """Records on thresholds of columns that other operators make, and a unit in the last place of a float32
    to either side: by bisection between two likely records that a threshold parts, along their numbers."""
    inputs = {v.name for v in model.graph.inputs}
    met: dict[ir.Value, list[np.ndarray]] = {}
    for each in tests:
        computed = np.array([name not in inputs for name, _ in each.places], bool)[each.place]
        if computed.any():
            pairs = np.stack([each.feature[computed], each.threshold[computed]], axis=1)
            met.setdefault(each.x, []).append(pairs)
    for x, found in met.items():
        pairs = np.unique(np.concatenate(found), axis=0)
        pairs = pairs[np.linspace(0, len(pairs) - 1, min(most, len(pairs))).astype(int)]
        crossed = _crossed(_prefix(model, x), pairs[:, 0].astype(int), pairs[:, 1], likely)
        if crossed is not None:
            yield crossed


def _prefix(model: ir.Model, x: ir.Value) -> OnnxRuntimeSession:
    """The model up to a value, as its first output."""
    copy = model.clone()
    position = next((i, j) for i, n in enumerate(model.graph) for j, v in enumerate(n.inputs) if v is x)
    value = list(copy.graph)[position[0]].inputs[position[1]]
    assert value is not None
    copy.graph.outputs[:] = [value]
    return OnnxRuntimeSession(ir.to_proto(for_runtime(copy)).SerializeToString())


def _crossed(
    session: OnnxRuntimeSession, features: np.ndarray, bounds: np.ndarray, likely: Table
) -> Table | None:
    prepared = _run(session, likely)
    low, high = _parted(prepared, features, bounds)
    found = np.flatnonzero((low >= 0) & (high >= 0))
    if not len(found):
        return None
    features, bounds, low, high = features[found], bounds[found], low[found], high[found]

    def along(share: np.ndarray) -> Table:
        return {n: _mixed(v[low], v[high], share) for n, v in likely.items()}

    def reached(share: np.ndarray) -> np.ndarray:
        return _run(session, along(share))[np.arange(len(share)), features]

    below, above = np.zeros(len(found)), np.ones(len(found))
    span = np.abs(prepared[high, features] - prepared[low, features])
    for _ in range(ROUNDS):
        middle = (below + above) / 2
        under = reached(middle) <= bounds
        below, above = np.where(under, middle, below), np.where(under, above, middle)
    unit = np.spacing(np.abs(bounds).astype(np.float32)).astype(np.float64) / np.where(span, span, 1.0)
    parts = [along(np.clip(below + steps * unit, 0.0, 1.0)) for steps in (-1.5, -0.5, 0.5)]
    return {n: np.concatenate([p[n] for p in parts]) for n in likely}


def _parted(prepared: np.ndarray, features: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each threshold a record below and one above it, -1 where there is none."""
    low, high = np.full(len(features), -1), np.full(len(features), -1)
    for index, (feature, bound) in enumerate(zip(features, bounds, strict=True)):
        under = prepared[:, feature] <= bound
        if under.any() and not under.all():
            low[index], high[index] = np.argmax(under), np.argmin(under)
    return low, high


def _mixed(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Numbers a share of the way from one record to another; other values stay."""
    if low.dtype.kind != "f":
        return low
    share = share.reshape(-1, *[1] * (low.ndim - 1))
    return (low.astype(np.float64) * (1 - share) + high.astype(np.float64) * share).astype(low.dtype)


def _run(session: OnnxRuntimeSession, table: Table) -> np.ndarray:
    return np.asarray(next(iter(session.run(table).values())), np.float64)
