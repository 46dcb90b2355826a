"""The runner, and a slice of the cases."""

from __future__ import annotations

import json

import pytest

from bridge.errors import InvalidOption
from bridge.matrix import measure, run, selected, summary

SLICE = (
    "test_add",
    "test_softmax_axis_1",
    "test_squeeze",
    "test_clip",
    "test_scan_sum",
    "test_upsample_nearest",
    "test_if_opt",
)


@pytest.mark.parametrize("case", SLICE)
def test_cases_survive_the_round_trip(case):
    assert measure("onnx:onnx", case).outcome == "native"


def test_results_are_evidence_and_resume(tmp_path):
    names = selected(("test_add", "test_sub"))
    first = run(["onnx:tflite"], names, tmp_path, jobs=1)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == names
    assert run(["onnx:tflite"], names, tmp_path, resume=True) == first
    assert "2 of 2 survived" in summary(first)


def test_a_route_that_is_none_is_refused(tmp_path):
    with pytest.raises(InvalidOption):
        run(["tflite:onnx"], [], tmp_path)


def test_frozen_results_are_marked_and_leave_out_what_cannot_be_frozen(tmp_path):
    names = selected(("test_add", "test_abs"))
    assert [(r.case, r.frozen) for r in run(["onnx:onnx"], names, tmp_path, frozen=True, jobs=1)] == [
        ("test_add", True)
    ]
    again = run(["onnx:onnx"], ["test_add"], tmp_path, jobs=1, resume=True)
    assert [r.frozen for r in again] == [False]
