"""The examples run."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_convert_and_verify(mnist, tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "convert_and_verify.py"))
    assert example["main"](str(mnist), str(tmp_path / "m.tflite")).verification.ok
    assert "agrees" in capsys.readouterr().out


def test_read_report(mnist):
    counts = runpy.run_path(str(EXAMPLES / "read_report.py"))["main"](str(mnist), "tflite")
    assert sum(counts.values()) > 0
