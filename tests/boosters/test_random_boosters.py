"""Random boosters are read as they predict, as files and in memory."""

from __future__ import annotations

import warnings

import pytest
from random_boosters import FIT, compare

SEEDS = [*range(12), 293, 378]
"""The last two have an XGBoost model that no round was boosted of."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("library", FIT)
def test_random_models_predict_as_they_do(library, seed, tmp_path):
    pytest.importorskip(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert compare(FIT[library](seed), tmp_path) == []
