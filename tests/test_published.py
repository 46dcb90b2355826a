"""What is rendered from the committed evidence is what stands in the repository."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

from bridge.matrix import evidence

ROOT = Path(__file__).parents[1]
PUBLISHED = runpy.run_path(str(ROOT / "benchmarks" / "publish_matrix.py"))
RESULTS = evidence.read(PUBLISHED["EVIDENCE"]).results
OPS = ("Gemm", "CumSum", "StringConcat", "LSTM")
CASES = [next(r.case for r in RESULTS if op in r.ops) for op in OPS]
SLICE = [r for r in RESULTS if r.case in CASES and r.route.startswith("onnx:") and not r.frozen]


def test_the_pages_are_current():
    for path, text in PUBLISHED["pages"]().items():
        assert path.read_text() == text, f"{path.name}: run benchmarks/publish_matrix.py"


def test_no_cell_is_wrong():
    assert not [r for r in RESULTS if r.outcome in (*PUBLISHED["NEVER"], "timeout")]


def test_what_is_claimed_is_so():
    assert SLICE
    assert PUBLISHED["refuted"](SLICE) == []


def test_a_false_claim_is_found_out():
    false = [replace(r, outcome="native") for r in SLICE if r.outcome == "refused"]
    assert false
    assert {r.key for r in PUBLISHED["refuted"](false)} == {r.key for r in false}
