"""RNN, SVDF and LSTM from zero states; test_tflite_state.py compares their states step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_tflite.cases.common import RNG, T, case, cf, f, q, qo, w8
from bridge_tflite.cases.file import const

BATCH, INPUTS, CELLS, OUT = 2, 3, 4, 5


def state(*shape: int) -> T:
    return T(np.zeros(shape, np.float32), variable=True)


def small(*shape: int) -> T:
    return cf(*shape, low=-0.6, high=0.6)


def rnn(cells: int = CELLS) -> list:
    return [small(cells, INPUTS), small(cells, cells), small(cells), state(BATCH, cells)]


for _act in range(5):
    case("RNN", [f(BATCH, INPUTS), *rnn()], fusedActivationFunction=_act, name=f"act{_act}")
case(
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    [f(6, BATCH, INPUTS), *rnn()],
    timeMajor=True,
    fusedActivationFunction=4,
)
case(
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    [f(BATCH, 6, INPUTS), *rnn()],
    fusedActivationFunction=1,
    name="batch-major",
)
for _merge in (False, True):
    case(
        "BIDIRECTIONAL_SEQUENCE_RNN",
        [f(BATCH, 6, INPUTS), *rnn(), *rnn(3), None, None, None],
        ["float32"] if _merge else ["float32"] * 2,
        mergeOutputs=_merge,
        fusedActivationFunction=4,
        name=f"merge{_merge:d}",
    )
case(
    "BIDIRECTIONAL_SEQUENCE_RNN",
    [f(6, BATCH, INPUTS), *rnn(), *rnn(), f(6, BATCH, INPUTS), small(CELLS, INPUTS), small(CELLS, INPUTS)],
    ["float32"] * 2,
    timeMajor=True,
    fusedActivationFunction=4,
    name="auxiliary",
)
for _rank, _act in ((1, 0), (2, 1)):
    case(
        "SVDF",
        [f(BATCH, INPUTS), small(4, INPUTS), small(4, 6), small(4 // _rank), state(BATCH, 24)],
        rank=_rank,
        fusedActivationFunction=_act,
        name=f"rank{_rank}",
    )


def lstm(
    cifg: bool = False,
    peephole: bool = False,
    projection: bool = False,
    norm: bool = False,
    cells: int = CELLS,
) -> list:
    """Inputs 1 to 23 of the full kernel."""
    out = OUT if projection else cells
    gates = [not cifg, True, True, True]
    return [
        *(small(cells, INPUTS) if g else None for g in gates),
        *(small(cells, out) if g else None for g in gates),
        *(small(cells) if peephole and (g or i) else None for i, g in enumerate(gates[:3])),
        *(small(cells) if g else None for g in gates),
        *((small(out, cells), small(out)) if projection else (None, None)),
        state(BATCH, out),
        state(BATCH, cells),
        *([small(cells) if g else None for g in gates] if norm else []),
    ]


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cifg": {"cifg": True},
    "peephole": {"peephole": True},
    "projection": {"projection": True},
    "norm": {"norm": True},
    "all": {"cifg": True, "peephole": True, "projection": True, "norm": True},
}
for _name, _form in FORMS.items():
    case("LSTM", [f(BATCH, INPUTS), *lstm(**_form)], fusedActivationFunction=4, name=_name)
    case(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [f(7, BATCH, INPUTS), *lstm(**_form)],
        timeMajor=True,
        fusedActivationFunction=4,
        cellClip=0.4 if _name == "all" else 0.0,
        projClip=0.3 if _name == "all" else 0.0,
        name=_name,
    )
case(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    [f(BATCH, 7, INPUTS), *lstm()],
    fusedActivationFunction=1,
    name="batch-major",
)
_given = lstm()
_given[4:8] = [small(CELLS) for _ in range(4)]
case(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    [f(7, BATCH, INPUTS), *_given],
    timeMajor=True,
    fusedActivationFunction=4,
    diagonalRecurrentTensors=True,
    name="diagonal",
)


def bidirectional_lstm(auxiliary: T | None = None, weights: int = 0, **form: Any) -> list:
    """Inputs 1 to 47 of the bidirectional kernel."""
    forward, backward = lstm(**form), lstm(**form)
    aux = [small(CELLS, weights) if weights else None for _ in range(8)]
    return [*forward[:17], *backward[:17], *forward[17:19], *backward[17:19], auxiliary, *aux]


for _name, _form in {"plain": {}, "cifg": {"cifg": True}, "projection": {"projection": True}}.items():
    case(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        [f(7, BATCH, INPUTS), *bidirectional_lstm(**_form)],
        ["float32"] * 2,
        timeMajor=True,
        fusedActivationFunction=4,
        name=_name,
    )
case(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    [f(7, BATCH, INPUTS), *bidirectional_lstm()],
    fusedActivationFunction=4,
    mergeOutputs=True,
    timeMajor=True,
    name="merged",
)
case(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    [f(BATCH, 7, INPUTS), *bidirectional_lstm()],
    ["float32"] * 2,
    fusedActivationFunction=4,
    timeMajor=False,
    name="batch-major",
)
case(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    [f(7, BATCH, INPUTS), *bidirectional_lstm(f(7, BATCH, 2), 2)],
    ["float32"] * 2,
    timeMajor=True,
    fusedActivationFunction=4,
    name="linked",
)
case(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    [f(7, BATCH, INPUTS), *bidirectional_lstm(f(7, BATCH, INPUTS))],
    ["float32"] * 2,
    timeMajor=True,
    fusedActivationFunction=4,
    name="stacked",
)
case(
    "LSTM",
    [f(BATCH, 3), f(BATCH, 4), small(16, 7), small(16), f(BATCH, 4)],
    ["float32"] * 4,
    fusedActivationFunction=4,
    kernelType=1,
    name="basic",
)

# Integers


def eight(*shape: int) -> T:
    return const(RNG.integers(-127, 128, shape, dtype=np.int8), scale=0.006, zero=0)


def integer_lstm() -> list:
    """Inputs of the int8 kernel with a cell state of int16."""
    x = q(7, BATCH, INPUTS, scale=0.01, zero=3)
    counts = [
        const(RNG.integers(-900, 900, CELLS, dtype=np.int32), scale=0.01 * 0.006, zero=0) for _ in range(4)
    ]
    h = T(np.full((BATCH, CELLS), 2, np.int8), scale=1 / 120, zero=2, variable=True)
    c = T(np.zeros((BATCH, CELLS), np.int16), scale=2.0**-11, zero=0, variable=True)
    inner = [eight(CELLS, INPUTS) for _ in range(4)] + [eight(CELLS, CELLS) for _ in range(4)]
    return [x, *inner, None, None, None, *counts, None, None, h, c, None, None, None, None]


case(
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    integer_lstm(),
    qo(scale=1 / 120, zero=2),
    timeMajor=True,
    fusedActivationFunction=4,
    name="int8",
    hidden=(1 / 120, 2),
)
_x, _w = q(BATCH, 8, scale=0.02), w8(4, 8)
case(
    "SVDF",
    [
        _x,
        _w,
        const(RNG.integers(-9000, 9000, (4, 6), dtype=np.int16), scale=1e-4, zero=0),
        const(RNG.integers(-900, 900, 4, dtype=np.int32), scale=2e-3 * 1e-4, zero=0),
        T(np.zeros((BATCH, 24), np.int16), scale=2e-3, zero=0, variable=True),
    ],
    qo(scale=0.05),
    rank=1,
    fusedActivationFunction=1,
    name="int8",
)
