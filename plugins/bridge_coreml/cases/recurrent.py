"""LSTM, GRU and RNN layers of [time, batch, features], against torch's and their formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, f, program

X = f(4, 2, 3)
SIZE = 5


def programs(mb: Any) -> dict[str, Program]:
    return lstm(mb) | gru(mb) | rnn(mb)


def parameters(gates: int) -> dict[str, np.ndarray]:
    return {"weight_ih": f(gates * SIZE, 3), "weight_hh": f(gates * SIZE, SIZE), "bias": f(gates * SIZE)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def steps(x: np.ndarray, h: np.ndarray, step: Any, output_sequence: bool) -> list[np.ndarray]:
    """Every hidden state or the last, then the last."""
    found = []
    for row in x:
        h = step(row, h)
        found.append(h)
    return [np.stack(found if output_sequence else found[-1:]), h]


def lstm(mb: Any) -> dict[str, Program]:
    weights, weights_back = parameters(4), parameters(4)
    peephole = f(3 * SIZE)
    both = weights | {f"{n}_back": v for n, v in weights_back.items()}
    h, c = f(2, SIZE), f(2, SIZE)

    def layer(
        x: np.ndarray,
        h: np.ndarray,
        c: np.ndarray,
        w: dict[str, np.ndarray],
        output_sequence: bool,
        peephole_weights: Any = None,
    ) -> list[np.ndarray]:
        """Gates are stacked as input, forget, output, cell."""
        cell = [c]

        def step(row: np.ndarray, h: np.ndarray) -> np.ndarray:
            i, f, o, g = np.split(row @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias"], 4, axis=1)
            pi, pf, po = np.split(np.zeros(3 * SIZE) if peephole_weights is None else peephole_weights, 3)
            cell.append(sigmoid(f + pf * cell[-1]) * cell[-1] + sigmoid(i + pi * cell[-1]) * np.tanh(g))
            return sigmoid(o + po * cell[-1]) * np.tanh(cell[-1])

        return [*steps(x, h, step, output_sequence), cell[-1]]

    def case(output_sequence: bool, direction: str = "forward", peephole_weights: Any = None) -> Program:
        more = {"peephole": peephole_weights} if peephole_weights is not None else {}
        return program(
            lambda x, h, c: mb.lstm(
                x=x,
                initial_h=h,
                initial_c=c,
                direction=direction,
                output_sequence=output_sequence,
                **weights,
                **more,
            ),
            X,
            h,
            c,
            want=lambda x, h, c: layer(
                x if direction == "forward" else x[::-1], h, c, weights, output_sequence, peephole_weights
            ),
        )

    def bidirectional(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        one = layer(x, h[:, :SIZE], c[:, :SIZE], weights, output_sequence=True)
        two = layer(x[::-1], h[:, SIZE:], c[:, SIZE:], weights_back, output_sequence=True)
        return [
            np.concatenate(p, -1) for p in ((one[0], two[0][::-1]), one[1:2] + two[1:2], one[2:] + two[2:])
        ]

    return {
        "lstm": case(output_sequence=True),
        "lstm last": case(output_sequence=False),
        "lstm reverse": case(output_sequence=False, direction="reverse"),
        "lstm peephole": case(output_sequence=True, peephole_weights=peephole),
        "lstm bidirectional": program(
            lambda x, h, c: mb.lstm(
                x=x, initial_h=h, initial_c=c, direction="bidirectional", output_sequence=True, **both
            ),
            X,
            f(2, 2 * SIZE),
            f(2, 2 * SIZE),
            want=bidirectional,
        ),
    }


def gru(mb: Any) -> dict[str, Program]:
    weights, h, input_bias = parameters(3), f(2, SIZE), f(3 * SIZE)

    def layer(
        x: np.ndarray, h: np.ndarray, output_sequence: bool, reset_after: bool = False, input_bias: Any = None
    ) -> list[np.ndarray]:
        """Gates are stacked as reset, output, update."""
        w, u, own = (np.split(weights[n], 3) for n in ("weight_ih", "weight_hh", "bias"))
        other = np.split(np.zeros(3 * SIZE) if input_bias is None else input_bias, 3)

        def step(row: np.ndarray, h: np.ndarray) -> np.ndarray:
            r, z = (sigmoid(row @ w[n].T + h @ u[n].T + own[n] + other[n]) for n in (0, 2))
            inner = r * (h @ u[1].T + own[1]) if reset_after else (r * h) @ u[1].T + own[1]
            return (1 - z) * np.tanh(row @ w[1].T + other[1] + inner) + z * h

        return steps(x, h, step, output_sequence)

    def case(output_sequence: bool, direction: str = "forward") -> Program:
        return program(
            lambda x, h: mb.gru(
                x=x, initial_h=h, direction=direction, output_sequence=output_sequence, **weights
            ),
            X,
            h,
            want=lambda x, h: layer(x if direction == "forward" else x[::-1], h, output_sequence),
        )

    return {
        "gru": case(output_sequence=True),
        "gru last": case(output_sequence=False),
        "gru reverse": case(output_sequence=False, direction="reverse"),
        "gru after": program(
            lambda x, h: mb.gru(
                x=x, initial_h=h, output_sequence=True, reset_after=True, input_bias=input_bias, **weights
            ),
            X,
            h,
            want=lambda x, h: layer(x, h, output_sequence=True, reset_after=True, input_bias=input_bias),
            target=18,
        ),
    }


def rnn(mb: Any) -> dict[str, Program]:
    weights, h = parameters(1), f(2, SIZE)

    def case(output_sequence: bool, activation: str = "tanh", direction: str = "forward") -> Program:
        known: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "tanh": np.tanh,
            "relu": lambda v: np.maximum(v, 0),
            "sigmoid": sigmoid,
        }
        active = known[activation]
        w, u, bias = weights.values()
        return program(
            lambda x, h: mb.rnn(
                x=x,
                initial_h=h,
                direction=direction,
                output_sequence=output_sequence,
                activation=activation,
                **weights,
            ),
            X,
            h,
            want=lambda x, h: steps(
                x if direction == "forward" else x[::-1],
                h,
                lambda row, h: active(row @ w.T + h @ u.T + bias),
                output_sequence,
            ),
        )

    return {
        "rnn": case(output_sequence=True),
        "rnn last": case(output_sequence=False, activation="relu"),
        "rnn reverse": case(output_sequence=False, activation="sigmoid", direction="reverse"),
    }
