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


def test_custom_operator(tmp_path, monkeypatch):
    import importlib.util

    from bridge import plugins

    spec = importlib.util.spec_from_file_location("custom_operator", EXAMPLES / "custom_operator.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = plugins.Plugins(list(plugins.entry_points(group=plugins.GROUP)))
    found.manager.register(example, name="example")
    found.distributions["example"] = "example"
    monkeypatch.setattr(plugins, "registry", lambda: found)
    conversion = example.main(str(tmp_path))
    assert conversion.verification.ok
    assert [c.outcome for c in conversion.report.crossings] == ["expanded"]
