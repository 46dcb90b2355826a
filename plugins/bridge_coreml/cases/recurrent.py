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


def steps(x: np.ndarray, h: np.ndarray, step: Any, sequence: bool) -> list[np.ndarray]:
    """Every hidden state or the last, then the last."""
    found = []
    for row in x:
        h = step(row, h)
        found.append(h)
    return [np.stack(found if sequence else found[-1:]), h]


def lstm(mb: Any) -> dict[str, Program]:
    held, back = parameters(4), parameters(4)
    peephole = f(3 * SIZE)
    both = held | {f"{n}_back": v for n, v in back.items()}
    h, c = f(2, SIZE), f(2, SIZE)

    def run(
        x: np.ndarray,
        h: np.ndarray,
        c: np.ndarray,
        w: dict[str, np.ndarray],
        sequence: bool,
        peep: Any = None,
    ) -> list[np.ndarray]:
        """Gates are stacked as input, forget, output, cell."""
        cell = [c]

        def step(row: np.ndarray, h: np.ndarray) -> np.ndarray:
            i, f, o, g = np.split(row @ w["weight_ih"].T + h @ w["weight_hh"].T + w["bias"], 4, axis=1)
            pi, pf, po = np.split(np.zeros(3 * SIZE) if peep is None else peep, 3)
            cell.append(sigmoid(f + pf * cell[-1]) * cell[-1] + sigmoid(i + pi * cell[-1]) * np.tanh(g))
            return sigmoid(o + po * cell[-1]) * np.tanh(cell[-1])

        return [*steps(x, h, step, sequence), cell[-1]]

    def case(sequence: bool, direction: str = "forward", peep: Any = None) -> Program:
        more = {"peephole": peep} if peep is not None else {}
        return program(
            lambda x, h, c: mb.lstm(
                x=x, initial_h=h, initial_c=c, direction=direction, output_sequence=sequence, **held, **more
            ),
            X,
            h,
            c,
            want=lambda x, h, c: run(x if direction == "forward" else x[::-1], h, c, held, sequence, peep),
        )

    def bidirectional(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        one = run(x, h[:, :SIZE], c[:, :SIZE], held, True)
        two = run(x[::-1], h[:, SIZE:], c[:, SIZE:], back, True)
        return [
            np.concatenate(p, -1) for p in ((one[0], two[0][::-1]), one[1:2] + two[1:2], one[2:] + two[2:])
        ]

    return {
        "lstm": case(True),
        "lstm last": case(False),
        "lstm reverse": case(False, "reverse"),
        "lstm peephole": case(True, peep=peephole),
        "lstm bidirectional": program(
            lambda x, h, c: mb.lstm(x=x, initial_h=h, initial_c=c, direction="bidirectional", output_sequence=True, **both),
            X, f(2, 2 * SIZE), f(2, 2 * SIZE), want=bidirectional,
        ),
    }  # fmt: skip


def gru(mb: Any) -> dict[str, Program]:
    held, h, given = parameters(3), f(2, SIZE), f(3 * SIZE)

    def run(
        x: np.ndarray, h: np.ndarray, sequence: bool, after: bool = False, added: Any = None
    ) -> list[np.ndarray]:
        """Gates are stacked as reset, output, update."""
        w, u, own = (np.split(held[n], 3) for n in ("weight_ih", "weight_hh", "bias"))
        other = np.split(np.zeros(3 * SIZE) if added is None else added, 3)

        def step(row: np.ndarray, h: np.ndarray) -> np.ndarray:
            r, z = (sigmoid(row @ w[n].T + h @ u[n].T + own[n] + other[n]) for n in (0, 2))
            inner = r * (h @ u[1].T + own[1]) if after else (r * h) @ u[1].T + own[1]
            return (1 - z) * np.tanh(row @ w[1].T + other[1] + inner) + z * h

        return steps(x, h, step, sequence)

    def case(sequence: bool, direction: str = "forward") -> Program:
        return program(
            lambda x, h: mb.gru(x=x, initial_h=h, direction=direction, output_sequence=sequence, **held),
            X,
            h,
            want=lambda x, h: run(x if direction == "forward" else x[::-1], h, sequence),
        )

    return {
        "gru": case(True),
        "gru last": case(False),
        "gru reverse": case(False, "reverse"),
        "gru after": program(
            lambda x, h: mb.gru(x=x, initial_h=h, output_sequence=True, reset_after=True, input_bias=given, **held),
            X, h, want=lambda x, h: run(x, h, True, True, given), target=18,
        ),
    }  # fmt: skip


def rnn(mb: Any) -> dict[str, Program]:
    held, h = parameters(1), f(2, SIZE)

    def case(sequence: bool, activation: str = "tanh", direction: str = "forward") -> Program:
        known: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0), "sigmoid": sigmoid,
        }  # fmt: skip
        active = known[activation]
        w, u, bias = held.values()
        return program(
            lambda x, h: mb.rnn(x=x, initial_h=h, direction=direction, output_sequence=sequence, activation=activation, **held),
            X, h, want=lambda x, h: steps(
                x if direction == "forward" else x[::-1], h, lambda row, h: active(row @ w.T + h @ u.T + bias), sequence
            ),
        )  # fmt: skip

    return {
        "rnn": case(True),
        "rnn last": case(False, "relu"),
        "rnn reverse": case(False, "sigmoid", "reverse"),
    }
