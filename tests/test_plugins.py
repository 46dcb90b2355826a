"""Discovery isolates what is broken and names it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pytest
from click.testing import CliRunner
from conftest import FORMATS

from bridge.cli import main
from bridge.errors import PluginError, UnknownFormat
from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl
from bridge.ops import Need, Rule
from bridge.plugins import Plugins


def point(name: str, monkeypatch, **hooks) -> EntryPoint:
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    monkeypatch.setitem(sys.modules, name, module)
    return EntryPoint(name, name, "bridge")


def test_a_plugin_that_fails_to_load_is_named_and_the_others_work(monkeypatch):
    good = point("good", monkeypatch, bridge_formats=lambda: [Format("mine", "Mine", (".mine",))])
    found = Plugins([EntryPoint("bad", "no_such_module_here", "bridge"), good])
    assert list(found.formats()) == ["mine"]
    assert [(b.name, "no_such_module_here" in b.reason) for b in found.broken] == [("bad", True)]


def test_a_misspelt_hook_is_loud(monkeypatch):
    found = Plugins([point("typo", monkeypatch, bridge_fromats=lambda: [])])
    assert "bridge_fromats" in found.broken[0].reason


def test_two_plugins_of_one_format_clash_unless_one_overrides(monkeypatch):
    def provide(title: str, override: bool = False):
        return lambda: [Format("mine", title, (".mine",), override=override)]

    first = point("first", monkeypatch, bridge_formats=provide("First"))
    second = point("second", monkeypatch, bridge_formats=provide("Second"))
    both = Plugins(
        [first, second, point("other", monkeypatch, bridge_formats=lambda: [Format("x", "X", (".x",))])]
    )
    assert list(both.formats()) == ["x"]
    assert "first and second" in str(both.clashes["mine"])
    third = point("third", monkeypatch, bridge_formats=provide("Third", override=True))
    assert Plugins([first, third]).formats()["mine"].title == "Third"


def test_a_claim_on_a_format_of_our_own_is_named_and_the_format_stays(monkeypatch):
    ours = list(entry_points(group="bridge"))
    found = Plugins(
        [*ours, point("claim", monkeypatch, bridge_formats=lambda: [Format("onnx", "Mine", (".onnx",))])]
    )
    assert found.formats()["onnx"].title == "ONNX"
    assert [(b.name, b.distribution) for b in found.broken] == [("onnx", "claim")]
    assert "both formatbridge and claim" in found.broken[0].reason


def test_what_a_plugin_brings_is_told(monkeypatch):
    def rules(format, direction):
        return [Rule("Relu", print)] if (format, direction) == ("tflite", "export") else []

    ours = list(entry_points(group="bridge"))
    found = Plugins([*ours, point("extra", monkeypatch, bridge_rules=rules)]).contents()
    assert [c.formats for c in found if c.name == "tflite"] == [("tflite",)]
    (extra,) = (c for c in found if c.name == "extra")
    assert extra.rules == {"tflite export": ["Relu"]}
    assert "tflite export of Relu" in str(extra)


def ruled(name: str, monkeypatch, override: bool = False) -> EntryPoint:
    def rules(format, direction):
        mine = Rule("Relu", lambda *given: name, override=override)
        return [mine] if (format, direction) == ("tflite", "export") else []

    return point(name, monkeypatch, bridge_rules=rules)


def test_two_plugins_of_one_operator_clash_unless_one_overrides(monkeypatch):
    first, second = ruled("first", monkeypatch), ruled("second", monkeypatch)
    found = Plugins([first, second])
    assert found.rules("tflite", "export") == []
    assert "both first and second" in str(found.clashes["tflite export Relu"])
    (rule,) = Plugins([first, ruled("third", monkeypatch, override=True)]).rules("tflite", "export")
    assert rule.handler() == "third"


def test_clashes_over_operators_are_among_the_contents(monkeypatch):
    ours = list(entry_points(group="bridge"))
    found = Plugins([*ours, ruled("first", monkeypatch), ruled("second", monkeypatch)])
    found.contents()
    assert list(found.clashes) == ["tflite export Relu"]


def test_rules_of_others_come_before_a_format_s_own_and_go_with_them(monkeypatch):
    from bridge import plugins
    from bridge.detect import by_name
    from bridge.lower import writer

    fmt = by_name("onnx")
    with monkeypatch.context() as patch:
        offered = point(
            "x", patch, bridge_rules=lambda format: [Rule("Relu", print)] if format == "onnx" else []
        )
        patch.setattr(plugins, "registry", lambda: Plugins([offered]))
        target = writer(f"model{fmt.suffixes[0]}", fmt.name)
        with target.extended:
            assert [r.handler for r in target.exporter.table] == [print]
        assert list(target.exporter.table) == []
    assert list(fmt.resolve("exporter").table) == []


def test_hooks_may_take_fewer_arguments(monkeypatch):
    mine = Rule("Relu", print)
    for hook in (lambda: [mine], lambda format: [mine], lambda direction: [mine]):
        found = Plugins([point("few", monkeypatch, bridge_rules=hook)])
        assert found.rules("tflite", "export") == [mine]
        assert found.broken == []
    found = Plugins([point("few", monkeypatch, bridge_passes=lambda: ["a pass"])])
    assert found.provided("bridge_passes", format="tflite") == [("few", "a pass")]


def test_needs_that_are_no_tuple_are_told():
    with pytest.raises(PluginError, match=r"write|written \(need,\)"):
        Rule("Relu", print, needs=Need("x", bool))


def test_a_missing_package_of_others_names_their_extra(monkeypatch):
    from bridge import plugins

    fmt = Format(
        "mine", "Mine", (".mine",), importer=Part("no_such_package:x", ("no_such_package",)), extra="run"
    )
    found = Plugins([point("theirs", monkeypatch, bridge_formats=lambda: [fmt])])
    monkeypatch.setattr(plugins, "registry", lambda: found)
    error = plugins.registry().formats()["mine"].missing(ModuleNotFoundError(name="no_such_package"))
    assert "pip install 'theirs[run]'" in str(error)


def test_a_suffix_of_two_formats_asks_which(monkeypatch):
    from pathlib import Path

    from bridge import plugins
    from bridge.detect import by_suffix

    both = tuple(Format(n, n, (".xml",)) for n in ("a", "b"))
    monkeypatch.setattr(plugins, "formats", lambda: both)
    with pytest.raises(UnknownFormat, match="a and b"):
        by_suffix(Path("model.xml"))


def test_a_hook_that_raises_is_named_once(monkeypatch):
    def rules(format, direction):
        raise KeyError("no")

    found = Plugins([point("bad", monkeypatch, bridge_rules=rules)])
    for _ in range(2):
        assert found.provided("bridge_rules", format="tflite", direction="export") == []
    assert [b.reason for b in found.broken] == ["bridge_rules: KeyError: 'no'"]


def test_the_command_lists_plugins():
    done = CliRunner().invoke(main, ["plugins"])
    assert done.exit_code == 0
    told = [re.findall(r"format (\w+)", line) for line in done.output.splitlines()]
    assert sorted(name for names in told for name in names) == FORMATS
