"""Rounding to a quantization grid and back."""

from __future__ import annotations

from typing import Any

from bridge_savedmodel.cases.data import X


def quantization(tf: Any) -> dict[str, tuple]:
    raw = tf.raw_ops

    def grid(**more: Any) -> Any:
        return lambda x: raw.QuantizeAndDequantizeV2(
            input=x, input_min=-1.5, input_max=1.0, range_given=True, **more
        )

    return {
        "QuantizeAndDequantizeV2": (grid(), X),
        "QuantizeAndDequantizeV2 narrow": (grid(narrow_range=True, round_mode="HALF_UP"), X),
        "QuantizeAndDequantizeV2 unsigned": (grid(signed_input=False), X),
        "QuantizeAndDequantizeV3": (
            lambda x: raw.QuantizeAndDequantizeV3(
                input=x, input_min=-1.0, input_max=1.0, num_bits=8, range_given=True
            ),
            X,
        ),
        "QuantizeV2": (
            lambda x: raw.Dequantize(
                input=raw.QuantizeV2(input=x, min_range=-1.0, max_range=1.5, T=tf.quint8)[0],
                min_range=-1.0,
                max_range=1.5,
            ),
            X,
        ),
    }
