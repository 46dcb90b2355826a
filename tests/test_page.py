"""matrix.html in a real browser: filters, the cases behind a cell, a phone's width, dark mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import Browser, needs_browser

from bridge.matrix import render
from bridge.matrix.evidence import Evidence, Result

pytestmark = needs_browser

RESULTS = [
    Result("onnx:tflite", "test_add", "native", error=1e-7, ops=("Add",)),
    Result("onnx:tflite", "test_add_double", "refused", "Add takes no double", ops=("Add",)),
    Result("onnx:tflite", "test_relu", "native", ops=("Relu",)),
    Result("onnx:tflite", "test_relu", "native", frozen=True, ops=("Relu",)),
    Result("tflite:onnx", "test_relu", "native", ops=("Relu",)),
    Result("tflite:onnx", "tflite/RELU_N1_TO_1", "expanded", ops=("RELU_N1_TO_1",)),
]
TABLE = "[...document.querySelectorAll('#matrix tr')].map(r => [...r.children].map(c => c.textContent))"


def seen(browser: Browser, folder: Path, script: str, width: int = 1200, dark: bool = False) -> Any:
    """What `script`, run in the page, returns."""
    page = folder / "matrix.html"
    evidence = Evidence({"date": "2026-01-31", "bridge": "1"}, RESULTS)
    page.write_text(render.page(evidence, {"onnx": "ONNX", "tflite": "TFLite"}))
    browser.open(page, width, dark=dark)
    return browser.value(f"(() => {{{script}}})()")


def test_operators_by_format(browser, tmp_path):
    assert seen(browser, tmp_path, f"return {TABLE}") == [
        ["operator", "→ TFLite"],
        ["all", "2/3Add takes no double"],
        ["Add", "1/2Add takes no double"],
        ["Relu", "1/1"],
    ]


def test_filters(browser, tmp_path):
    choose = (
        "const set = (id, v) => { const e = document.getElementById(id); "
        "if (e.type === 'checkbox') e.checked = v; else e.value = v; e.dispatchEvent(new Event('input')); };"
    )
    assert seen(browser, tmp_path, f"{choose} set('outcome', 'refused'); return {TABLE}")[2:] == [
        ["Add", "1/2Add takes no double"]
    ]
    assert seen(browser, tmp_path, f"{choose} set('op', 'rel'); return {TABLE}")[2:] == [["Relu", "1/1"]]
    assert seen(browser, tmp_path, f"{choose} set('frozen', true); return {TABLE}")[1:] == [
        ["all", "1/1"],
        ["Relu", "1/1"],
    ]
    assert seen(browser, tmp_path, f"{choose} set('source', 'tflite'); return {TABLE}") == [
        ["operator", "→ ONNX"],
        ["all", "2/2"],
        ["Relu", "1/1"],
        ["TFLite: RELU_N1_TO_1", "1/1"],
    ]


def test_a_click_on_a_cell_shows_its_cases(browser, tmp_path):
    script = (
        "document.querySelectorAll('#matrix button')[1].click(); const d = "
        "document.getElementById('cases'); return [d.open, document.getElementById('title').textContent, "
        "...[...d.querySelectorAll('tr')].slice(1).map(r => [...r.children].map(c => c.textContent))];"
    )
    assert seen(browser, tmp_path, script) == [
        True,
        "Add, ONNX → TFLite",
        ["test_add", "native", "1.0e-7", ""],
        ["test_add_double", "refused", "0", "Add takes no double"],
    ]


def test_filters_stand_in_the_address(browser, tmp_path):
    script = (
        "const e = document.getElementById('op'); e.value = 'relu'; e.dispatchEvent(new Event('input')); "
        "const kept = location.hash; location.hash = '#source=tflite&frozen=1'; restore(); draw(); "
        "return [kept, document.getElementById('source').value, document.getElementById('frozen').checked, "
        "document.getElementById('op').value];"
    )
    assert seen(browser, tmp_path, script) == ["#op=relu&source=onnx", "tflite", True, ""]


def test_heads_stay_where_they_are_seen(browser, tmp_path):
    script = (
        "const style = getComputedStyle(document.querySelector('#matrix th')); "
        "return [style.position, style.top, document.getElementById('legend').children.length];"
    )
    assert seen(browser, tmp_path, script) == ["sticky", "0px", 5]


def test_a_phone_scrolls_in_one_direction(browser, tmp_path):
    script = (
        "document.querySelectorAll('#matrix button')[1].click(); const e = document.documentElement; "
        "return e.scrollWidth <= e.clientWidth;"
    )
    assert seen(browser, tmp_path, script, width=390)


def test_dark_mode_is_dark(browser, tmp_path):
    script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);"
    assert max(seen(browser, tmp_path, script, dark=True)) < 64
    assert min(seen(browser, tmp_path, script)) > 192
