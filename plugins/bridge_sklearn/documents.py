"""Documents to try a vectorizer with."""

from __future__ import annotations

from typing import Any

import numpy as np

SAMPLES = 12


def documents(src: Any) -> np.ndarray:
    """Texts of the terms that a vectorizer knows, among others."""
    terms = sorted(src.vocabulary_)
    chosen = [terms[i] for i in np.linspace(0, len(terms) - 1, min(SAMPLES, len(terms))).astype(int)]
    made = [
        f"{a} {b}, {a}{b}! x\n\n{a} {a} “{b}” Σα—{a.upper()}"
        for a, b in zip(chosen, chosen[::-1], strict=True)
    ]
    stops = sorted(src.get_stop_words() or ())[:3]
    return np.array(
        [*chosen, *made, " ".join(chosen), f"{' '.join(stops)} {' the '.join(chosen)}\t.", " é漢b\xa0c"],
        object,
    )
