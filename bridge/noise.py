"""Noise: the numbers of a quantized model vary in its own runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import BridgeError
from bridge.session import Session
from bridge.trials import Trial

__all__ = ["Noise", "is_quantized", "noise_of"]

QUANTIZING = frozenset(
    ["ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"]
)
FACTOR = 2.0


@dataclass(frozen=True)
class Noise:
    """The way an output moves, at most and as the root of the mean square, when its own runtime computes it
    otherwise."""

    peak: float
    rms: float

    def allows(self, largest: float, rms: float) -> bool:
        """True for an error of another runtime that is no more than both runtimes may be off."""
        return largest <= FACTOR * self.peak and rms <= FACTOR * self.rms

    def words(self, step: float) -> str:
        amount = f"{self.peak / step:.3g} quanta of {step:.3g}" if step else f"{self.peak:.3g}"
        return f"twice the {amount} that its own runtime varies by"


def is_quantized(model: ir.Model) -> bool:
    """True if something in the model is rounded to integers, or read from them."""
    return any(node.op_type in QUANTIZING for node in hub.all_nodes(model))


def noise_of(session: Session, asked: list[Trial]) -> dict[str, Noise]:
    """The noise of each output on these inputs; empty where the runtime has but one way."""
    errors: dict[str, list[np.ndarray]] = {}
    for variant in session.variants():
        for trial in asked:
            try:
                other = variant.run(trial.inputs)
            except BridgeError:
                continue
            for name, value in trial.expected.items():
                if (error := _error(value, other.get(name))) is not None:
                    errors.setdefault(name, []).append(error)
    return {
        name: Noise(
            float(max(e.max(initial=0) for e in found)),
            float(max(np.sqrt(np.mean(e**2)) if e.size else 0.0 for e in found)),
        )
        for name, found in errors.items()
    }


def _error(value: Any, other: Any) -> np.ndarray | None:
    if not isinstance(value, np.ndarray) or not isinstance(other, np.ndarray) or value.shape != other.shape:
        return None
    if value.dtype.kind in "OSUc":
        return None
    difference = np.abs(value.astype(np.float64) - other.astype(np.float64))
    return difference[np.isfinite(difference)]
