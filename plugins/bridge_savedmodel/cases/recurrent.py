"""Recurrent cells, and sequences of cells in one operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import f


def recurrent_cells(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops
    weights, bias, peeks = f(7, 16), f(16), [f(4), f(4), f(4)]
    names = ("wci", "wcf", "wco")
    more = {**dict(zip(names, peeks, strict=True)), "w": weights, "b": bias}
    state = (f(2, 4), f(2, 4))
    return {
        "LSTMBlockCell": (
            lambda x, c, h: raw.LSTMBlockCell(x=x, cs_prev=c, h_prev=h, **more, use_peephole=False),
            f(2, 3),
            *state,
        ),
        "LSTMBlockCell peephole": (
            lambda x, c, h: raw.LSTMBlockCell(
                x=x, cs_prev=c, h_prev=h, **more, use_peephole=True, cell_clip=0.5, forget_bias=0.3
            ),
            f(2, 3),
            *state,
        ),
        "GRUBlockCell": (
            lambda x, h: raw.GRUBlockCell(x=x, h_prev=h, w_ru=f(7, 8), w_c=f(7, 4), b_ru=f(8), b_c=f(4)),
            f(2, 3),
            f(2, 4),
        ),
        "BlockLSTM": (
            lambda x, c, h: raw.BlockLSTM(seq_len_max=np.int64(5), x=x, cs_prev=c, h_prev=h, **more)[6],
            f(5, 2, 3),
            *state,
        ),
        "BlockLSTMV2": (
            lambda x, c, h: [
                raw.BlockLSTMV2(seq_len_max=np.int64(4), x=x, cs_prev=c, h_prev=h, **more, use_peephole=True)[
                    n
                ]
                for n in (1, 6)
            ],
            f(5, 2, 3),
            *state,
        ),
    }
