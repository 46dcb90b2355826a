"""The values of a model that are quantized, and those of them that share their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bridge.hub import const, held, rank_of, shape_of
from bridge.quant import QuantParams, limits
from bridge.quantize.ranges import Observed, joined, range_of
from bridge.quantize.schemes import Holding, Scheme
from bridge.quantize.weights import LAYERS
from bridge.traits import MOVES_DATA, is_a

__all__ = ["Plan", "data_inputs", "is_ranked", "moves", "plan", "range_params"]

SHARED = 0.8
"""An input of a joint scale spans this part of the widest one, at least."""
SPAN = 1e6
"""A value with greater numbers, such as a mask, is no matter of 256 steps."""
FEW_STEPS = 16
ALL_INPUTS = frozenset(["Add", "Concat", "Div", "Max", "MatMul", "Mean", "Min", "Mul", "Sub", "Sum"])
SECOND_TOO = LAYERS | {"PRelu"}


def data_inputs(node: ir.Node) -> list[int]:
    """The places of the inputs of a node that its kernel reads as quantized numbers; not that of a bias."""
    if node.op_type in ALL_INPUTS:
        return [i for i, v in enumerate(node.inputs) if v is not None]
    if node.op_type == "Where":
        return [1, 2]
    return [0, 1] if node.op_type in SECOND_TOO else [0]


@dataclass
class Plan:
    """The kernels of integers that a model gets: `kernels` are the nodes, `inner` values within a kernel,
    which nobody quantizes, `params` the parameters of each value that is quantized."""

    kernels: dict[ir.Node, None] = field(default_factory=dict)
    inner: set[ir.Value] = field(default_factory=set)
    params: dict[ir.Value, QuantParams] = field(default_factory=dict)
    dropped: set[ir.Node] = field(default_factory=set)

    def reads(self, node: ir.Node) -> Iterable[tuple[int, ir.Value]]:
        """(place, value) of the data that a kernel reads from outside of it; not of a bias."""
        if any(v in self.inner for v in node.inputs if v is not None):
            return
        for index in data_inputs(node):
            value = node.inputs[index]
            if value is not None:
                yield index, value

    def results(self) -> Iterable[ir.Value]:
        """The values that kernels give."""
        return (v for node in self.kernels for v in node.outputs if v not in self.inner)


def plan(
    graph: ir.Graph,
    holding: Holding,
    scheme: Scheme,
    ranges: Mapping[ir.Value, Observed],
    kept: set[ir.Node],
    method: str,
) -> Plan:
    """The kernels of a graph, in its order: those the target has, but for what is `kept` in float; what moves
    elements between them; and parameters for all that they read and give."""
    found = Plan()
    for node in graph:
        if node not in kept and _is_kernel(node, holding, scheme, ranges):
            found.kernels[node] = None
    _fuse(found, holding)
    _follow(graph, found, holding, scheme, ranges, kept)
    found.kernels = {node: None for node in graph if node in found.kernels}
    _leave_floats(found, holding)
    _set_params(found, holding, scheme, ranges, method)
    return found


def _is_kernel(node: ir.Node, holding: Holding, scheme: Scheme, ranges: Mapping[ir.Value, Observed]) -> bool:
    """True if the target has a kernel of integers for a node, and its numbers are fit for it."""
    known = not node.domain and node.op_type in holding.kernels and holding.takes(node)
    return known and _is_bearable(node, ranges) and _fills(node, holding, scheme, ranges)


def _is_bearable(node: ir.Node, ranges: Mapping[ir.Value, Observed]) -> bool:
    """True if all data of a node is float32, finite, and of a size that steps can hold."""
    values = [node.inputs[i] for i in data_inputs(node)] + list(node.outputs)
    return all(v is not None and _is_data(v, ranges) for v in values)


def _fills(node: ir.Node, holding: Holding, scheme: Scheme, ranges: Mapping[ir.Value, Observed]) -> bool:
    """True unless the results of a kernel of a fixed scale are all within a few steps of it, or what is
    joined to one scale has parts that are."""
    assert scheme.activations is not None
    if node.op_type == "Concat":
        spans = [_span(v, ranges) for v in node.inputs if v is not None]
        steps = limits(scheme.activations)[1] - limits(scheme.activations)[0]
        return min(spans) >= FEW_STEPS / steps * max(spans)
    fixed = holding.fixed_params(node, scheme.activations)
    if fixed is None:
        return True
    seen = ranges[node.outputs[0]]
    return max(-seen.low, seen.high) >= FEW_STEPS * float(fixed.scale)


def _span(value: ir.Value, ranges: Mapping[ir.Value, Observed]) -> float:
    """The distance from the least to the greatest number of a value, 0 among them."""
    array = const(value)
    if array is not None:
        return float(max(array.max(initial=0), 0) - min(array.min(initial=0), 0))
    return ranges[value].high - ranges[value].low


def _is_data(value: ir.Value, ranges: Mapping[ir.Value, Observed]) -> bool:
    if value.dtype != ir.DataType.FLOAT:
        return False
    if held(value) is not None:
        array = const(value)
        return array is not None and array.size > 0 and bool((np.abs(array) < SPAN).all())
    seen = ranges.get(value)
    return seen is not None and not seen.broken and max(-seen.low, seen.high) < SPAN


def _fuse(found: Plan, holding: Holding) -> None:
    """Values between a layer, the constant bias added to its result, and an activation are none of the
    graph's."""
    for node in found.kernels:
        if node.op_type not in holding.hosts:
            continue
        value = node.outputs[0]
        uses = value.uses()
        if len(uses) != 1 or value.is_graph_output():
            continue
        reader = next(iter(uses)).node
        activates = reader.op_type in holding.fused and reader.inputs[0] is value
        if reader in found.kernels and (activates or adds_bias(node, reader)):
            found.inner.add(value)


def adds_bias(node: ir.Node, reader: ir.Node) -> bool:
    """True if `reader` adds a constant to each column of a product by constant weights of two dimensions."""
    if node.op_type != "MatMul" or reader.op_type != "Add" or held(node.inputs[1]) is None:
        return False
    weights = shape_of(node.inputs[1])
    bias = held(reader.inputs[1] if reader.inputs[0] is node.outputs[0] else reader.inputs[0])
    if bias is None or weights is None or len(weights) != 2:
        return False
    return bias.size == weights[1] == bias.shape[-1] and len(bias.shape) <= (rank_of(reader.outputs[0]) or 0)


def looks_up(node: ir.Node) -> bool:
    """True for a Gather of the rows of a constant table."""
    return node.op_type == "Gather" and not node.domain and held(node.inputs[0]) is not None


def moves(node: ir.Node, holding: Holding) -> bool:
    """True for a kernel whose results have the parameters of its inputs."""
    return node.op_type in holding.kernels and is_a(node, MOVES_DATA - holding.free, holding.equal)


def _follow(
    graph: ir.Graph,
    found: Plan,
    holding: Holding,
    scheme: Scheme,
    ranges: Mapping[ir.Value, Observed],
    kept: set[ir.Node],
) -> None:
    """A node that moves elements is a kernel where it reads integers, or where all that reads it does."""
    movers = {n for n in graph if moves(n, holding)}
    for node in movers & found.kernels.keys():
        del found.kernels[node]
    open_movers = {n for n in movers - kept if _is_kernel(n, holding, scheme, ranges)}
    made = set(found.results())
    for node in graph:
        reads = [v for _, v in found.reads(node)] if node in open_movers else []
        known = all(v in made or held(v) is not None for v in reads)
        if reads and known and (looks_up(node) or any(v in made for v in reads)):
            found.kernels[node] = None
            made.update(node.outputs)
    for node in reversed(list(graph)):
        if node in open_movers and all(_is_read(v, found) for v in node.outputs):
            found.kernels[node] = None


def _leave_floats(found: Plan, holding: Holding) -> None:
    """Results that no kernel reads stay floats, where the product that gives them may give floats. What moves
    elements to no kernel is none itself; nor is simple arithmetic of which a result is read as floats: it
    would be rounded for nothing."""
    if not holding.floats:
        return
    for node in reversed(found.kernels):
        if looks_up(node) or node.outputs[0] in found.inner:
            continue
        chain = _chain(node, found)
        if not any(_is_read_by_kernel(v, found) for v in node.outputs):
            if moves(node, holding):
                found.dropped.add(node)
            elif chain[-1].op_type in holding.floats:
                found.inner.update(node.outputs)
        is_simple = chain[-1].op_type not in LAYERS and not moves(node, holding)
        if is_simple and not all(_is_read(v, found) for v in node.outputs):
            found.dropped.update(chain)
    for node in found.dropped:
        del found.kernels[node]
        found.inner.difference_update(node.outputs)


def _chain(node: ir.Node, found: Plan) -> list[ir.Node]:
    """The nodes of the kernel that ends with a node, from there up."""
    chain = [node]
    while above := next((v for v in chain[-1].inputs if v is not None and v in found.inner), None):
        chain.append(above.producer())  # type: ignore[arg-type]
    return chain


def _is_read_by_kernel(value: ir.Value, found: Plan) -> bool:
    kernels = (use.node for use in value.uses() if use.idx in data_inputs(use.node))
    return any(node in found.kernels and node not in found.dropped for node in kernels)


def _is_read(value: ir.Value, found: Plan) -> bool:
    uses = value.uses()
    return (
        bool(uses)
        and not value.is_graph_output()
        and all(
            u.node in found.kernels and u.node not in found.dropped and u.idx in data_inputs(u.node)
            for u in uses
        )
    )


class Groups:
    """Values that share their parameters."""

    def __init__(self) -> None:
        self.above: dict[ir.Value, ir.Value] = {}
        self.fixed: dict[ir.Value, QuantParams] = {}

    def find(self, value: ir.Value) -> ir.Value:
        while (above := self.above.get(value, value)) is not value:
            self.above[value] = self.above.get(above, above)
            value = above
        return value

    def join(self, one: ir.Value, other: ir.Value) -> None:
        """Make two values one group; not where the parameters of both are fixed to different ones."""
        first, second = self.find(one), self.find(other)
        a, b = self.fixed.get(first), self.fixed.get(second)
        if first is second or (a is not None and b is not None and a != b):
            return
        self.above[second] = first
        if b is not None:
            self.fixed[first] = b

    def is_fixed(self, value: ir.Value) -> bool:
        return self.find(value) in self.fixed


def _set_params(
    found: Plan, holding: Holding, scheme: Scheme, ranges: Mapping[ir.Value, Observed], method: str
) -> None:
    assert scheme.activations is not None
    groups = Groups()
    values: dict[ir.Value, None] = {}
    for node in found.kernels:
        fixed = _of_table(node, scheme) or holding.fixed_params(node, scheme.activations)
        for value in node.outputs:
            if value not in found.inner:
                values[value] = None
                if fixed is not None:
                    groups.fixed[groups.find(value)] = fixed
        values.update((v, None) for _, v in found.reads(node) if held(v) is None)
    for node in found.kernels:
        if moves(node, holding):
            _share(node, found, groups, ranges)
    members: dict[ir.Value, list[ir.Value]] = {}
    for value in values:
        members.setdefault(groups.find(value), []).append(value)
    for root, group in members.items():
        params = groups.fixed.get(root)
        if params is None:
            params = _params_of([ranges[v] for v in group], scheme.activations, method)
        found.params.update((v, params) for v in group)


def _of_table(node: ir.Node, scheme: Scheme) -> QuantParams | None:
    """The parameters that a table is stored with, which are those of the rows that are picked."""
    array = const(node.inputs[0]) if looks_up(node) else None
    assert scheme.activations is not None
    if array is None:
        return None
    return range_params(float(array.min()), float(array.max()), scheme.activations)


def _share(node: ir.Node, found: Plan, groups: Groups, ranges: Mapping[ir.Value, Observed]) -> None:
    """One group of what a node reads and gives. Where several inputs meet, those of fixed parameters, and
    those much narrower than the widest, stay by themselves, and are requantized."""
    reads = [v for _, v in found.reads(node) if held(v) is None]
    widest = max((_span(v, ranges) for v in reads), default=0.0)
    for value in reads:
        wide = not groups.is_fixed(value) and _span(value, ranges) > widest * SHARED
        if len(reads) == 1 or wide:
            groups.join(value, node.outputs[0])
    for value in node.outputs[1:]:
        groups.join(node.outputs[0], value)


def _params_of(seen: list[Observed], dtype: ir.DataType, method: str) -> QuantParams:
    """The parameters for the range of all that was seen."""
    lowest, highest = limits(dtype)
    levels = int(highest - lowest) + 1
    return range_params(*range_of(joined(seen), method, levels, dtype == ir.DataType.INT16), dtype)


def range_params(low: float, high: float, dtype: ir.DataType) -> QuantParams:
    """Parameters per tensor that hold the numbers from `low` to `high`, and 0 exactly: about zero for int16,
    with a zero point for int8 and uint8."""
    lowest, highest = (int(n) for n in limits(dtype))
    low, high = min(low, 0.0), max(high, 0.0)
    if dtype == ir.DataType.INT16:
        return QuantParams.of(_step(max(-low, high) / highest), 0, dtype)
    scale = _step((high - low) / (highest - lowest))
    zero = int(np.clip(np.rint(lowest - low / float(scale)), lowest, highest))
    return QuantParams.of(scale, zero, dtype)


def _step(size: float) -> np.float32:
    """A scale that can be divided by; 1 for a value that is always zero."""
    return np.float32(size if size > np.finfo(np.float32).tiny * 2**10 else 1.0)


def is_ranked(node: ir.Node, most: int) -> bool:
    """True if all data of a node has a known rank, `most` at most."""
    ranks = [rank_of(node.inputs[i]) for i in data_inputs(node)]
    return all(r is not None and r <= most for r in ranks)
