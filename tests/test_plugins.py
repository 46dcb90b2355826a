"""Discovery isolates what is broken and names it."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from bridge.errors import PluginError
from bridge.formats import Format
from bridge.hookspecs import hookimpl
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
    with pytest.raises(PluginError, match="first and second"):
        Plugins([first, second]).formats()
    third = point("third", monkeypatch, bridge_formats=provide("Third", override=True))
    assert Plugins([first, third]).formats()["mine"].title == "Third"
