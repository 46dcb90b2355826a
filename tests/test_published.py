"""What is rendered from the committed evidence is what stands in the repository."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from bridge.matrix import evidence, measure

ROOT = Path(__file__).parents[1]
PUBLISHED = runpy.run_path(str(ROOT / "benchmarks" / "publish_matrix.py"))
RESULTS = evidence.read(PUBLISHED["EVIDENCE"]).results
SLICE = [
    r
    for r in RESULTS
    if r.case in ("test_gemm_all_attributes", "test_cumsum_1d", "test_equal_string", "kit_lstm")
]


def test_the_pages_are_current():
    for path, text in PUBLISHED["pages"]().items():
        assert path.read_text() == text, f"{path.name}: run benchmarks/publish_matrix.py"


def test_no_cell_is_wrong():
    assert not [r for r in RESULTS if r.outcome in ("wrong", "crashed", "timeout")]


@pytest.mark.parametrize("result", SLICE, ids=lambda r: f"{r.route}-{r.case}")
def test_what_is_claimed_is_so(result):
    assert measure(result.route, result.case).outcome == result.outcome
