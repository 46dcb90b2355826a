"""Recurrent layers, one step of all sequences at a time. Gates and layouts are those of ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    import torch
    from torch import Tensor


def time_order(steps: int, lengths: Optional[Tensor], is_reverse: bool, batch: int) -> Tensor:
    """Positions [steps, batch] that each step reads; reversed within the length of each sequence if
    `is_reverse`.
    """
    positions = torch.expand(torch.unsqueeze(torch.arange(steps), 1), [steps, batch])
    if not is_reverse:
        return positions
    stops = torch.full([1, batch], steps, dtype=torch.int64)
    if lengths is not None:
        stops = torch.unsqueeze(lengths.to(torch.int64), 0)
    return torch.where(positions < stops, stops - 1 - positions, positions)


def gather_steps(x: Tensor, order: Tensor) -> Tensor:
    """Elements of [steps, batch, size] gathered by `order` [steps, batch]."""
    return torch.gather(x, 0, torch.expand(torch.unsqueeze(order, 2), x.size()))


def running_mask(step: int, lengths: Optional[Tensor], batch: int) -> Tensor:
    """Mask [batch, 1] of sequences that have this step."""
    if lengths is None:
        return torch.ones([batch, 1], dtype=torch.bool)
    return torch.unsqueeze(lengths > step, 1)


def first_state(state: Optional[Tensor], direction: int, x: Tensor, size: int, layout: bool) -> Tensor:
    """Initial state [batch, size] of one direction; zeros if there is none."""
    if state is None:
        return torch.zeros([x.size(1), size], dtype=x.dtype)
    return torch.select(state, 1 if layout else 0, direction)


def last_states(states: List[Tensor], layout: bool) -> Tensor:
    """Final states stacked along the direction axis."""
    return torch.stack(states, 1 if layout else 0)


def all_outputs(outputs: List[Tensor], layout: bool) -> Tensor:
    """Outputs [steps, directions, batch, size], or [batch, steps, directions, size] with `layout`."""
    stacked = torch.stack(outputs, 1)
    return torch.permute(stacked, [2, 0, 1, 3]) if layout else stacked


def split_biases(b: Optional[Tensor], direction: int, width: int, x: Tensor) -> Tuple[Tensor, Tensor]:
    """Biases of the input's gates and of the state's gates."""
    if b is None:
        return torch.zeros([width], dtype=x.dtype), torch.zeros([width], dtype=x.dtype)
    biases = torch.select(b, 0, direction)
    return biases[:width], biases[width:]


def lstm_step(
    gates: Tensor, h: Tensor, c: Tensor, recurrence: Tensor, peepholes: Optional[Tensor]
) -> Tuple[Tensor, Tensor]:
    """Next state and cell. Gates: input, output, forget, cell; peepholes: input, output, forget."""
    size = h.size(1)
    i, o, f, g = torch.unbind(torch.reshape(gates + torch.matmul(h, recurrence), [-1, 4, size]), 1)
    if peepholes is not None:
        i = i + peepholes[:size] * c
        f = f + peepholes[2 * size :] * c
    cell = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    if peepholes is not None:
        o = o + peepholes[size : 2 * size] * cell
    return torch.sigmoid(o) * torch.tanh(cell), cell


def gru_step(gates: Tensor, h: Tensor, recurrence: Tensor, bias: Tensor, reset_after: bool) -> Tensor:
    """Next state. Gates: update, reset, hidden; `bias` belongs to the state's gates."""
    size = h.size(1)
    zr_weights, h_weights = recurrence[:, : 2 * size], recurrence[:, 2 * size :]
    zr = torch.sigmoid(gates[:, : 2 * size] + torch.matmul(h, zr_weights) + bias[: 2 * size])
    z, reset = zr[:, :size], zr[:, size:]
    if reset_after:
        new = reset * (torch.matmul(h, h_weights) + bias[2 * size :])
    else:
        new = torch.matmul(reset * h, h_weights) + bias[2 * size :]
    new = torch.tanh(gates[:, 2 * size :] + new)
    return (1 - z) * new + z * h


def recurrent(
    cell_type: str,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Optional[Tensor],
    lengths: Optional[Tensor],
    h0: Optional[Tensor],
    c0: Optional[Tensor],
    p: Optional[Tensor],
    reset_after: bool,
    reverse: bool,
    layout: bool,
) -> Tuple[Tensor, Tensor, Tensor]:
    """ONNX operators LSTM, GRU and RNN: outputs, final states, final cells."""
    if layout:
        x = torch.transpose(x, 0, 1)
    size = r.size(2)
    steps, batch = x.size(0), x.size(1)
    outputs: List[Tensor] = []
    hidden: List[Tensor] = []
    cells: List[Tensor] = []
    for d in range(w.size(0)):
        order = time_order(steps, lengths, reverse or d == 1, batch)
        input_bias, state_bias = split_biases(b, d, r.size(1), x)
        gates = torch.matmul(gather_steps(x, order), torch.t(w[d])) + input_bias
        if cell_type != "GRU":
            gates = gates + state_bias
        recurrence = torch.t(r[d])
        h = first_state(h0, d, x, size, layout)
        c = first_state(c0, d, x, size, layout)
        peepholes: Optional[Tensor] = None
        if p is not None:
            peepholes = p[d]
        step_outputs: List[Tensor] = []
        for t in range(steps):
            cell = c
            if cell_type == "LSTM":
                state, cell = lstm_step(gates[t], h, c, recurrence, peepholes)
            elif cell_type == "GRU":
                state = gru_step(gates[t], h, recurrence, state_bias, reset_after)
            else:
                state = torch.tanh(gates[t] + torch.matmul(h, recurrence))
            is_running = running_mask(t, lengths, batch)
            h, c = torch.where(is_running, state, h), torch.where(is_running, cell, c)
            step_outputs.append(torch.where(is_running, state, torch.zeros_like(state)))
        outputs.append(gather_steps(torch.stack(step_outputs), order))
        hidden.append(h)
        cells.append(c)
    return all_outputs(outputs, layout), last_states(hidden, layout), last_states(cells, layout)
