"""Pages of results in headless Chromium: what a person sees and does, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, needs_browser
from test_report_page import EVIL, MNIST, scoped

import bridge
from bridge.page import Drawing, graph_of, page
from bridge.page.content import Content
from bridge.page.graph import Graph, Operator

pytestmark = needs_browser

BOXES = "document.querySelectorAll('#canvas .item').length"
ROWS = "[...document.querySelectorAll('#tree .row')].map((row) => row.textContent)"
FOCUSED = "document.activeElement.getAttribute('aria-label')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: Any) -> Path:
    """Pages of a large model checked, of a small one written and compared, and of one refused."""
    folder = tmp_path_factory.mktemp("pages")
    report = bridge.check(scoped(300), to="onnx")
    errors = {o.results[0][0]: 1e-9 * 10 ** (i % 7) for i, o in enumerate(report.graph.operators[:1000])}
    content = report.content()
    drawing = Drawing("large", report.graph, content.drawings[0].outcomes, errors, "largest error")
    (folder / "large.html").write_text(
        page(Content(content.title, content.verdict, True, content.sections, (drawing,)))
    )
    (folder / "small.html").write_text(page(bridge.convert(MNIST, folder / "m.tflite", verify=True)))
    (folder / "refused.html").write_text(page(bridge.check(MNIST, to="pmml")))
    return folder


def test_a_large_page_opens_at_once_and_asks_for_nothing(browser, pages):
    """Seconds of the page's own work, which a loaded machine stretches: the bound is generous."""
    browser.open(pages / "large.html")
    assert browser.asked == [(pages / "large.html").as_uri()]
    assert browser.errors == []
    assert browser.value(BOXES) == 32
    assert browser.seconds() < 2


def test_names_stay_text(browser, tmp_path):
    operators = (Operator("Relu", f"Relu{EVIL}", f"a/{EVIL}", 0, (), (), ((EVIL, EVIL),)),)
    content = Content(
        EVIL, EVIL, False, (), (Drawing(EVIL, Graph(operators, (), ()), {0: ("native", EVIL)}),)
    )
    (tmp_path / "evil.html").write_text(page(content))
    browser.open(tmp_path / "evil.html")
    assert browser.errors == []
    assert browser.value("document.querySelectorAll('img, main script').length") == 0
    assert browser.value("document.title") == EVIL
    browser.value("document.querySelector('#tree li').click()")
    assert browser.value("document.querySelector('#details').textContent").count("onerror=alert(1)") >= 3


def test_the_keyboard_opens_scopes_and_chooses_operators(browser, pages):
    browser.open(pages / "large.html")
    browser.value("document.querySelector('#tree li').focus()")
    assert browser.value(FOCUSED) == "stage0, 100 operators, native"
    browser.press("ArrowDown", "ArrowRight")
    assert browser.value("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert browser.value(BOXES) == 42
    browser.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    assert browser.value(FOCUSED).startswith("mlp") or browser.value(FOCUSED).startswith("MatMul")
    browser.press("Enter")
    assert browser.value("document.querySelector('#details dt').textContent") in ("scope", "operator")
    assert browser.value("document.querySelectorAll('#canvas .chosen').length") == 1
    browser.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert browser.value("document.activeElement.getAttribute('aria-level')") is None
    browser.value("document.getElementById('canvas').focus()")
    before = browser.value("document.querySelector('#canvas > g').getAttribute('transform')")
    browser.press("+", "ArrowDown")
    assert browser.value("document.querySelector('#canvas > g').getAttribute('transform')") != before


def test_every_control_is_reached_by_the_tabulator(browser, pages):
    browser.open(pages / "large.html")
    reached = []
    for _ in range(14):
        browser.press("Tab")
        reached.append(browser.value("document.activeElement.id || document.activeElement.role"))
    wanted = ["search", "colour", "in", "out", "fit", "open", "close", "treeitem", "canvas"]
    assert [one for one in reached if one in wanted][: len(wanted)] == wanted


def test_a_search_finds_an_operator_and_goes_to_it(browser, pages):
    browser.open(pages / "large.html")
    browser.value("document.getElementById('search').focus()")
    browser.press(*"block7/mlp/cos")
    assert (
        browser.value("document.getElementById('found').textContent")
        == "30 operators found; Enter goes to the next"
    )
    browser.press("Enter", "Enter")
    details = browser.value("document.getElementById('details').textContent")
    assert "encoder/stage1/block7/mlp/Cos" in details
    assert "native" in details
    assert browser.value("document.querySelectorAll('#canvas .chosen').length") == 1
    inside = (
        "(() => { const a = document.querySelector('.chosen').getBoundingClientRect(), b = "
        "document.getElementById('canvas').getBoundingClientRect(); "
        "return a.top >= b.top && a.bottom <= b.bottom && a.left >= b.left && a.right <= b.right })()"
    )
    assert browser.value(inside)


def test_the_mouse_opens_a_scope_and_an_operator_says_all(browser, pages):
    browser.open(pages / "small.html")
    place = browser.value(
        "(() => { document.getElementById('canvas').scrollIntoView(); "
        "const r = document.querySelectorAll('#canvas .item rect')[0].getBoundingClientRect(); "
        "return [r.x + r.width / 2, r.y + r.height / 2] })()"
    )
    browser.click(*place)
    details = browser.value("document.getElementById('details').textContent")
    assert "Convolution28" in details
    assert "float[1,8,28,28]" in details
    assert "read by" in details


def test_colours_follow_outcome_error_and_kind(browser, pages):
    browser.open(pages / "large.html")
    assert browser.value("[...document.getElementById('colour').options].map((o) => o.value)") == [
        *("outcome", "error", "operator", "nothing")
    ]
    fills = "[...new Set([...document.querySelectorAll('#canvas .item rect')].map((r) => getComputedStyle(r).fill))].length"
    assert browser.value(fills) == 2
    set_colour = (
        "(() => { const c = document.getElementById('colour'); c.value = '{}'; "
        "c.dispatchEvent(new Event('input')) })()"
    )
    browser.value(set_colour.replace("{}", "error"))
    assert browser.value("document.querySelectorAll('#legend span').length") == 7
    for _ in range(3):
        browser.value("document.getElementById('open').click()")
    assert browser.value(fills) >= 5


def test_5000_operators_stay_usable_when_all_is_open(browser, tmp_path):
    graph = graph_of(bridge.load(scoped(500)))
    (tmp_path / "most.html").write_text(page(Content("m", "v", True, (), (Drawing("m", graph),))))
    browser.open(tmp_path / "most.html")
    for _ in range(3):
        browser.value("document.getElementById('open').click()")
    assert browser.value(BOXES) > 500
    assert browser.errors == []
    start = time.monotonic()
    browser.value("document.getElementById('in').click()")
    assert time.monotonic() - start < 5
    browser.value("document.getElementById('close').click()")
    assert browser.value(BOXES) == 52


def test_a_screen_reader_meets_names(browser, pages):
    browser.open(pages / "refused.html")
    met = browser.accessible()
    controls = [
        (role, name) for role, name in met if role in ("button", "combobox", "searchbox", "tree", "treeitem")
    ]
    assert controls
    assert all(name for _, name in controls)
    assert ("button", "Zoom in") in controls
    assert ("treeitem", "Conv, Convolution28, refused") in controls
    assert ("tree", "Scopes and operators") in controls
    assert any(role == "heading" and name == "Operators that cannot cross" for role, name in met)


@pytest.mark.parametrize("name", ["large", "small", "refused"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_as_wide_as_the_window(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width, 844)
    root = "document.documentElement"
    assert browser.value(f"{root}.scrollWidth <= {root}.clientWidth && {root}.clientWidth > {width - 20}")
    smallest = browser.value(
        "Math.min(...[...document.querySelectorAll('button, input, select')].filter((e) => e.offsetWidth)"
        ".map((e) => e.getBoundingClientRect().height))"
    )
    assert smallest >= 24


def contrast(browser: Browser, selector: str) -> float:
    """Contrast of the text of an element with the page behind it, as WCAG defines it."""
    script = (
        "(() => { const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => v / 255)"
        ".map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)); "
        "return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; "
        f"const a = light(getComputedStyle(document.querySelector('{selector}')).color), "
        "b = light(getComputedStyle(document.body).backgroundColor); "
        "return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) })()"
    )
    return browser.value(script)


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_read_in_light_and_in_dark(browser, pages, dark):
    browser.open(pages / "small.html", dark=dark)
    back = browser.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(back) < 64 if dark else min(back) > 192
    for selector in ("h1", ".verdict", ".native", "#found", ".ends"):
        assert contrast(browser, selector) >= 4.5, selector
    browser.open(pages / "refused.html", dark=dark)
    assert contrast(browser, ".verdict") >= 4.5
