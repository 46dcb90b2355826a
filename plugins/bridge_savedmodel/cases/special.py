"""Special functions over numbers of every size."""

from __future__ import annotations

from typing import Any

import numpy as np

SIZES = np.concatenate([np.geomspace(1e-30, 1e-3, 30), np.linspace(0.01, 12, 90), np.geomspace(12, 80, 20)])
"""All above zero."""
SIGNED = "BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 Dawsn FresnelCos FresnelSin"
POSITIVE = "BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Expint Spence"


def special_functions(tf: Any) -> dict[str, tuple]:
    positive = SIZES.astype(np.float32)
    all_signs = np.concatenate([-positive[::-1], [0.0, np.nan], positive]).astype(np.float32)
    mostly_positive = np.concatenate([[-2.0, -0.5, np.nan], positive]).astype(np.float32)
    inputs = dict.fromkeys(SIGNED.split(), all_signs) | dict.fromkeys(POSITIVE.split(), mostly_positive)
    return {n: (lambda x, n=n: getattr(tf.raw_ops, n)(x=x), array) for n, array in inputs.items()}
