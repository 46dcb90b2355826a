"""Results as pages: what they hold, that no name breaks out of them, and in headless Chromium what a person does."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import hub_from_text
from click.testing import CliRunner
from onnx import TensorProto, helper

import bridge
from bridge.cli import main
from bridge.comparison import compare
from bridge.page import Content, Drawing, Section, Table, graph_of, page, vendored
from bridge.page.graph import Graph, Operator
from bridge.page.scopes import MOST, Group, grouped
from bridge.report import Report
from bridge.session import Outputs

MNIST = Path(__file__).parent / "models" / "mnist.onnx"
EVIL = "</script><img src=x onerror=alert(1)><!--\u2028'\"&amp;"
ENDS = {"meta", "img", "br", "input", "link"}


class Structure(HTMLParser):
    """Elements of a page, in order; those left open, and the ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ENDS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def scoped(layers: int) -> onnx.ModelProto:
    """A residual model of ten operators a layer, with scopes in their names."""
    nodes, before = [], "x"
    for i in range(layers):
        scope = f"encoder/stage{i // 10}/block{i % 10}"
        nodes.append(helper.make_node("MatMul", [before, "w"], [f"{scope}/0"], name=f"{scope}/attend/MatMul"))
        for k, op in enumerate(["Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Sin", "Cos"]):
            nodes.append(
                helper.make_node(op, [f"{scope}/{k}"], [f"{scope}/{k + 1}"], name=f"{scope}/mlp/{op}")
            )
        nodes.append(helper.make_node("Add", [before, f"{scope}/8"], [f"{scope}/y"], name=f"{scope}/Add"))
        before = f"{scope}/y"
    graph = helper.make_graph(
        nodes,
        "scoped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(before, TensorProto.FLOAT, ["n", 4])],
        [onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """The page of a model of 3,000 operators."""
    path = tmp_path_factory.mktemp("large") / "large.html"
    path.write_text(page(bridge.check(scoped(300), to="onnx")))
    return path


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_page_is_well_formed_and_asks_for_nothing(tmp_path):
    written = run("convert", MNIST, tmp_path / "m.tflite", "--verify", "--html", tmp_path / "m.html")
    assert written.exit_code == 0, written.output
    text = (tmp_path / "m.html").read_text()
    structure = Structure(text)
    assert not structure.open
    assert not structure.wrong
    assert not [a for _, a in structure.seen if a.keys() & {"src", "href"}]
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import|https?://(?!www.w3.org)", text)
    ids = [a["id"] for _, a in structure.seen if "id" in a]
    assert len(ids) == len(set(ids))
    named = {a[key] for _, a in structure.seen for key in ("aria-labelledby", "aria-describedby") if key in a}
    assert named <= set(ids)
    for words in ("mnist.onnx → m.tflite", "Every output agrees.", "SHA-256", "How each operator crosses"):
        assert words in text
    assert str(tmp_path) not in text


def test_the_errors_of_an_output_are_counted_by_size():
    one, other = np.array([1.0, 2.0, 3.0, np.nan, 5.0]), np.array([1.0, 2.0 + 3e-10, 3.5, np.nan, 5.0 + 200])
    verification = compare(Outputs({"y": one}, "a"), Outputs({"y": other}, "b"))
    (row,) = verification.outputs
    assert row.histogram == (1, 1, *[0] * 8, 1, 0, 0, 1)
    text = page(verification)
    assert "1e-1 to 1e0: 1" in text
    assert "1 of 1 outputs disagree." in text


def test_a_name_does_not_break_out_of_the_page():
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], [f"y{EVIL}"], name=f"scope{EVIL}/a{EVIL}")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_tensor_value_info(f"y{EVIL}", TensorProto.FLOAT, [2])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    report = bridge.check(model, to="onnx")
    report.notes.append(EVIL)
    report.crossings.append(report.crossings[0].__class__(EVIL, EVIL, report.crossings[0].outcome, EVIL))
    text = page(report)
    structure = Structure(text)
    assert not structure.wrong
    assert "img" not in {tag for tag, _ in structure.seen}
    assert [tag for tag, _ in structure.seen].count("script") == 3
    (drawn,) = data_of(text)["drawings"]
    assert f"scope{EVIL}/a{EVIL}" in drawn["texts"]
    assert "<img" not in report._repr_html_()


def test_blockers_are_told_with_the_way_out(tmp_path):
    refused = run("convert", MNIST, tmp_path / "m.pmml", "--html", tmp_path / "m.html")
    assert refused.exit_code == 4
    assert not (tmp_path / "m.pmml").exists()
    text = (tmp_path / "m.html").read_text()
    assert "Operators that cannot cross" in text
    assert "plugins/README.md#one-operator" in text
    assert "Convolution28" in text
    (drawn,) = data_of(text)["drawings"]
    assert "refused" in drawn["texts"]


def test_a_result_that_disagrees_has_a_page(tmp_path):
    other = onnx.load(MNIST)
    weight = next(w for w in other.graph.initializer if w.name == "Parameter194")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(other, tmp_path / "other.onnx")
    done = run("verify", MNIST, tmp_path / "other.onnx", "--html", tmp_path / "v.html")
    assert done.exit_code == 3
    text = (tmp_path / "v.html").read_text()
    assert "1 of 1 outputs disagree." in text
    (drawn,) = data_of(text)["drawings"]
    assert drawn["measure"] == "largest error"
    assert max(o[-1] or 0 for o in drawn["operators"]) > 0


def test_diff_draws_both_models_and_marks_where_they_part(tmp_path):
    other = onnx.load(MNIST)
    next(node for node in other.graph.node if node.name == "ReLU114").op_type = "Abs"
    onnx.save(other, tmp_path / "other.onnx")
    assert run("diff", MNIST, tmp_path / "other.onnx", "--html", tmp_path / "d.html").exit_code == 3
    first, second = data_of((tmp_path / "d.html").read_text())["drawings"]
    for drawing, native in ((first, "Relu"), (second, "Abs")):
        marked = [o for o in drawing["operators"] if drawing["texts"][o[3]] == "differs"]
        assert [(drawing["texts"][o[1]], drawing["texts"][o[2]]) for o in marked] == [(native, "ReLU114")]
    assert run("diff", MNIST, MNIST, "--html", tmp_path / "d.html").exit_code == 0


def test_quantization_tells_sizes_and_the_error_of_each_layer(tmp_path):
    done = run(
        *("convert", MNIST, tmp_path / "q.tflite", "--quantize", "int8", "--calibration", "random"),
        *("--html", tmp_path / "q.html"),
    )
    assert done.exit_code == 0, done.output
    text = (tmp_path / "q.html").read_text()
    assert "weights before" in text
    (drawn,) = data_of(text)["drawings"]
    assert drawn["measure"] == "noise, part of the value"
    assert len([o for o in drawn["operators"] if o[-1]]) > 5


def test_what_is_no_page_is_not_replaced(tmp_path):
    kept = tmp_path / "notes.html"
    kept.write_text("mine")
    done = run("check", MNIST, "--to", "tflite", "--html", kept)
    assert done.exit_code == 1
    assert "is a file that is no page of bridge" in done.output
    assert kept.read_text() == "mine"
    assert run("check", MNIST, "--to", "tflite", "--html", tmp_path / "c.html").exit_code == 0
    assert run("check", MNIST, "--to", "tflite", "--html", tmp_path / "c.html").exit_code == 0


def test_json_is_as_it_was():
    report = bridge.check(MNIST, to="tflite")
    assert report.graph is not None
    assert "graph" not in report.to_dict()
    json.dumps(bridge.diff(MNIST, MNIST).to_dict())
    verification = bridge.verify(MNIST, MNIST)
    assert verification.graph is not None
    assert "graph" not in verification.to_dict()


def test_a_notebook_shows_tables(tmp_path):
    written = bridge.convert(MNIST, tmp_path / "m.tflite", verify=True)
    for result in (written, written.report, written.verification):
        shown = result._repr_html_()
        structure = Structure(shown)
        assert not structure.open
        assert not structure.wrong
        assert "table" in {tag for tag, _ in structure.seen}
        assert "script" not in {tag for tag, _ in structure.seen}


def test_a_long_table_is_cut_and_says_so():
    rows = tuple((str(i),) for i in range(2000))
    text = page(Content("t", "v", True, (Section("s", (Table(("n",), rows),)),)))
    assert text.count("<tr>") == 501
    assert "The first 500 of 2,000 are shown." in text


def test_edges_of_subgraphs_lead_through_them():
    model = hub_from_text(
        "(bool c, float[2] x) => (float[2] y) { a = Relu (x) y = If (c) <"
        "then_branch = t () => (float[2] p) { p = Neg (a) }, else_branch = e () => (float[2] q) { q = Abs (a) }> }"
    )
    graph = graph_of(model)
    ops = [o.op for o in graph.all]
    assert ops == ["Relu", "If", "Neg", "Abs", "input", "input", "output"]
    assert [o.reads for o in graph.all] == [(5,), (4, 2, 3), (0,), (0,), (), (), (1,)]


def test_operators_are_grouped_by_scopes_and_none_is_lost():
    graph = graph_of(bridge.load(scoped(300)))
    root = grouped(graph)
    assert len(root.members) <= MOST

    def leaves(group: Group) -> Iterator[int]:
        assert 1 < len(group.members) <= MOST
        for member in group.members:
            yield from leaves(member) if isinstance(member, Group) else [member]

    assert sorted(leaves(root)) == list(range(len(graph.all)))
    labels = [m.label for m in root.members if isinstance(m, Group)]
    assert labels == [f"stage{i}" for i in range(30)]


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("", ()),
        ("Conv_3", ()),
        ("encoder.layer.0.linear", ("encoder", "layer", "0")),
        ("model.encoder.layer.3/linear_5", ("model", "encoder", "layer", "3")),
        ("/layer1/layer1.0/conv1/Conv", ("layer1", "0", "conv1")),
        ("model/block/Relu;model/block/BiasAdd", ("model", "block")),
        ("a/b/" * 5000 + "Relu", ("a", "b") * 15),
    ],
)
def test_the_scope_of_an_operator_is_in_its_name(name, scope):
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"], name=name)],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        )
    )
    assert graph_of(bridge.load(model)).operators[0].scope == scope


def test_the_scope_of_an_operator_is_what_torch_wrote_down():
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[2] x) => (float[2] y) { y = Relu (x) }'
    )
    model.graph.node[0].name = "node_relu"
    entry = model.graph.node[0].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", "['', 'blocks.0', 'blocks.0.seq', 'relu']"
    assert graph_of(bridge.load(model)).operators[0].scope == ("blocks", "0", "seq")


@pytest.mark.parametrize("count", [1, 99, 100, 101, 5000, 12345])
def test_a_model_without_scopes_is_shown_in_runs(count):
    operators = tuple(Operator("Relu", "Relu", f"r{i}", i, (), (i - 1,) * (i > 0), ()) for i in range(count))
    widest = 0
    groups = [grouped(Graph(operators, (), ()))]
    while groups:
        group = groups.pop()
        widest = max(widest, len(group.members))
        groups += [m for m in group.members if isinstance(m, Group)]
    assert widest <= MOST + 2


def test_a_graph_too_large_to_draw_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr("bridge.page.MOST", 100)
    graph = graph_of(bridge.load(scoped(30)))
    text = page(Content("t", "v", True, (), (Drawing("m", graph),)))
    assert "m: the first 100 of 300 operators are drawn." in text
    (drawn,) = data_of(text)["drawings"]
    assert len(drawn["operators"]) == 102
    assert all(0 <= r < 102 for o in drawn["operators"] for r in o[5])
    assert drawn["operators"][0][5] == [100]
    assert drawn["operators"][-1][5] == []


def test_what_draws_the_graph_is_what_was_published():
    here = Path(vendored.__file__).parent
    assert hashlib.sha256((here / vendored.FILE).read_bytes()).hexdigest() == vendored.SHA256
    assert "Permission is hereby granted" in (here / vendored.LICENCE).read_text()


def test_a_page_of_3000_operators_is_small(large):
    assert large.stat().st_size < 3_000_000


def test_making_a_page_takes_no_long_time(large):
    """Processor time, and of the page alone: the model has been read."""
    report = Report("a", "b", graph=graph_of(bridge.load(scoped(300))))
    start = time.process_time()
    page(report)
    assert time.process_time() - start < 1.5
