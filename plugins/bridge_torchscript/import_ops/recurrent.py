"""Recurrent layers and cells, and packed sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange
from bridge.dims import lengths as lengths_of
from bridge.hub import const
from bridge.importing import ints, like
from bridge.ops import OpTable
from bridge.recurrent import GATES, order, reorder
from bridge_torchscript.import_ops.common import T, int64_scalar, is_zero, number, rank, static_shape
from bridge_torchscript.import_ops.nn import linear
from bridge_torchscript.values import Unsupported

ops = OpTable()

SEQUENCES = "bridge.sequences"
ORDER = {"LSTM": "ifco", "GRU": "rzh", "RNN": "h"}


def _reorder_gates(op: Any, cell: str, weight: ir.Value) -> ir.Value:
    """Weight or bias with its gates in ONNX order."""
    before, after = ORDER[cell], GATES[cell]
    if before == after:
        return weight
    array = const(weight)
    if array is not None:
        return op.const(reorder(array, before, after))
    gates = op.Split(weight, axis=0, num_outputs=len(before), _outputs=len(before))
    return op.Concat(*(gates[i] for i in order(before, after)), axis=0)


@dataclass(frozen=True)
class Layers:
    """Stacked recurrent layers of one `cell` (LSTM, GRU, RNN), in one or both directions."""

    cell: str
    activation: str
    has_biases: bool
    num_layers: int
    bidirectional: bool
    batch_first: bool

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def outputs(self, op: Any, x: ir.Value, hx: Any, params: Any, lengths: ir.Value | None = None) -> Any:
        """Outputs of the last layer and final states of all layers, for `x` [step, sequence, feature].

        `params` is torch's flat list of weights, `lengths` holds the lengths of the sequences.
        """
        weights = self._weights(params)
        states = list(hx) if isinstance(hx, (list, tuple)) else [hx]
        x = op.Transpose(x, perm=[1, 0, 2]) if self.batch_first else x
        last: list[list[ir.Value]] = [[] for _ in states]
        for layer, group in enumerate(weights):
            x, *finals = self._layer(op, x, layer, group, states, lengths)
            for layer_states, value in zip(last, finals, strict=True):
                layer_states.append(value)
        x = op.Transpose(x, perm=[1, 0, 2]) if self.batch_first else x
        return (x, *(op.Concat(*v, axis=0) if len(v) > 1 else v[0] for v in last))

    def _weights(self, params: Any) -> list[list[Any]]:
        """Weights by layer and direction: input, recurrence, their biases and the projection if any."""
        each = len(params) // (self.num_layers * self.directions)
        groups = [params[i : i + each] for i in range(0, len(params), each)]
        return [groups[i : i + self.directions] for i in range(0, len(groups), self.directions)]

    def _layer(
        self,
        op: Any,
        x: ir.Value,
        layer: int,
        weights: list[Any],
        states: list[Any],
        lengths: ir.Value | None,
    ) -> list[ir.Value]:
        """Outputs [step, sequence, direction · hidden] and final states [direction, sequence, hidden].

        A projected state P·h is never seen by the cell: its recurrence W·P takes the state before it, and
        what W makes of the initial projected state comes with the input of the first step.
        """
        initial: list[Any] = [self._start(op, s, layer) for s in states]
        projections = [group[-1] for group in weights] if len(weights[0]) % 2 else []
        if projections:
            x, weights = _folded(op, x, weights, initial[0], lengths)
            initial[0] = None
        bias = op.Concat(*(self._joined(op, weights, i) for i in (2, 3)), axis=1) if self.has_biases else None
        size = static_shape(weights[0][1], "weights")[-1]
        w, r = (self._joined(op, weights, i) for i in (0, 1))
        outputs, *finals = op.node(
            self.cell,
            x,
            w,
            r,
            bias,
            lengths,
            *initial,
            _outputs=len(states) + 1,
            hidden_size=size,
            direction="bidirectional" if self.bidirectional else "forward",
            linear_before_reset=1 if self.cell == "GRU" else None,
            activations=[self.activation] * self.directions if self.activation else None,
        )
        if projections:
            outputs, finals[0] = (_projected(op, v, projections) for v in (outputs, finals[0]))
            size = static_shape(projections[0], "weights")[0]
        x = op.Transpose(outputs, perm=[0, 2, 1, 3])
        return [op.Reshape(x, ints(0, 0, self.directions * size)), *finals]

    def _joined(self, op: Any, weights: list[Any], index: int) -> ir.Value:
        """One weight or bias of a layer, stacked to [direction, …]."""
        directions = [op.Unsqueeze(_reorder_gates(op, self.cell, group[index]), ints(0)) for group in weights]
        return op.Concat(*directions, axis=0) if len(directions) > 1 else directions[0]

    def _start(self, op: Any, state: ir.Value, layer: int) -> ir.Value:
        """Initial state of one layer, [direction, sequence, hidden], from the states of all layers."""
        if self.num_layers == 1:
            return state
        first = layer * self.directions
        return op.Slice(state, ints(first), ints(first + self.directions), ints(0))


def _folded(
    op: Any, x: ir.Value, weights: list[Any], start: ir.Value, lengths: ir.Value | None
) -> tuple[ir.Value, list[Any]]:
    """Inputs and weights of the cell whose states are projected afterwards, starting from zero."""
    starts = [] if is_zero(start) else [op.Gather(start, np.array(i), axis=0) for i in range(len(weights))]
    folded = []
    for index, (w, r, *biases, projection) in enumerate(weights):
        nothing = op.Expand(like(op, r), op.Shape(r)) if len(starts) > 1 else None
        wide = [w, *(r if other == index else nothing for other in range(len(starts)))]
        joined = op.Concat(*wide, axis=1) if starts else w
        folded.append([joined, op.MatMul(r, projection), *biases])
    firsts = [_first_step_only(op, s, x, lengths, backward=i == 1) for i, s in enumerate(starts)]
    return (op.Concat(x, *firsts, axis=2) if starts else x), folded


def _first_step_only(
    op: Any, state: ir.Value, x: ir.Value, lengths: ir.Value | None, backward: bool
) -> ir.Value:
    """`state` [sequence, feature] at the step that each sequence starts with, zero at all others."""
    steps = op.Unsqueeze(arange(op, lengths_of(op, x)[0]), ints(1))
    if not backward:
        first = op.const(np.zeros((1, 1), np.int64))
    elif lengths is not None:
        first = op.Sub(op.Unsqueeze(op.Cast(lengths, to=int(T.INT64)), ints(0)), ints(1))
    else:
        first = op.Sub(op.Shape(x, start=0, end=1), ints(1))
    return op.Where(
        op.Unsqueeze(op.Equal(steps, first), ints(2)), op.Unsqueeze(state, ints(0)), like(op, state)
    )


def _projected(op: Any, states: ir.Value, projections: list[ir.Value]) -> ir.Value:
    """States […, direction, sequence, hidden], each direction by its own projection."""
    matrices = [op.Unsqueeze(op.Transpose(p, perm=[1, 0]), ints(0)) for p in projections]
    return op.MatMul(states, op.Concat(*matrices, axis=0) if len(matrices) > 1 else matrices[0])


def register_recurrent(cell: str, name: str, activation: str = "") -> None:
    """Register torch's layers `name`."""

    @ops.op(f"aten::{name}")
    def layers(
        op,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        x=None,
        batch_first=False,
        data=None,
        batch_sizes=None,
    ):
        if train and dropout:
            raise Unsupported("drops at random, as in training")
        stack = Layers(cell, activation, has_biases, num_layers, bidirectional, batch_first)
        if batch_sizes is None:
            return stack.outputs(op, x, hx, params)
        padded, mask = unpack_steps(op, data, batch_sizes)
        lengths = op.ReduceSum(op.Cast(mask, to=int(T.INT32)), ints(0), keepdims=0)
        outputs, *last = stack.outputs(op, padded, hx, params, lengths)
        return pack_steps(op, outputs, mask), *last


def unpack_steps(op: Any, data: ir.Value, batch_sizes: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Packed data as [step, sequence, …], and the mask [step, sequence] of valid elements."""
    count = batch_sizes.meta.get(SEQUENCES)
    if isinstance(count, int):
        sequences = op.const(np.arange(count))
    else:
        sequences = op.Range(int64_scalar(op, 0), op.Gather(batch_sizes, np.array(0)), int64_scalar(op, 1))
    mask = op.Less(op.Unsqueeze(sequences, ints(0)), op.Unsqueeze(batch_sizes, ints(1)))
    starts = op.CumSum(batch_sizes, np.array(0), exclusive=1)
    indices = op.Add(op.Unsqueeze(starts, ints(1)), op.Unsqueeze(sequences, ints(0)))
    return op.Gather(data, op.Where(mask, indices, int64_scalar(op, 0)), axis=0), mask


def pack_steps(op: Any, x: ir.Value, mask: ir.Value) -> ir.Value:
    """Valid elements of [step, sequence, …], step by step."""
    rows = op.Reshape(x, op.Concat(ints(-1), op.Shape(x, start=2), axis=0))
    result = op.Compress(rows, op.Reshape(mask, ints(-1)), axis=0)
    result.shape = ir.Shape([None, *list(x.shape)[2:]])
    return result


@ops.op("aten::_pack_padded_sequence")
def pack_padded(op, x, lengths, batch_first=False):
    """Packed data of sequences in order of falling length, and the number of sequences at each step."""
    if batch_first:
        x = op.Transpose(x, perm=[1, 0, *range(2, rank(x))])
    longest = op.ReduceMax(lengths, keepdims=0)
    steps = op.Range(int64_scalar(op, 0), longest, int64_scalar(op, 1))
    mask = op.Less(op.Unsqueeze(steps, ints(1)), op.Unsqueeze(lengths, ints(0)))
    data = pack_steps(op, op.Slice(x, ints(0), op.Reshape(longest, ints(1)), ints(0)), mask)
    sizes = op.ReduceSum(op.Cast(mask, to=int(T.INT64)), ints(1), keepdims=0)
    sizes.meta[SEQUENCES] = lengths.shape[0]
    return data, sizes


@ops.op("aten::_pad_packed_sequence")
def pad_packed(op, data, batch_sizes, batch_first=False, padding_value=0.0, total_length=None):
    """Padded sequences from packed data, and their lengths."""
    padded, mask = unpack_steps(op, data, batch_sizes)
    wide = op.Unsqueeze(mask, ints(*range(2, rank(padded)))) if rank(padded) > 2 else mask
    padded = op.Where(wide, padded, number(op, padding_value, padded))
    if total_length is not None:
        missing = op.Sub(
            op.Reshape(int64_scalar(op, total_length), ints(1)), op.Shape(padded, start=0, end=1)
        )
        amounts = op.Concat(ints(*[0] * rank(padded)), missing, ints(*[0] * (rank(padded) - 1)), axis=0)
        padded = op.Pad(padded, amounts, number(op, padding_value, padded))
    if batch_first:
        padded = op.Transpose(padded, perm=[1, 0, *range(2, rank(padded))])
    return padded, op.ReduceSum(op.Cast(mask, to=int(T.INT64)), ints(0), keepdims=0)


register_recurrent("LSTM", "lstm")
register_recurrent("GRU", "gru")
register_recurrent("RNN", "rnn_tanh", "Tanh")
register_recurrent("RNN", "rnn_relu", "Relu")


@ops.op("aten::lstm_cell")
def lstm_cell(op, x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    h, c = hx
    gates = op.Add(linear(op, x, w_ih, b_ih), linear(op, h, w_hh, b_hh))
    i, f, g, o = op.Split(gates, axis=rank(gates) - 1, num_outputs=4, _outputs=4)
    cell = op.Add(op.Mul(op.Sigmoid(f), c), op.Mul(op.Sigmoid(i), op.Tanh(g)))
    return op.Mul(op.Sigmoid(o), op.Tanh(cell)), cell


@ops.op("aten::gru_cell")
def gru_cell(op, x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    one, two = linear(op, x, w_ih, b_ih), linear(op, hx, w_hh, b_hh)
    r1, z1, n1 = op.Split(one, axis=rank(one) - 1, num_outputs=3, _outputs=3)
    r2, z2, n2 = op.Split(two, axis=rank(two) - 1, num_outputs=3, _outputs=3)
    reset, update = op.Sigmoid(op.Add(r1, r2)), op.Sigmoid(op.Add(z1, z2))
    new = op.Tanh(op.Add(n1, op.Mul(reset, n2)))
    return op.Add(new, op.Mul(update, op.Sub(hx, new)))


def register_simple_cell(name: str, activation: str) -> None:
    @ops.op(f"aten::{name}")
    def cell(op, x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
        return op.node(activation, op.Add(linear(op, x, w_ih, b_ih), linear(op, hx, w_hh, b_hh)))


register_simple_cell("rnn_tanh_cell", "Tanh")
register_simple_cell("rnn_relu_cell", "Relu")
